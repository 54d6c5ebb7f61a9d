package wecom

// field is a place in the table of fields anybody reads, in the order in which
// WeCom usually writes them.
type field uint8

const (
	fieldToUserName field = iota
	fieldFromUserName
	fieldCreateTime
	fieldMsgType
	fieldContent
	fieldMsgID
	fieldAgentID
	fieldEvent
	fieldEventKey
	fieldTaskID
	fieldResponseCode
	fieldMediaID
	fieldFormat
	fieldFileName
	fieldEncrypt
	fieldCount
	otherField = fieldCount
)

type fields [fieldCount][]byte

// There must be a bit in scanner.seen for each of them.
var _ [16 - fieldCount]struct{}

// tags are the two tags of each field.
var tags = func() (t [fieldCount]struct{ open, close string }) {
	for f, name := range [fieldCount]string{
		"ToUserName", "FromUserName", "CreateTime", "MsgType", "Content", "MsgId", "AgentID",
		"Event", "EventKey", "TaskId", "ResponseCode", "MediaId", "Format", "FileName", "Encrypt",
	} {
		t[f].open, t[f].close = "<"+name+">", "</"+name+">"
	}
	return t
}()

func fieldNamed(name []byte) field {
	switch string(name) {
	case "ToUserName":
		return fieldToUserName
	case "FromUserName":
		return fieldFromUserName
	case "CreateTime":
		return fieldCreateTime
	case "MsgType":
		return fieldMsgType
	case "Content":
		return fieldContent
	case "MsgId":
		return fieldMsgID
	case "AgentID":
		return fieldAgentID
	case "Event":
		return fieldEvent
	case "EventKey":
		return fieldEventKey
	case "TaskId":
		return fieldTaskID
	case "ResponseCode":
		return fieldResponseCode
	case "MediaId":
		return fieldMediaID
	case "Format":
		return fieldFormat
	case "FileName":
		return fieldFileName
	case "Encrypt":
		return fieldEncrypt
	}
	return otherField
}
