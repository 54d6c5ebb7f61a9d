package api

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// saidLine is one message as somebody sees it: the data of saidfragment and
// exportsaid.
type saidLine struct {
	store.Said
	Own    bool   // said by their side
	Text   string // the desk's own words; "" for what people said
	Named  bool   // it is not obvious who said it
	Pieces []piece
	Sent   *sent // instead of words; nil for words
}

// sent is something that was sent instead of words.
type sent struct {
	Label   string // its name, or what it is
	Path    string // where it is; "" when it is not here, or nobody could get it
	Picture bool   // a page can show it
	Waits   bool   // it is being got
	Again   string // where the message is to be had anew, as long as it waits
	Trouble string // why it will never be here
}

// piece is a part of what was said: words, or an address one can go to.
type piece struct{ Text, Link string }

// line is a message as a party sees it. What was sent with it is below base, ""
// where nobody could get it.
func (s *Server) line(ctx context.Context, lang, base string, by store.Party, c store.Conversation, m store.Said) (saidLine, error) {
	list, err := s.lines(ctx, lang, base, by, c, []store.Said{m})
	if err != nil {
		return saidLine{}, err
	}
	return list[0], nil
}

// words is a message without what was sent with it.
func (s *Server) words(lang string, by store.Party, c store.Conversation, m store.Said) (saidLine, error) {
	m.CreatedAt = m.CreatedAt.UTC()
	text, err := s.desksWords(lang, m)
	l := saidLine{Said: m, Text: text}
	if m.Role != store.ByDesk {
		l.Own = (m.Role == store.ByAsker) == (by.Key == c.Asker)
		l.Named = m.Author != by.Key
		l.Pieces = pieces(m.Content)
	}
	return l, err
}

func (s *Server) lines(ctx context.Context, lang, base string, by store.Party, c store.Conversation, list []store.Said) ([]saidLine, error) {
	var ids []string
	for _, m := range list {
		if m.Media != "" {
			ids = append(ids, m.Media)
		}
	}
	media, err := s.o.Store.Medias(ctx, ids)
	if err != nil {
		return nil, err
	}
	lines := make([]saidLine, len(list))
	for i, m := range list {
		if lines[i], err = s.words(lang, by, c, m); err != nil {
			return nil, err
		}
		if m.Media == "" {
			continue
		}
		if lines[i].Sent, err = s.sentWith(lang, base, m, media[m.Media]); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// sentWith shows what was sent with a message, as far as it is here.
func (s *Server) sentWith(lang, base string, m store.Said, medium store.Media) (_ *sent, err error) {
	t := &sent{}
	if t.Label, err = s.label(lang, m); err != nil || base == "" {
		return t, err
	}
	switch medium.State {
	case store.MediaKept:
		t.Path, t.Picture = base+"/media/"+m.Media, strings.HasPrefix(medium.Type, "image/")
	case store.MediaWanted:
		t.Waits, t.Again = true, withQuery(base, "part", "said", "n", strconv.FormatInt(m.N, 10))
	case store.MediaFailed:
		t.Trouble, err = s.o.Words.Text(lang, medium.Reason, nil)
	}
	return t, err
}

// pieces finds the web addresses in what somebody said.
func pieces(text string) (list []piece) {
	plain := 0
	for at := 0; at < len(text); {
		rest := text[at:]
		if !strings.HasPrefix(rest, "https://") && !strings.HasPrefix(rest, "http://") {
			at++
			continue
		}
		n := strings.IndexFunc(rest, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`<>"'`, c) })
		if n < 0 {
			n = len(rest)
		}
		address := strings.TrimRight(rest[:n], ".,;:!?)]}")
		if u, err := url.Parse(address); err != nil || u.Host == "" {
			at += n
			continue
		}
		if plain < at {
			list = append(list, piece{Text: text[plain:at]})
		}
		list = append(list, piece{address, address})
		at += len(address)
		plain = at
	}
	if plain < len(text) {
		list = append(list, piece{Text: text[plain:]})
	}
	return list
}

// talkSaid is one message anew, for a page that waits for what was sent with it.
func (s *Server) talkSaid(ctx context.Context, r *req, c store.Conversation, by store.Party, base string) (any, error) {
	n, err := strconv.ParseInt(r.Query("n"), 10, 64)
	if err != nil || n < 1 {
		return nil, badRequest("n", "is no number of a message")
	}
	list, err := s.o.Store.Messages(ctx, c.ID, n-1, 1)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || list[0].N != n {
		return nil, store.ErrNotFound
	}
	l, err := s.line(ctx, r.Lang(), base, by, c, list[0])
	return view{fasthttp.StatusOK, "saidfragment", l}, err
}
