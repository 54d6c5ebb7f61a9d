package sim

import "slices"

// MenuEntry is an entry of the app's menu at the foot of the chat.
type MenuEntry struct {
	Type string      `json:"type,omitempty"`
	Name string      `json:"name"`
	Key  string      `json:"key,omitempty"`
	URL  string      `json:"url,omitempty"`
	Sub  []MenuEntry `json:"sub_button,omitempty"`
}

// Limits of document 90231, in bytes.
const (
	maxTopName = 16
	maxSubName = 40
	maxMenuKey = 128
	maxMenuURL = 1024
)

// menuTypes that carry a key; view carries a url instead.
var menuKeyTypes = []string{
	"click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select",
}

func (s *Sim) menuCreate(c *call) (answer, *refusal) {
	if no := s.queryAgent(c); no != nil {
		return nil, no
	}
	var body struct {
		Button []MenuEntry `json:"button"`
	}
	if no := s.decode(c, &body); no != nil {
		return nil, no
	}
	if n := len(body.Button); n < 1 || n > 3 {
		return nil, refuse(40058, "button: 1 to 3")
	}
	for _, e := range body.Button {
		if no := e.check(maxTopName); no != nil {
			return nil, no
		}
	}
	s.menu = body.Button
	s.tell(pageEvent{Kind: "menu"})
	return nil, nil
}

func (e MenuEntry) check(maxName int) *refusal {
	if e.Name == "" || len(e.Name) > maxName {
		return refuse(40058, "button.name: 1 to %d bytes", maxName)
	}
	if len(e.Sub) > 0 {
		if maxName == maxSubName || len(e.Sub) > 5 {
			return refuse(40058, "sub_button: 1 to 5, one level")
		}
		for _, sub := range e.Sub {
			if no := sub.check(maxSubName); no != nil {
				return no
			}
		}
		return nil
	}
	switch {
	case e.Type == "view":
		if len(e.URL) > maxMenuURL || !webURL(e.URL) {
			return refuse(40058, "button.url")
		}
	case slices.Contains(menuKeyTypes, e.Type):
		if e.Key == "" || len(e.Key) > maxMenuKey {
			return refuse(40058, "button.key: 1 to %d bytes", maxMenuKey)
		}
	default:
		return refuse(40058, "button.type")
	}
	return nil
}

func (s *Sim) menuGet(c *call) (answer, *refusal) {
	if no := s.queryAgent(c); no != nil {
		return nil, no
	}
	if s.menu == nil {
		return nil, refuse(46003, "")
	}
	return answer{"button": s.menu}, nil
}

func (s *Sim) menuDelete(c *call) (answer, *refusal) {
	if no := s.queryAgent(c); no != nil {
		return nil, no
	}
	s.menu = nil
	s.tell(pageEvent{Kind: "menu"})
	return nil, nil
}

// Menu returns the app's menu; nil when it has none.
func (s *Sim) Menu() []MenuEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.menu)
}
