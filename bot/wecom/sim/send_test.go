package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// text is the body of a text message; more sets or, with nil, removes fields.
func (b *bench) text(to, content string, more ...any) map[string]any {
	m := map[string]any{"touser": to, "msgtype": "text", "agentid": b.Config().AgentID, "text": map[string]any{"content": content}}
	for i := 0; i < len(more); i += 2 {
		if m[more[i].(string)] = more[i+1]; more[i+1] == nil {
			delete(m, more[i].(string))
		}
	}
	return m
}

// cardTo is a message with a card of two buttons; edit changes the card.
func (b *bench) cardTo(to, taskID string, edit ...func(map[string]any)) map[string]any {
	card := map[string]any{
		"card_type": "button_interaction", "task_id": taskID,
		"main_title": map[string]any{"title": "状态"},
		"button_list": []any{
			map[string]any{"text": "在线", "style": 1, "key": "/status online"},
			map[string]any{"text": "忙碌", "style": 2, "key": "/status busy"},
		},
	}
	for _, e := range edit {
		e(card)
	}
	return map[string]any{"touser": to, "msgtype": "template_card", "agentid": b.Config().AgentID, "template_card": card}
}

func set(key string, value any) func(map[string]any) {
	return func(m map[string]any) {
		if m[key] = value; value == nil {
			delete(m, key)
		}
	}
}

func TestSendRefusals(t *testing.T) {
	b := newBench(t)
	notice := func(edit ...func(map[string]any)) any {
		base := func(c map[string]any) {
			maps.Copy(c, map[string]any{"card_type": "text_notice", "card_action": map[string]any{"type": 1, "url": "https://a.example/x"}})
			delete(c, "button_list")
			delete(c, "task_id")
		}
		return b.cardTo("lilei", "", append([]func(map[string]any){base}, edit...)...)
	}
	button := func(edits ...any) map[string]any {
		m := map[string]any{"text": "x", "key": "k"}
		for i := 0; i < len(edits); i += 2 {
			m[edits[i].(string)] = edits[i+1]
		}
		return m
	}
	task := 0
	card := func(edit ...func(map[string]any)) any {
		task++
		return b.cardTo("lilei", fmt.Sprintf("task-%d", task), edit...)
	}
	long := strings.Repeat("k", 1025)
	for name, c := range map[string]struct {
		body any
		want int
	}{
		"text":                       {b.text("lilei", "hi"), 0},
		"not JSON":                   {`{"touser":`, 40058},
		"touser a number":            {b.text("lilei", "x", "touser", 5), 40058},
		"no agentid":                 {b.text("lilei", "x", "agentid", nil), 41011},
		"agentid a string":           {b.text("lilei", "x", "agentid", "1000002"), 40056},
		"agentid zero":               {b.text("lilei", "x", "agentid", 0), 40056},
		"agentid of another app":     {b.text("lilei", "x", "agentid", 1000003), 301002},
		"no recipient":               {b.text("", "x"), 82001},
		"nobody of that name":        {b.text("nobody|gone|far", "x"), 81013},
		"too many recipients":        {b.text(strings.Repeat("a|", 1001)+"a", "x"), 40032},
		"empty text":                 {b.text("lilei", ""), 44004},
		"unknown type":               {b.text("lilei", "x", "msgtype", "poem"), 40008},
		"safe two":                   {b.text("lilei", "x", "safe", 2), 40058},
		"interval too long":          {b.text("lilei", "x", "duplicate_check_interval", 14401), 40058},
		"image of nothing":           {b.text("lilei", "", "msgtype", "image", "image", map[string]any{"media_id": "x"}), 40007},
		"markdown":                   {b.text("lilei", "", "msgtype", "markdown", "markdown", map[string]any{"content": "**x**"}), 0},
		"markdown too long":          {b.text("lilei", "", "msgtype", "markdown", "markdown", map[string]any{"content": strings.Repeat("x", 2049)}), 45002},
		"textcard":                   {b.text("lilei", "", "msgtype", "textcard", "textcard", TextCard{Title: "a", Description: "b", URL: "https://c.example"}), 0},
		"textcard without title":     {b.text("lilei", "", "msgtype", "textcard", "textcard", TextCard{Description: "b", URL: "https://c.example"}), 41016},
		"textcard without text":      {b.text("lilei", "", "msgtype", "textcard", "textcard", TextCard{Title: "a", URL: "https://c.example"}), 41033},
		"textcard without scheme":    {b.text("lilei", "", "msgtype", "textcard", "textcard", TextCard{Title: "a", Description: "b", URL: "c.example"}), 45034},
		"card":                       {card(), 0},
		"card of an unknown type":    {card(set("card_type", "x")), 40058},
		"card without task":          {b.cardTo("lilei", ""), 40063},
		"task with a blank":          {b.cardTo("lilei", "a b"), 42014},
		"task too long":              {b.cardTo("lilei", strings.Repeat("t", 129)), 42014},
		"card without title":         {card(set("main_title", nil)), 40063},
		"no buttons":                 {card(set("button_list", []any{})), 40058},
		"seven buttons":              {card(set("button_list", []any{button(), button(), button(), button(), button(), button(), button()})), 40058},
		"two buttons alike":          {card(set("button_list", []any{button(), button()})), 40058},
		"button key too long":        {card(set("button_list", []any{button("key", long)})), 40058},
		"button without words":       {card(set("button_list", []any{button("text", "")})), 40063},
		"button of style five":       {card(set("button_list", []any{button("style", 5)})), 40058},
		"button to nowhere":          {card(set("button_list", []any{button("type", 1, "url", "javascript:x")})), 45034},
		"seven rows":                 {card(set("horizontal_content_list", slicesOf(7, map[string]any{"keyname": "k", "value": "v"}))), 40058},
		"row without name":           {card(set("horizontal_content_list", slicesOf(1, map[string]any{"value": "v"}))), 40058},
		"four jumps":                 {card(set("jump_list", slicesOf(4, map[string]any{"title": "t"}))), 40058},
		"jump without scheme":        {card(set("jump_list", slicesOf(1, map[string]any{"title": "t", "type": 1, "url": "//x"}))), 45034},
		"notice":                     {notice(), 0},
		"notice without card_action": {notice(set("card_action", nil)), 42045},
		"notice leading nowhere":     {notice(set("card_action", map[string]any{"type": 0})), 42045},
		"notice with an action menu": {notice(set("action_menu", map[string]any{"action_list": []any{button()}})), 40063},
		"news without image":         {notice(set("card_type", "news_notice")), 40063},
		"vote without box":           {card(set("card_type", "vote_interaction")), 40063},
		"questions without submit": {card(set("card_type", "multiple_interaction"), set("select_list", slicesOf(1, map[string]any{
			"question_key": "q", "option_list": slicesOf(1, map[string]any{"id": "1", "text": "one"})}))), 40063},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.post("message/send", c.body)
			if code(a) != c.want {
				t.Errorf("errcode %d (%v), want %d", code(a), a["errmsg"], c.want)
			}
			if c.want != 0 && !strings.Contains(a["errmsg"].(string), "from ip: 127.0.0.1") {
				t.Errorf("errmsg %q", a["errmsg"])
			}
		})
	}
}

func slicesOf(n int, v map[string]any) (list []any) {
	for i := range n {
		c := maps.Clone(v)
		if _, ok := c["id"]; ok {
			c["id"] = fmt.Sprint(i)
		}
		list = append(list, c)
	}
	return list
}

func TestTaskIDsAreUsedOnce(t *testing.T) {
	b := newBench(t)
	b.wantCode(b.post("message/send", b.cardTo("lilei", "t")), 0)
	b.wantCode(b.post("message/send", b.cardTo("hanmeimei", "t")), 42014)
}

func TestInteractiveCardsNeedACallback(t *testing.T) {
	b := newBench(t)
	b.SetCallback()
	b.wantCode(b.post("message/send", b.cardTo("lilei", "t")), 43012)
}

func TestAFieldNobodyKnowsIsAProblem(t *testing.T) {
	b := newBench(t)
	b.wantCode(b.post("message/send", b.cardTo("lilei", "t", set("main_titel", "x"))), 0)
	if p := b.Problems(); len(p) != 1 || !strings.Contains(p[0], "main_titel") {
		t.Errorf("problems %q", p)
	}
}

func TestRecipients(t *testing.T) {
	b := newBench(t)
	a := b.post("message/send", b.text("LILEI|Nobody|FAR", "one"))
	if a["invaliduser"] != "nobody|far" || code(a) != 0 {
		t.Errorf("answer %v", a)
	}
	b.wantCode(b.post("message/send", b.text("", "two", "toparty", "2")), 0)
	b.wantCode(b.post("message/send", b.text("", "three", "totag", "7")), 0)
	b.wantCode(b.post("message/send", b.text("@all", "four")), 0)
	var got []string
	for _, r := range b.Inbox("lilei") {
		got = append(got, r.Text)
	}
	if strings.Join(got, " ") != "one two three four" || len(b.Inbox("hanmeimei")) != 1 || len(b.Inbox("far")) != 0 {
		t.Errorf("got %q", got)
	}
	b.clean()
}

func TestLongTextIsCutWithoutAWord(t *testing.T) {
	b := newBench(t)
	b.wantCode(b.post("message/send", b.text("lilei", strings.Repeat("长", 700))), 0)
	if got := b.Inbox("lilei")[0].Text; got != strings.Repeat("长", 682) {
		t.Errorf("%d bytes", len(got))
	}
}

func TestIdenticalBodiesAreDeliveredOnce(t *testing.T) {
	b := newBench(t)
	check := b.text("lilei", "hi", "enable_duplicate_check", 1, "duplicate_check_interval", 60)
	first, second := b.post("message/send", check), b.post("message/send", check)
	if code(second) != 0 || first["msgid"] != second["msgid"] || len(b.Inbox("lilei")) != 1 {
		t.Errorf("%v, %v, %d messages", first, second, len(b.Inbox("lilei")))
	}
	b.post("message/send", b.text("lilei", "hi ", "enable_duplicate_check", 1, "duplicate_check_interval", 60))
	b.post("message/send", b.text("lilei", "hi"))
	b.pass(time.Minute)
	b.post("message/send", check)
	if n := len(b.Inbox("lilei")); n != 4 {
		t.Errorf("%d messages, want 4: one byte, no check and a minute later make others", n)
	}
}

func TestARepeatedCardIsADuplicateAndNotAUsedTask(t *testing.T) {
	b := newBench(t)
	m := b.cardTo("lilei", "t")
	m["enable_duplicate_check"] = 1
	first, second := b.post("message/send", m), b.post("message/send", m)
	if code(second) != 0 || first["response_code"] != second["response_code"] || first["response_code"] == nil {
		t.Errorf("%v, %v", first, second)
	}
}

func TestMoreThanThirtyAMinuteAreDroppedSilently(t *testing.T) {
	b := newBench(t)
	for i := range 33 {
		b.wantCode(b.post("message/send", b.text("lilei", fmt.Sprint(i))), 0)
	}
	if len(b.Inbox("lilei")) != 30 || b.Dropped("lilei") != 3 || b.Dropped("hanmeimei") != 0 {
		t.Errorf("%d shown, %d dropped", len(b.Inbox("lilei")), b.Dropped("lilei"))
	}
	b.pass(time.Minute)
	b.post("message/send", b.text("lilei", "later"))
	if len(b.Inbox("lilei")) != 31 {
		t.Error("still dropped a minute later")
	}
}

func TestMoreThanAThousandAnHourAreDroppedSilently(t *testing.T) {
	m := &member{}
	now := time.Unix(1_700_000_000, 0)
	kept := 0
	for range 1100 {
		now = now.Add(3 * time.Second)
		if m.room(now) {
			kept++
		}
	}
	if kept != 1000 || m.lost != 100 {
		t.Errorf("kept %d, lost %d in 55 minutes", kept, m.lost)
	}
}

func TestUpdateCard(t *testing.T) {
	b := newBench(t)
	sent := b.post("message/send", b.cardTo("lilei|hanmeimei", "t"))
	rc := sent["response_code"]
	update := func(rc any, more ...any) map[string]any {
		m := map[string]any{"userids": []string{"lilei", "boss"}, "agentid": b.Config().AgentID, "response_code": rc, "button": map[string]any{"replace_name": "已处理"}}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	other := b.cardTo("", "other")["template_card"]
	b.wantCode(b.post("message/update_template_card", update(rc, "userids", nil)), 82001)
	b.wantCode(b.post("message/update_template_card", update(rc, "template_card", other)), 40058)
	b.wantCode(b.post("message/update_template_card", update(rc, "template_card", other, "button", nil)), 42014)
	b.wantCode(b.post("message/update_template_card", update(rc, "agentid", "1000002")), 40056)
	b.wantCode(b.post("message/update_template_card", update("rc_1")), 60140)

	a := b.post("message/update_template_card", update(rc))
	b.wantCode(a, 0)
	if fmt.Sprint(a["invaliduser"]) != "[boss]" {
		t.Errorf("invaliduser %v", a["invaliduser"])
	}
	b.wantCode(b.post("message/update_template_card", update(rc)), 60140)
	mine, theirs := b.Inbox("lilei")[0], b.Inbox("hanmeimei")[0]
	if mine.Card.ReplaceText != "已处理" || mine.Updates != 1 || theirs.Card.ReplaceText != "" || theirs.Updates != 0 {
		t.Errorf("cards %+v, %+v", mine, theirs)
	}
	if d := b.Press("lilei", "t", "/status online"); d.Error == "" {
		t.Error("a replaced button could be pressed")
	}
	// The other person's press brings a code of its own.
	b.Press("hanmeimei", "t", "/status busy")
	pressed := b.received()[0].ResponseCode
	fresh := b.cardTo("", "t", set("main_title", map[string]any{"title": "忙碌"}))["template_card"]
	b.wantCode(b.post("message/update_template_card", update(pressed, "atall", 1, "button", nil, "template_card", fresh)), 0)
	if got := b.Inbox("lilei")[0].Card; got.Title.Title != "忙碌" || got.ReplaceText != "" {
		t.Errorf("card %+v", got)
	}
	b.clean()
}

func TestResponseCodesDieAfter72Hours(t *testing.T) {
	b := newBench(t)
	rc := b.post("message/send", b.cardTo("lilei", "t"))["response_code"]
	b.pass(72 * time.Hour)
	b.token = b.get("gettoken", "corpid", b.Config().CorpID, "corpsecret", b.Config().Secret)["access_token"].(string)
	b.wantCode(b.post("message/update_template_card", map[string]any{
		"atall": 1, "agentid": b.Config().AgentID, "response_code": rc, "button": map[string]any{"replace_name": "x"},
	}), 60140)
}

func TestRecall(t *testing.T) {
	b := newBench(t)
	id := b.post("message/send", b.text("lilei", "secret", "safe", 1))["msgid"]
	b.wantCode(b.post("message/recall", map[string]any{"msgid": "other"}), 40058)
	b.wantCode(b.post("message/recall", map[string]any{"msgid": id}), 0)
	if inbox := b.Inbox("lilei"); len(inbox) != 0 {
		t.Errorf("inbox %+v", inbox)
	}
}

func TestCardSurvivesTheWayThroughJSON(t *testing.T) {
	in := `{"card_type":"text_notice","quote_area":{"type":1,"url":"https://a.example","title":"q","quote_text":"t"},"emphasis_content":{"title":"5"}}`
	var c Card
	if err := json.Unmarshal([]byte(in), &c); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(c.clone())
	if err != nil || string(out) != in {
		t.Errorf("%s, %v", out, err)
	}
}
