package sim

import (
	"net/url"
	"regexp"
)

// The limits of document 90236 that WeCom enforces. Lengths it only advises,
// of titles for example, are cut on the screen and not refused.
const (
	maxKey      = 1024
	maxOptionID = 128
	maxURL      = 2048
)

var taskIDs = regexp.MustCompile(`^[0-9a-zA-Z_\-@]{1,128}$`)

// check refuses a card as WeCom does.
func (c *Card) check() *refusal {
	for _, step := range []func() *refusal{c.checkTask, c.checkKind, c.checkMenu, c.checkRows, c.checkLinks, c.checkButtons} {
		if no := step(); no != nil {
			return no
		}
	}
	return nil
}

func (c *Card) checkTask() *refusal {
	if c.TaskID == "" && c.interactive() {
		return refuse(40063, "template_card.task_id")
	}
	if c.TaskID != "" && !taskIDs.MatchString(c.TaskID) {
		return refuse(42014, "template_card.task_id")
	}
	return nil
}

// checkKind holds the card against what its card_type requires.
func (c *Card) checkKind() *refusal {
	title := c.Title != nil && c.Title.Title != ""
	if !title && (c.Type != "text_notice" || c.SubTitle == "") {
		return refuse(40063, "template_card.main_title.title")
	}
	switch c.Type {
	case "text_notice":
		return c.checkAction()
	case "news_notice":
		if no := c.checkImage(); no != nil {
			return no
		}
		return c.checkAction()
	case "button_interaction":
		if len(c.Buttons) < 1 || len(c.Buttons) > 6 {
			return refuse(40058, "template_card.button_list: 1 to 6")
		}
		if c.Selection != nil {
			return c.Selection.check("button_selection", 10)
		}
	case "vote_interaction":
		if c.Checkbox == nil {
			return refuse(40063, "template_card.checkbox")
		}
		if no := c.Checkbox.check("checkbox", 20); no != nil {
			return no
		}
		return c.checkSubmit()
	case "multiple_interaction":
		if len(c.Selects) < 1 || len(c.Selects) > 3 {
			return refuse(40058, "template_card.select_list: 1 to 3")
		}
		for i := range c.Selects {
			if no := c.Selects[i].check("select_list", 10); no != nil {
				return no
			}
		}
		return c.checkSubmit()
	default:
		return refuse(40058, "template_card.card_type")
	}
	return nil
}

// checkAction: a notice must lead somewhere.
func (c *Card) checkAction() *refusal {
	if c.Action == nil || c.Action.Type < 1 || c.Action.Type > 2 {
		return refuse(42045, "")
	}
	if c.Action.Type == 1 && !webURL(c.Action.URL) || c.Action.Type == 2 && c.Action.AppID == "" {
		return refuse(42045, "url or appid")
	}
	return nil
}

func (c *Card) checkImage() *refusal {
	if len(c.Vertical) > 4 {
		return refuse(40058, "template_card.vertical_content_list: at most 4")
	}
	for _, v := range c.Vertical {
		if v.Title == "" {
			return refuse(40063, "template_card.vertical_content_list.title")
		}
	}
	switch {
	case c.Image != nil:
		if r := c.Image.AspectRatio; r != 0 && (r < 1.3 || r > 2.25) {
			return refuse(40058, "template_card.card_image.aspect_ratio")
		}
		return checkURL("card_image", c.Image.URL)
	case c.ImageText != nil:
		return checkURL("image_text_area", c.ImageText.ImageURL)
	}
	return refuse(40063, "template_card.card_image")
}

func (c *Card) checkMenu() *refusal {
	if c.ActionMenu == nil {
		return nil
	}
	if n := len(c.ActionMenu.Actions); n < 1 || n > 3 {
		return refuse(40058, "template_card.action_menu.action_list: 1 to 3")
	}
	return checkKeys("action_menu", c.ActionMenu.Actions)
}

func (c *Card) checkRows() *refusal {
	if len(c.Rows) > 6 {
		return refuse(40058, "template_card.horizontal_content_list: at most 6")
	}
	for _, row := range c.Rows {
		missing := row.Type == 1 && row.URL == "" || row.Type == 2 && row.MediaID == "" || row.Type == 3 && row.UserID == ""
		if row.Name == "" || missing || row.Type < 0 || row.Type > 3 {
			return refuse(40058, "template_card.horizontal_content_list")
		}
		if row.Type == 1 {
			if no := checkURL("horizontal_content_list", row.URL); no != nil {
				return no
			}
		}
	}
	return nil
}

func (c *Card) checkLinks() *refusal {
	if len(c.Jumps) > 3 {
		return refuse(40058, "template_card.jump_list: at most 3")
	}
	for _, j := range c.Jumps {
		if j.Title == "" {
			return refuse(40063, "template_card.jump_list.title")
		}
	}
	links := c.Jumps
	if c.Quote != nil {
		links = append(links[:len(links):len(links)], c.Quote.CardLink)
	}
	if c.Action != nil {
		links = append(links[:len(links):len(links)], *c.Action)
	}
	for _, l := range links {
		if l.Type == 1 {
			if no := checkURL("link", l.URL); no != nil {
				return no
			}
		}
		if l.Type == 2 && l.AppID == "" || l.Type < 0 || l.Type > 2 {
			return refuse(40058, "template_card: type or appid of a link")
		}
	}
	return nil
}

func (c *Card) checkButtons() *refusal {
	for _, b := range c.Buttons {
		if b.Style < 0 || b.Style > 4 || b.Type < 0 || b.Type > 1 {
			return refuse(40058, "template_card.button_list: style or type")
		}
		if b.Type == 1 {
			if no := checkURL("button_list", b.URL); no != nil {
				return no
			}
		}
	}
	return checkKeys("button_list", c.Buttons)
}

func (c *Card) checkSubmit() *refusal {
	if c.Submit == nil {
		return refuse(40063, "template_card.submit_button")
	}
	return checkKeys("submit_button", []CardButton{*c.Submit})
}

// checkKeys: every button has words, and every one that calls back a key that
// no other one on the card has.
func checkKeys(where string, buttons []CardButton) *refusal {
	used := map[string]bool{}
	for _, b := range buttons {
		if b.Text == "" {
			return refuse(40063, "template_card.%s.text", where)
		}
		if b.Type == 1 {
			continue
		}
		if b.Key == "" || len(b.Key) > maxKey || used[b.Key] {
			return refuse(40058, "template_card.%s.key: 1 to %d bytes, no two alike", where, maxKey)
		}
		used[b.Key] = true
	}
	return nil
}

func (s *CardSelect) check(where string, most int) *refusal {
	if s.Question == "" || len(s.Question) > maxKey {
		return refuse(40058, "template_card.%s.question_key", where)
	}
	if len(s.Options) < 1 || len(s.Options) > most {
		return refuse(40058, "template_card.%s.option_list: 1 to %d", where, most)
	}
	used := map[string]bool{}
	for _, o := range s.Options {
		if o.ID == "" || len(o.ID) > maxOptionID || o.Text == "" || used[o.ID] {
			return refuse(40058, "template_card.%s.option_list", where)
		}
		used[o.ID] = true
	}
	return nil
}

func checkURL(where, u string) *refusal {
	switch {
	case u == "":
		return refuse(40063, "%s.url", where)
	case len(u) > maxURL:
		return refuse(40058, "%s.url: at most %d bytes", where, maxURL)
	case !webURL(u):
		return refuse(45034, "%s.url", where)
	}
	return nil
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && len(s) <= maxURL
}
