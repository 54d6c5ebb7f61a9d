package wecom

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	workcontext "github.com/silenceper/wechat/v2/work/context"
	"github.com/silenceper/wechat/v2/work/message"

	"deskbell/bot"
)

const (
	maxText = 2048 // bytes; WeCom cuts the rest off without a word

	// WeCom drops a message whose JSON equals one sent within this many seconds,
	// four hours at most (document 90236). That is what makes it safe to send an
	// Outgoing again when nobody knows whether it arrived.
	dedupeWindow = 14400
	// Half of the window stays, whatever the Variant.
	variants = dedupeWindow / 2
)

type pushText struct {
	Content string `json:"content"`
}

type pushMedia struct {
	MediaID string `json:"media_id"`
}

// push is the body of message/send. The order and presence of its members depend
// on the Outgoing alone, so that sending it again sends the same bytes.
type push struct {
	To              string          `json:"touser"`
	Type            string          `json:"msgtype"`
	AgentID         int             `json:"agentid"`
	Text            *pushText       `json:"text,omitempty"`
	Card            json.RawMessage `json:"template_card,omitempty"`
	Image           *pushMedia      `json:"image,omitempty"`
	Safe            int             `json:"safe"`
	TranslateIDs    int             `json:"enable_id_trans"`
	CheckDuplicates int             `json:"enable_duplicate_check"`
	DedupeWindow    int             `json:"duplicate_check_interval"`
}

// cardUpdate is the body of message/update_template_card.
type cardUpdate struct {
	To           []string        `json:"userids"`
	AgentID      int             `json:"agentid"`
	ResponseCode string          `json:"response_code"`
	Card         json.RawMessage `json:"template_card"`
}

// Send delivers one message to one person. An error is a *bot.Error whose kind
// tells whether to try again, see bot.Sender. A fault of the configuration (a
// wrong secret, an IP that is not trusted) counts as worth another try, later:
// somebody mends it, and then everything held back goes out.
func (c *Client) Send(ctx context.Context, o bot.Outgoing) (bot.Receipt, error) {
	if err := checkOutgoing(o); err != nil {
		return bot.Receipt{}, fail(bot.Invalid, err)
	}
	var receipt bot.Receipt
	var err error
	switch {
	case o.Recall != "":
		err = c.request(ctx, "message/recall", nil, map[string]string{"msgid": o.Recall}, nil)
	case len(o.Card) > 0 && o.ResponseCode != "":
		receipt, err = c.updateCard(ctx, o)
	default:
		receipt, err = c.push(ctx, o)
	}
	if err != nil {
		return receipt, fail(kind(err), err)
	}
	if len(receipt.Invalid) > 0 {
		return receipt, fail(bot.NotFound, errors.New("wecom took the message and did not deliver it: the person is invalid, out of the app's visible range or without a licence"))
	}
	return receipt, nil
}

// checkOutgoing keeps a message to one person from becoming one to many, and the
// SDK from meeting a card it cannot encode.
func checkOutgoing(o bot.Outgoing) error {
	switch {
	case !bot.ValidUserID(o.To):
		return errors.New("wecom send: the recipient is not one userid")
	case len(o.Image) > 0:
		return errors.New("wecom send: the image was not prepared")
	case contents(o) != 1:
		return errors.New("wecom send: not exactly one of a text, a card, an image and a recall")
	case len(o.Text) > maxText:
		return errors.New("wecom send: the text is longer than 2048 bytes")
	case len(o.Card) > 0 && (!json.Valid(o.Card) || !strings.HasPrefix(strings.TrimSpace(string(o.Card)), "{")):
		return errors.New("wecom send: the card is not a JSON object")
	}
	return nil
}

// contents counts what there is to send.
func contents(o bot.Outgoing) (n int) {
	for _, there := range []bool{o.Text != "", len(o.Card) > 0, o.MediaID != "", o.Recall != ""} {
		if there {
			n++
		}
	}
	return n
}

func (c *Client) push(ctx context.Context, o bot.Outgoing) (bot.Receipt, error) {
	body := push{
		To:              o.To,
		Type:            "text",
		AgentID:         c.agentID,
		CheckDuplicates: 1,
		// Two messages that are meant to be equal differ here, in the one member
		// the person does not see: a window some seconds shorter is as good.
		DedupeWindow: dedupeWindow - int(uint(o.Variant)%variants),
	}
	switch {
	case len(o.Card) > 0:
		body.Type, body.Card = "template_card", o.Card
	case o.MediaID != "":
		body.Type, body.Image = "image", &pushMedia{o.MediaID}
	default:
		body.Text = &pushText{o.Text}
	}
	if o.Safe {
		body.Safe = 1
	}
	var answer *message.SendResponse
	err := c.viaSDK(ctx, "message/send", func(sdk *workcontext.Context) (err error) {
		answer, err = message.NewClient(sdk).Send("message/send", body)
		return err
	})
	if err != nil {
		return bot.Receipt{}, err
	}
	return bot.Receipt{
		MsgID:        answer.MsgID,
		ResponseCode: answer.ResponseCode,
		Invalid:      append(ids(answer.InvalidUser), ids(answer.UnlicensedUser)...),
	}, nil
}

// ids splits one of WeCom's lists, "a|b".
func ids(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == '|' })
}

func (c *Client) updateCard(ctx context.Context, o bot.Outgoing) (bot.Receipt, error) {
	body := cardUpdate{To: []string{o.To}, AgentID: c.agentID, ResponseCode: o.ResponseCode, Card: o.Card}
	var answer struct {
		Invalid []string `json:"invaliduser"` // an array here, a string in message/send
	}
	err := c.request(ctx, "message/update_template_card", nil, body, &answer)
	// A response code works once: if it is spent, an earlier try of ours arrived.
	if e, ok := errors.AsType[*APIError](err); ok && e.Code == codeCardUpdated {
		return bot.Receipt{}, nil
	}
	if err != nil {
		return bot.Receipt{}, err
	}
	return bot.Receipt{Invalid: answer.Invalid}, nil
}
