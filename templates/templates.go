// Package templates owns every sentence a person reads: replies, cards and the
// few web pages, in Chinese and English, embedded and checked when the program
// starts, so that a broken text stops the program and not a person.
//
// It knows replies (package bot) and nothing of who sends them. Go code
// elsewhere names a text by key ("status", "error.denied") and hands
// over the data for its holes; which reply fits is decided in commands and
// api, and how it travels in bot/wecom.
//
//	zh/status.md         texts: {{define "status.help"}} … {{end}}
//	zh/status.card.json  one WeCom template card, under the key "status"
//	zh/redeem.html       one page; its first comment lists the fields it needs
//	zh/words.md          the words people use for a command's choices
//
// Whatever a person typed goes through plain on its way into a text or card.
//
//	set, err := templates.Load()
//	text, err := set.Text("zh", "error.denied", nil)
package templates

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	html "html/template"
	"io"
	"io/fs"
	"strings"
	"text/template"
	"time"
)

//go:embed zh en static
var files embed.FS

// Set is all texts, cards and pages. Zone and Now may be set before first use;
// after that a Set is safe for many goroutines.
type Set struct {
	Zone *time.Location   // in which times of day are shown; default time.Local
	Now  func() time.Time // what "today" and "ago" are measured from; default time.Now

	langs map[string]*language
	words map[string]string // what people say → the choice it stands for
}

// language is one folder.
type language struct {
	texts *template.Template
	cards map[string]*template.Template
	pages *html.Template
	words map[string]string // a choice → how this language shows it
}

// Text renders a reply in words: trimmed, never empty, and as long as it is. A
// language nobody wrote counts as Chinese.
func (s *Set) Text(lang, key string, data any) (string, error) {
	var b strings.Builder
	if err := s.in(lang).text(&b, key, data); err != nil {
		return "", fmt.Errorf("text %s in %s: %w", key, lang, err)
	}
	text := strings.TrimSpace(b.String())
	if text == "" {
		return "", fmt.Errorf("text %s in %s: empty", key, lang)
	}
	return text, nil
}

// Card renders a template card with the given task id and checks it against
// WeCom's limits.
func (s *Set) Card(lang, key, taskID string, data any) (json.RawMessage, error) {
	t, ok := s.in(lang).cards[key]
	if !ok {
		return nil, fmt.Errorf("card %s in %s: not defined", key, lang)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("card %s in %s: %w", key, lang, err)
	}
	c, err := decodeCard(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("card %s in %s: %w", key, lang, err)
	}
	c.TaskID = taskID
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("card %s in %s: %w", key, lang, err)
	}
	return c.encode()
}

// Page writes a web page. Nothing is written when it cannot be rendered whole.
func (s *Set) Page(w io.Writer, lang, name string, data any) error {
	var b bytes.Buffer
	if err := s.in(lang).pages.ExecuteTemplate(&b, name+".html", data); err != nil {
		return fmt.Errorf("page %s in %s: %w", name, lang, err)
	}
	_, err := b.WriteTo(w)
	return err
}

// Word gives the choice a word stands for, in whichever language it was said:
// 在线 → online. It is "" for a word that stands for none.
func (s *Set) Word(word string) string { return s.words[strings.ToLower(word)] }

// Static is what the pages link to under /static/.
func Static() fs.FS {
	sub, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // the name is a constant
	}
	return sub
}

func (s *Set) in(lang string) *language {
	if l, ok := s.langs[lang]; ok {
		return l
	}
	return s.langs["zh"]
}

var errUndefined = errors.New("not defined")

func (l *language) text(w io.Writer, key string, data any) error {
	t := l.texts.Lookup(key)
	if t == nil {
		return errUndefined
	}
	return t.Execute(w, data)
}
