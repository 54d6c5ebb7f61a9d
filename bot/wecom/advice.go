package wecom

import "slices"

// class is what an errcode means for the call that got it.
type class int

const (
	ours       class = iota // the call itself is wrong and will be so again
	busy                    // try again
	tooMany                 // try again later
	staleToken              // try again with a new access token
	setup                   // wrong until an administrator changes something
	recipient               // nobody there
	content                 // WeCom will not carry this
)

// The errcodes some code decides on.
const (
	codeBadSecret     = 40001
	codeBadCorpID     = 40013
	codeBadToken      = 40014
	codeBadCorpSecret = 40091
	codeBadMediaID    = 40007
	codeBadOAuthCode  = 40029
	codeRateLimit     = 45009
	codeNoMenu        = 46003
	codeCardUpdated   = 60140
	codeTooLarge      = 830002
)

// The pages of the admin console, https://work.weixin.qq.com/wework_admin.
const (
	pageApp      = "App management (应用管理) → the app"
	pageSecret   = pageApp + " → Secret"
	pageCorp     = "My company (我的企业) → Company information (企业信息)"
	pageCallback = pageApp + " → Receive messages (接收消息)"
	pageIP       = pageApp + " → Trusted company IPs (企业可信IP)"
	pageRange    = pageApp + " → Visible range (可见范围)"
	pageDomain   = pageApp + " → Web authorization (网页授权及JS-SDK)"
	pageContacts = "Contacts (通讯录)"
	pageTags     = "Contacts (通讯录) → Tags (标签)"
)

type advice struct {
	codes     []int
	class     class
	fix, page string
}

// advices covers the errcodes of documents 90313 and 90455 the calls made here
// can meet.
var advices = []advice{
	{[]int{-1}, busy, "WeCom is busy; it is tried again", ""},
	{[]int{6000}, busy, "two writers met; it is tried again", ""},
	{[]int{45033}, busy, "too many calls at once; they are tried again", ""},
	{[]int{codeRateLimit}, tooMany, "WeCom's call limit is used up; it lifts by itself within minutes, hours or at midnight", ""},
	{[]int{codeBadToken, 41001, 42001}, staleToken, "the access token was refused; a new one is fetched by itself", ""},

	{[]int{codeBadSecret, codeBadCorpSecret}, setup, "wecom.secret is wrong or was reset: copy the app's secret again", pageSecret},
	{[]int{codeBadCorpID}, setup, "wecom.corp_id is wrong: copy the company id again", pageCorp},
	{[]int{40056, 301002}, setup, "wecom.agent_id is not the app that wecom.secret belongs to: copy AgentId and secret from one app", pageApp},
	{[]int{60020}, setup, "the server's public IP is not trusted: add it to the app; it works a minute later", pageIP},
	{[]int{40057}, setup, "WeCom could not verify the callback URL: check wecom.token, wecom.encoding_aes_key and that the URL is reachable", pageCallback},
	{[]int{43012}, setup, "cards with buttons need the app's callback URL: set it", pageCallback},
	{[]int{43009}, setup, "the company is not verified: verify it", pageCorp},
	{[]int{48001, 48002, 48004, 48005, 48006}, setup, "the app may not make this call: check its permissions", pageApp},
	{[]int{50003}, setup, "the app is disabled: enable it", pageApp},
	{[]int{50001, 80001, 85005}, setup, "the domain of server.public_url is not a trusted domain of the app", pageDomain},
	{[]int{81011, 81012}, setup, "the app may not see this tag: put it into the app's visible range", pageRange},
	{[]int{81014}, setup, "too many members in the tag", pageTags},
	{[]int{90208}, setup, "the mini program is not linked to the app", pageApp},
	{[]int{701008}, setup, "nobody has a valid licence for the interface: renew it", pageCorp},

	{[]int{40003, 46004, 60111}, recipient, "no such member: the userid changed, left, or is misspelt", pageContacts},
	{[]int{50002, 60011, 60021}, recipient, "the person is outside the app's visible range: widen it", pageRange},
	{[]int{81013}, recipient, "no recipient exists and is visible to the app: widen the visible range", pageRange},
	{[]int{40031, 301021}, recipient, "the userid is not one", pageContacts},
	{[]int{43004}, recipient, "the person has not bound WeChat", ""},
	{[]int{40066, 60003}, recipient, "no such department", pageContacts},
	{[]int{40068}, recipient, "no such tag: check the role rules", pageTags},

	{[]int{40004, 40005, 40006, codeBadMediaID, 40008, 40009, 40011, 44001, 45001, 45007}, content, "WeCom does not take this media: type, size, or expired after three days", ""},
	{[]int{44004}, content, "the text is empty", ""},
	{[]int{45002}, content, "the message is too long", ""},
	{[]int{45008, 45032, 45034}, content, "the articles of the message are too many or malformed", ""},
	{[]int{42014}, content, "the card's task_id was used before", ""},
	{[]int{42045}, content, "the card needs a card_action", ""},
	{[]int{85002}, content, "the text holds words WeCom forbids", ""},

	{[]int{codeBadOAuthCode}, ours, "the sign-in code was used or is older than five minutes: sign in again", ""},
	{[]int{84014, 84015}, ours, "the sign-in expired: sign in again", ""},
	{[]int{40093}, ours, "the JS-SDK signature is wrong", ""},
	{[]int{45029}, ours, "the answer would be too large: ask for less", ""},
	{[]int{codeTooLarge}, ours, "the download is too large: fetch it in ranges", ""},
	{[]int{codeNoMenu}, ours, "the app has no menu: write it with check --fix-menu", pageApp},
	{[]int{codeCardUpdated}, ours, "the card was updated before", ""},
	{[]int{86001, 86003, 86004, 86006, 86008, 86215, 86216, 86217, 86218, 86219, 86220}, ours, "the group chat does not exist or was not made by this app", ""},
	{[]int{93000, 93004, 93008}, ours, "the group robot was removed or disabled", ""},
	{
		[]int{
			40032, 40033, 40035, 40058, 40063, 41002, 41004, 41006, 41008, 41009, 41011, 41016, 41033,
			82001, 82002, 82003,
		},
		ours, "WeCom refused a parameter: a fault of this program, please report it with the hint", "",
	},
}

var unknownAdvice = advice{fix: "look the errcode up in WeCom's list, document 90313"}

func adviceFor(code int) advice {
	i := slices.IndexFunc(advices, func(a advice) bool { return slices.Contains(a.codes, code) })
	if i < 0 {
		return unknownAdvice
	}
	return advices[i]
}
