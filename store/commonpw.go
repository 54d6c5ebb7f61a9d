package store

import (
	"strconv"
	"strings"
	"sync"
)

// common reports whether a password is among the first that a guesser tries.
// What is looked for is what leaked lists have in common, written down here for
// this program: the words below, runs over the keyboard, one piece repeated,
// and dates.
func common(password string) bool {
	p := strings.ToLower(password)
	_, listed := commonWords()[p]
	return listed || sequence(p) || repeated(p) || date(p)
}

// sequence is a stretch of neighbouring keys, or of the alphabet, either way.
func sequence(p string) bool {
	for _, row := range [...]string{
		"01234567890123456789", "09876543210987654321", "abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba",
		"qwertyuiop[]", "poiuytrewq", "asdfghjkl;'", "lkjhgfdsa", "qwertyuiopasdfghjklzxcvbnm", "mnbvcxzlkjhgfdsapoiuytrewq",
		"1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "qazwsxedcrfvtgbyhnujm",
		"147258369147", "123456789qwertyuiop", "qwertyuiop123456789", "!@#$%^&*()_+", "1!2@3#4$5%6^7&8*9(0)",
	} {
		if strings.Contains(row, p) {
			return true
		}
	}
	return false
}

// repeated is a short piece said again: 12341234, aaaaaaaa. What is longer than
// anybody types by habit is left alone.
func repeated(p string) bool {
	for n := 1; n <= 4 && len(p) <= 16; n++ {
		if len(p)%n == 0 && strings.Repeat(p[:n], len(p)/n) == p {
			return true
		}
	}
	return false
}

// date is a day of the last hundred years, as birthdays are written.
func date(p string) bool {
	p = strings.NewReplacer("-", "", ".", "", "/", "").Replace(p)
	n, err := strconv.Atoi(p)
	if err != nil || len(p) != 8 {
		return false
	}
	day := func(y, m, d int) bool { return y >= 1930 && y <= 2035 && m >= 1 && m <= 12 && d >= 1 && d <= 31 }
	return day(n/10000, n/100%100, n%100) || day(n%10000, n/1_000_000, n/10000%100) || day(n%10000, n/10000%100, n/1_000_000)
}

var commonWords = sync.OnceValue(func() map[string]struct{} {
	words := map[string]struct{}{}
	for word := range strings.FieldsSeq(commonList) {
		words[word] = struct{}{}
		for _, tail := range [...]string{"1", "12", "123", "1234", "12345", "123456", "!", "1!", "@123", "123!", "888", "666", "520", "2024", "2025", "2026", "@2024", "@2025", "@2026"} {
			words[word+tail] = struct{}{}
		}
	}
	return words
})

// commonList is names, pets, teams, greetings and the words of this trade, in
// lower case; each also counts with the usual things put behind it.
const commonList = `
password passw0rd p@ssword p@ssw0rd pa$$word pa$$w0rd passwd passpass pass mypassword yourpassword newpassword password0 drowssap
admin admin888 administrator adminadmin root toor rootroot superuser sysadmin system manager master operator guest user test testtest tester demo temp
default changeme changeit letmein letmeinnow welcome welcome1 hello hellohello secret topsecret private login logmein access open opensesame
qwerty qwertyui qwerty123 qwert asdf asdfgh asdfasdf asdasd zxcvbn zxcvbnm zxczxc qweasd qweasdzxc qazwsx qwaszx zaq12wsx 1qaz@wsx !qaz2wsx 1q2w3e 1qaz2wsx
a123456789 a12345678 a1234567 a123456 aa123456 aa12345678 aaa123456 abc123456 abc12345 abcd1234 abc123 abcabc abc1234 123456789a 12345678a 123456a 1234567a 123456aa 123456abc 123abc 123qwe 123qweasd 123456qq q123456 q12345678 q123456789 qq123456 qq123456789 qwe123 qwe123456 asd123 asd123456 zxc123 zxc123456 w123456 z123456 z123456789 s123456 x123456 l123456 li123456 as123456 wang123456 zhang123456
iloveyou iloveyou1 iloveyou2 ilovegod iloveu loveyou lovely lover lovelove forever forever21 babygirl babyboy sweetheart sweetie princess sunshine sunflower rainbow butterfly blossom flower diamond angel angels beautiful gorgeous honey
football baseball basketball softball hockey soccer volleyball swimming lakers chelsea liverpool arsenal barcelona juventus manchester realmadrid yankees cowboys steelers
dragon monkey tiger panther wolf eagle falcon phoenix dolphin elephant chicken turtle spider scorpion mustang stallion cheese cookie chocolate pepper ginger banana orange pineapple strawberry coffee whiskey
superman batman spiderman ironman wolverine starwars startrek pokemon naruto matrix trustno1 whatever nothing something computer internet explorer windows samsung google facebook microsoft android iphone mercedes ferrari porsche corvette
michael jordan jordan23 jennifer jessica michelle ashley amanda nicole daniel charlie thomas robert matthew anthony joshua andrew william jonathan christopher elizabeth victoria alexander samantha patricia stephanie veronica maverick hunter ranger shadow thunder lightning hurricane december november september october january february saturday sunday monday summer winter spring autumn
woaini woaini1314 woaini520 woaiwojia woaiziji wodemima woshishui wobuzhidao nihao nihaoma 5201314 1314520 1314521 52013140 520520520 aini1314 aini520 baobao baobei laopo laogong laopolaogong mamababa babamama zhongguo beijing shanghai guangzhou shenzhen tianjin chongqing hangzhou jiushiaini xiaoming xiaohong xiaoxiao tiankong dearbook feifei tiantian
00000000 11111111 22222222 66666666 88888888 99999999 12344321 11223344 1122334455 11112222 12121212 12312312 123123123 321321321 123321 123321123 1233211234567 12345678910 123456789123 147258369 147258 159357 15935700 159357456 159753 1597530 741852963 789456123 987654321 963852741 456789123 110110110 100200300 110120119 31415926 314159265 27182818 13145200 12345600 123654789 12301230 7758521 7758258 1qazxsw2 qwer1234 qwer123456 asdf1234 asdf123456 zxcv1234 pass1234 test1234 user1234 love1234 aaaa1111 abcd12345 a1b2c3d4 a1s2d3f4 q1w2e3r4 1a2b3c4d
deskbell servicedesk helpdesk service support itsupport wecom weixin wechat wxwork qiyeweixin company office agent agent123 kefu kefu123
`
