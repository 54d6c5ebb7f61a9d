package sim

// checkMessage refuses a message as WeCom does, before it looks at whom it is for.
func (s *Sim) checkMessage(m *message) *refusal {
	for name, flag := range map[string]int{"safe": m.Safe, "enable_id_trans": m.TranslateIDs, "enable_duplicate_check": m.CheckRepeat} {
		if flag != 0 && flag != 1 {
			return refuse(40058, "%s: 0 or 1", name)
		}
	}
	if m.CheckInterval < 0 || m.CheckInterval > maxInterval {
		return refuse(40058, "duplicate_check_interval: at most %d", maxInterval)
	}
	if m.CheckInterval == 0 {
		m.CheckInterval = defaultInterval
	}
	if m.Safe == 1 && m.Type != "text" && m.Type != "image" && m.Type != "file" {
		s.problem("message/send: safe has no effect on %s", m.Type)
	}
	switch m.Type {
	case "text":
		if m.Text == nil || m.Text.Content == "" {
			return refuse(44004, "")
		}
	case "markdown":
		return checkMarkdown(m.Markdown)
	case "image":
		return s.checkMedia("image", m.Image)
	case "file":
		return s.checkMedia("file", m.File)
	case "textcard":
		return m.TextCard.check()
	case "template_card":
		return s.checkCard(m.Card)
	default:
		return refuse(40008, "")
	}
	return nil
}

func checkMarkdown(c *content) *refusal {
	if c == nil || c.Content == "" {
		return refuse(44004, "markdown")
	}
	if len(c.Content) > maxText {
		return refuse(45002, "markdown: at most %d bytes", maxText)
	}
	return nil
}

// checkMedia: the media must have been uploaded as what it is sent as.
func (s *Sim) checkMedia(kind string, ref *mediaRef) *refusal {
	if ref == nil || ref.MediaID == "" {
		return refuse(41006, "")
	}
	m, ok := s.media[ref.MediaID]
	if !ok || m.kind != kind || !s.conf.Now().Before(m.until) {
		return refuse(40007, "")
	}
	return nil
}

func (t *TextCard) check() *refusal {
	switch {
	case t == nil || t.Title == "":
		return refuse(41016, "textcard")
	case t.Description == "":
		return refuse(41033, "textcard")
	case len([]rune(t.Title)) > 128, len([]rune(t.Description)) > 512:
		return refuse(45002, "textcard: title at most 128 characters, description 512")
	case len([]rune(t.ButtonText)) > 4:
		return refuse(45002, "textcard.btntxt: at most 4 characters")
	}
	return checkURL("textcard", t.URL)
}

func (s *Sim) checkCard(c *Card) *refusal {
	if c == nil {
		return refuse(40063, "template_card")
	}
	if no := c.check(); no != nil {
		return no
	}
	if c.interactive() && len(s.callbacks) == 0 {
		return refuse(43012, "the app has no callback URL")
	}
	return nil
}
