package wecom

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Menu is the app's menu at the foot of the chat; without buttons there is none.
type Menu struct {
	Buttons []Button `json:"button"`
}

// Button is an entry, or with Sub a drawer of entries.
type Button struct {
	Type string   `json:"type,omitempty"`
	Name string   `json:"name"`
	Key  string   `json:"key,omitempty"` // comes back in the click event
	URL  string   `json:"url,omitempty"` // of a view button
	Sub  []Button `json:"sub_button,omitempty"`
}

// The limits of document 90231, in entries and bytes.
const (
	maxMenu, maxDrawer = 3, 5
	maxTop, maxSub     = 16, 40
	maxKey, maxURL     = 128, 1024
)

var keyedButtons = []string{
	"click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select",
}

// Menu returns the app's menu as WeCom has it.
func (c *Client) Menu(ctx context.Context) (Menu, error) {
	var m Menu
	err := c.request(ctx, "menu/get", c.ofApp(), nil, &m)
	if e, ok := errors.AsType[*APIError](err); ok && e.Code == codeNoMenu {
		return Menu{}, nil
	}
	return m, err
}

// SetMenu replaces the app's menu.
func (c *Client) SetMenu(ctx context.Context, m Menu) error {
	if err := m.check(); err != nil {
		return fmt.Errorf("menu: %w", err)
	}
	return c.request(ctx, "menu/create", c.ofApp(), m, nil)
}

func (m Menu) check() error {
	if n := len(m.Buttons); n < 1 || n > maxMenu {
		return fmt.Errorf("%d buttons, wants 1 to %d", n, maxMenu)
	}
	for _, b := range m.Buttons {
		if err := b.check(maxTop); err != nil {
			return fmt.Errorf("button %q: %w", b.Name, err)
		}
		if len(b.Sub) > maxDrawer {
			return fmt.Errorf("button %q: %d entries, at most %d", b.Name, len(b.Sub), maxDrawer)
		}
		for _, sub := range b.Sub {
			if len(sub.Sub) > 0 {
				return fmt.Errorf("button %q: entries of an entry", sub.Name)
			}
			if err := sub.check(maxSub); err != nil {
				return fmt.Errorf("button %q: %w", sub.Name, err)
			}
		}
	}
	return nil
}

func (b Button) check(maxName int) error {
	switch {
	case b.Name == "" || len(b.Name) > maxName:
		return fmt.Errorf("the name has %d bytes, wants 1 to %d", len(b.Name), maxName)
	case len(b.Sub) > 0:
		if b.Type != "" || b.Key != "" || b.URL != "" {
			return errors.New("opens entries, so it has no type, key or url")
		}
	case b.Type == "view":
		if b.Key != "" || len(b.URL) > maxURL || !strings.HasPrefix(b.URL, "https://") && !strings.HasPrefix(b.URL, "http://") {
			return fmt.Errorf("a view has no key and a url of at most %d bytes with http:// or https://", maxURL)
		}
	case slices.Contains(keyedButtons, b.Type):
		if b.URL != "" || b.Key == "" || len(b.Key) > maxKey {
			return fmt.Errorf("a %s has no url and a key of 1 to %d bytes", b.Type, maxKey)
		}
	default:
		return fmt.Errorf("unknown type %q", b.Type)
	}
	return nil
}

// AppInfo is what WeCom says of the application.
type AppInfo struct {
	Name           string
	Closed         bool   // disabled by an administrator
	RedirectDomain string // the trusted domain of sign-in
	ReportsEnter   bool   // sends enter_agent events
}

// App asks about the application itself. It proves the secret, the agent id and
// the trusted IP in one call.
func (c *Client) App(ctx context.Context) (AppInfo, error) {
	var a struct {
		Name           string `json:"name"`
		Close          int    `json:"close"`
		RedirectDomain string `json:"redirect_domain"`
		ReportsEnter   int    `json:"isreportenter"`
	}
	if err := c.request(ctx, "agent/get", c.ofApp(), nil, &a); err != nil {
		return AppInfo{}, err
	}
	return AppInfo{Name: a.Name, Closed: a.Close != 0, RedirectDomain: a.RedirectDomain, ReportsEnter: a.ReportsEnter != 0}, nil
}

// CallbackIPs lists the addresses WeCom's callbacks come from; an entry may be a
// pattern such as 101.226.103.*.
func (c *Client) CallbackIPs(ctx context.Context) ([]string, error) {
	var answer struct {
		IPs []string `json:"ip_list"`
	}
	err := c.request(ctx, "getcallbackip", nil, nil, &answer)
	return answer.IPs, err
}

// ofApp is the query of the calls about one application.
func (c *Client) ofApp() url.Values {
	return url.Values{"agentid": {strconv.Itoa(c.agentID)}}
}
