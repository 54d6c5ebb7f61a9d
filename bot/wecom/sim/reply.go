package sim

import (
	"bytes"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Who gets an answer to these events gets it on the card, or is not there any
// more: a text is not shown (document 90240).
var unanswerable = []string{"template_card_event", "unsubscribe"}

// readReply opens the body of a 200. A person sees what is in order; what is
// not goes to the problems.
func (s *Sim) readReply(d *Delivery, body []byte) string {
	if len(body) == 0 || string(body) == "success" {
		return ""
	}
	text, err := s.openReply(d.User, body)
	if err == nil && slices.Contains(unanswerable, d.kind) {
		err = fmt.Errorf("a text does not answer %s", d.kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.problem("passive reply: %v", err)
		return ""
	}
	if len(text) > maxText {
		s.problem("passive reply: %d bytes, WeCom cuts it at %d", len(text), maxText)
		text = cutText(text)
	}
	if m := s.people[canonical(d.User)]; m != nil && !d.shown {
		s.show(m, Received{Via: Passive, Type: "text", Text: text})
		d.shown = true
	}
	return text
}

var (
	timestamps = regexp.MustCompile(`^[0-9]{10}$`)
	numbers    = regexp.MustCompile(`^[0-9]+$`)
)

// openReply holds a passive reply against documents 91116 and 90241.
func (s *Sim) openReply(user string, body []byte) (text string, err error) {
	outer, err := fields(body, "Encrypt", "MsgSignature", "TimeStamp", "Nonce")
	if err != nil {
		return "", fmt.Errorf("envelope: %w", err)
	}
	if !timestamps.MatchString(outer["TimeStamp"]) || outer["Nonce"] == "" {
		return "", errors.New("envelope: TimeStamp or Nonce")
	}
	sum := s.keys.Sign([]byte(outer["TimeStamp"]), []byte(outer["Nonce"]), []byte(outer["Encrypt"]))
	if outer["MsgSignature"] != hex.EncodeToString(sum[:]) {
		return "", errors.New("envelope: MsgSignature")
	}
	plain, err := s.keys.Decrypt([]byte(outer["Encrypt"]))
	if err != nil {
		return "", fmt.Errorf("envelope: %w", err)
	}
	inner, err := fields(plain, "ToUserName", "FromUserName", "CreateTime", "MsgType", "Content")
	switch {
	case err != nil:
		return "", err
	case canonical(inner["ToUserName"]) != canonical(user):
		return "", errors.New("ToUserName is not the sender of the message")
	case inner["FromUserName"] != s.conf.CorpID:
		return "", errors.New("FromUserName is not the corporation")
	case !numbers.MatchString(inner["CreateTime"]):
		return "", errors.New("CreateTime is not a number")
	case inner["MsgType"] != "text":
		return "", fmt.Errorf("MsgType %q", inner["MsgType"])
	case strings.TrimSpace(inner["Content"]) == "":
		return "", errors.New("empty Content")
	}
	return inner["Content"], nil
}

// fields reads <xml> with exactly the elements named, each once, in any order.
func fields(doc []byte, names ...string) (map[string]string, error) {
	found := map[string]string{}
	d := xml.NewDecoder(bytes.NewReader(doc))
	depth, name := 0, ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("not XML: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth++
			name = t.Name.Local
			_, again := found[name]
			known := depth == 1 && name == "xml" && len(found) == 0 || depth == 2 && slices.Contains(names, name) && !again
			if !known || t.Name.Space != "" || len(t.Attr) > 0 {
				return nil, fmt.Errorf("element %s does not belong there", name)
			}
			if depth == 2 {
				found[name] = ""
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			switch {
			case depth == 2:
				found[name] += string(t)
			case len(bytes.TrimSpace(t)) > 0:
				return nil, errors.New("text outside the elements")
			}
		default:
			return nil, fmt.Errorf("%T does not belong there", t)
		}
	}
	for _, n := range names {
		if _, ok := found[n]; !ok {
			return nil, fmt.Errorf("no %s", n)
		}
	}
	return found, nil
}
