package sim

import "fmt"

// refusal is an answer of qyapi other than ok. WeCom's meanings are in
// document 90313; the text is for people and may change, the code is the answer.
type refusal struct {
	code int
	text string
}

// refuse makes a refusal with a detail behind the usual text.
func refuse(code int, detail string, args ...any) *refusal {
	text := errTexts[code]
	if text == "" {
		text = "error"
	}
	if detail != "" {
		text += ": " + fmt.Sprintf(detail, args...)
	}
	return &refusal{code: code, text: text}
}

var errTexts = map[int]string{
	-1:     "system busy",
	40001:  "invalid credential",
	40003:  "invalid userid",
	40004:  "invalid media type",
	40005:  "invalid type",
	40006:  "invalid media size",
	40007:  "invalid media_id",
	40008:  "invalid message type",
	40009:  "invalid image size",
	40011:  "invalid video size",
	40013:  "invalid corpid",
	40014:  "invalid access_token",
	40029:  "invalid code",
	40031:  "some userid in userid_list invalid",
	40032:  "userid list too large",
	40056:  "invalid agentid",
	40058:  "invalid Request Parameter",
	40063:  "some parameters are empty",
	40068:  "invalid tagid",
	40091:  "secret is invalid",
	41001:  "access_token missing",
	41002:  "corpid missing",
	41004:  "secret missing",
	41006:  "media_id missing",
	41008:  "missing code",
	41009:  "userid missing",
	41011:  "agentid missing",
	41016:  "title missing",
	41033:  "description missing",
	42001:  "access_token expired",
	42014:  "invalid task_id",
	42045:  "Template_Card.card_action missing or invalid",
	44001:  "empty media data",
	44004:  "text content is empty",
	45001:  "media file is too large",
	45002:  "content size out of limit",
	45009:  "api freq out of limit",
	45033:  "api concurrent out of limit",
	45034:  "url is missing protocol",
	46003:  "menu no exist",
	50001:  "redirect_url domain is not a trusted domain",
	60003:  "department not found",
	60011:  "no privilege to access/modify contact/party/agent",
	60020:  "not allow to access from your ip",
	60111:  "userid not found",
	60140:  "response_code invalid or used",
	81013:  "user & party & tag all invalid",
	82001:  "touser & toparty & totag all empty",
	84014:  "user_ticket expired",
	84015:  "user_ticket invalid",
	830002: "the file is too large, use Range",
	301002: "not allow operate another agent with this accesstoken",
}
