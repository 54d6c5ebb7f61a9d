package sim

import "encoding/json"

// Card is a template card: the JSON of message/send, and what the person sees.
type Card struct {
	Type        string         `json:"card_type"`
	Source      *CardSource    `json:"source,omitempty"`
	ActionMenu  *CardMenu      `json:"action_menu,omitempty"`
	TaskID      string         `json:"task_id,omitempty"`
	Title       *CardText      `json:"main_title,omitempty"`
	Quote       *CardQuote     `json:"quote_area,omitempty"`
	Emphasis    *CardText      `json:"emphasis_content,omitempty"`
	SubTitle    string         `json:"sub_title_text,omitempty"`
	Rows        []CardRow      `json:"horizontal_content_list,omitempty"`
	Jumps       []CardLink     `json:"jump_list,omitempty"`
	Action      *CardLink      `json:"card_action,omitempty"`
	Image       *CardImage     `json:"card_image,omitempty"`
	ImageText   *CardImageText `json:"image_text_area,omitempty"`
	Vertical    []CardText     `json:"vertical_content_list,omitempty"`
	Selection   *CardSelect    `json:"button_selection,omitempty"`
	Buttons     []CardButton   `json:"button_list,omitempty"`
	Checkbox    *CardSelect    `json:"checkbox,omitempty"`
	Selects     []CardSelect   `json:"select_list,omitempty"`
	Submit      *CardButton    `json:"submit_button,omitempty"`
	ReplaceText string         `json:"replace_text,omitempty"` // shown instead of the buttons
}

// CardSource is the small line at the top.
type CardSource struct {
	IconURL string `json:"icon_url,omitempty"`
	Desc    string `json:"desc,omitempty"`
	Color   int    `json:"desc_color,omitempty"` // 0 grey, 1 black, 2 red, 3 green
}

// CardText is a title with a line below it.
type CardText struct {
	Title string `json:"title,omitempty"`
	Desc  string `json:"desc,omitempty"`
}

// CardMenu is the menu behind the three dots.
type CardMenu struct {
	Desc    string       `json:"desc,omitempty"`
	Actions []CardButton `json:"action_list"`
}

// CardQuote is the quotation.
type CardQuote struct {
	CardLink
	Text string `json:"quote_text,omitempty"`
}

// CardRow is a name and a value side by side.
type CardRow struct {
	Name    string `json:"keyname"`
	Value   string `json:"value,omitempty"`
	Type    int    `json:"type,omitempty"` // 0 text, 1 url, 2 media_id, 3 userid
	URL     string `json:"url,omitempty"`
	MediaID string `json:"media_id,omitempty"`
	UserID  string `json:"userid,omitempty"`
}

// CardLink leads somewhere.
type CardLink struct {
	Type     int    `json:"type,omitempty"` // 0 nowhere, 1 url, 2 mini-program
	URL      string `json:"url,omitempty"`
	AppID    string `json:"appid,omitempty"`
	PagePath string `json:"pagepath,omitempty"`
	Title    string `json:"title,omitempty"`
}

// CardImage is the picture of a news_notice.
type CardImage struct {
	URL         string  `json:"url"`
	AspectRatio float64 `json:"aspect_ratio,omitempty"`
}

// CardImageText is a picture with words beside it.
type CardImageText struct {
	CardLink
	Desc     string `json:"desc,omitempty"`
	ImageURL string `json:"image_url"`
}

// CardSelect is a choice: a drop-down, or a box of options.
type CardSelect struct {
	Question string       `json:"question_key"`
	Title    string       `json:"title,omitempty"`
	Mode     int          `json:"mode,omitempty"` // of a checkbox: 0 one, 1 several
	Selected string       `json:"selected_id,omitempty"`
	Disable  bool         `json:"disable,omitempty"`
	Options  []CardOption `json:"option_list"`
}

// CardOption is one thing to choose.
type CardOption struct {
	ID      string `json:"id"`
	Text    string `json:"text"`
	Checked bool   `json:"is_checked,omitempty"`
}

// CardButton is a button, or an entry of the action menu.
type CardButton struct {
	Type  int    `json:"type,omitempty"` // 0 callback, 1 url
	Text  string `json:"text"`
	Style int    `json:"style,omitempty"` // 1 to 4
	Key   string `json:"key,omitempty"`
	URL   string `json:"url,omitempty"`
}

// interactive reports whether the card can call back, and so has a response code.
func (c *Card) interactive() bool {
	switch c.Type {
	case "button_interaction", "vote_interaction", "multiple_interaction":
		return true
	}
	return c.ActionMenu != nil
}

// offers reports whether somebody looking at the card can press key.
func (c *Card) offers(key string) bool {
	if c.ActionMenu != nil {
		for _, a := range c.ActionMenu.Actions {
			if a.Key == key {
				return true
			}
		}
	}
	if c.ReplaceText != "" {
		return false
	}
	for _, b := range c.Buttons {
		if b.Type == 0 && b.Key == key {
			return true
		}
	}
	return c.Submit != nil && c.Submit.Key == key
}

// clone copies the card, so that one person's copy can change alone.
func (c *Card) clone() *Card {
	data, err := json.Marshal(c)
	if err != nil {
		panic(err) // a Card is strings and numbers: it always encodes
	}
	d := new(Card)
	if err := json.Unmarshal(data, d); err != nil {
		panic(err)
	}
	return d
}
