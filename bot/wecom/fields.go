package wecom

// field is a place in the table of fields anybody reads.
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
	fieldEncrypt
	fieldCount
	otherField = fieldCount
)

type fields [fieldCount][]byte

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
	case "Encrypt":
		return fieldEncrypt
	}
	return otherField
}
