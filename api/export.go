package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// asHTML shows messages to pages.
func (r *req) asHTML(by store.Party) func(context.Context, store.Said, store.Conversation) ([]byte, error) {
	s, lang, base := r.s, r.Lang(), chatAt(r.holes[0])
	if r.who.account != nil {
		base = shareLink(r.holes[0])
	}
	return func(ctx context.Context, m store.Said, c store.Conversation) ([]byte, error) {
		v, err := s.line(ctx, lang, base, by, c, m)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		err = s.o.Words.Page(&b, lang, "saidfragment", v)
		return bytes.TrimSpace(b.Bytes()), err
	}
}

// exportHead is the data of exporthead.
type exportHead struct {
	store.Conversation
	SavedAt time.Time
	By      string
}

// export saves a session as a file: for people to read, or with ?format=json for
// programs. It is written while it is sent, however long it is.
func (s *Server) export(ctx context.Context, r *req) (any, error) {
	c, by, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	f := &sessionFile{s: s, c: c, by: by, lang: r.Lang(), form: r.Query("format"), at: s.o.Now().UTC()}
	switch f.form {
	case "":
		f.form = "html"
	case "html", "json":
	default:
		return nil, badRequest("format", "is neither html nor json")
	}
	if r.ctx.IsHead() { // nothing leaves
		return f, nil
	}
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		tx.Audit(store.AuditEntry{Actor: r.who.actor(), Action: "session.export", Target: c.ID, Detail: f.form})
		return nil
	})
	return f, err
}

// sessionFile is a session as a file.
type sessionFile struct {
	s     *Server
	c     store.Conversation
	by    store.Party
	lang  string
	form  string
	at    time.Time
	begun bool
	after int64
}

// name holds nothing that somebody typed.
func (f *sessionFile) name() string {
	return fmt.Sprintf("session-%s-%s.%s", f.c.Short(), f.at.Format("20060102"), f.form)
}

func (f *sessionFile) write(r *req) {
	h := &r.ctx.Response.Header
	r.ctx.SetStatusCode(fasthttp.StatusOK)
	r.ctx.SetContentType(map[string]string{"html": "text/html", "json": "application/json"}[f.form] + "; charset=utf-8")
	h.Set(fasthttp.HeaderContentDisposition, `attachment; filename="`+f.name()+`"`)
	if r.ctx.IsHead() {
		return
	}
	r.ctx.SetBodyStream(&flow{conn: r.ctx.Conn(), extended: time.Now(), fill: f.fill, end: func(err error) {
		if err != nil {
			f.s.o.Log.Error("session not saved whole", "route", r.template(), "id", r.id, "err", err)
		}
	}}, -1)
}

// fill appends the next messages, up to the one that was the last when it began.
func (f *sessionFile) fill(out *bytes.Buffer) (more bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), handleTime)
	defer cancel()
	if !f.begun {
		if err := f.head(out); err != nil {
			return false, err
		}
	}
	list, err := f.s.o.Store.Messages(ctx, f.c.ID, f.after, newsAtOnce)
	if err != nil {
		return false, err
	}
	for _, m := range list {
		if m.N > f.c.Last {
			break
		}
		if err := f.message(out, m); err != nil {
			return false, err
		}
		f.begun, f.after = true, m.N
	}
	if len(list) == newsAtOnce && f.after < f.c.Last {
		return true, nil
	}
	return false, f.foot(out)
}

func (f *sessionFile) head(out *bytes.Buffer) error {
	if f.form == "json" {
		session, err := json.Marshal(showSession(f.c))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, `{"session":%s,"messages":[`, session)
		return nil
	}
	c := f.c
	c.CreatedAt = c.CreatedAt.UTC()
	if c.ClosedAt != nil {
		c.ClosedAt = new(c.ClosedAt.UTC())
	}
	return f.page(out, "exporthead", exportHead{c, f.at, f.by.Name})
}

func (f *sessionFile) message(out *bytes.Buffer, m store.Said) error {
	if f.form == "html" {
		v, err := f.s.words(f.lang, f.by, f.c, m)
		if err == nil && m.Media != "" {
			v.Sent, err = f.s.sentWith(f.lang, "", m, store.Media{})
		}
		if err != nil {
			return err
		}
		return f.page(out, "exportsaid", v)
	}
	shown, err := f.s.showMessage(f.lang, m)
	if err != nil {
		return err
	}
	text, err := json.Marshal(shown)
	if f.begun {
		out.WriteString(",")
	}
	out.WriteString("\n")
	out.Write(text)
	return err
}

func (f *sessionFile) foot(out *bytes.Buffer) error {
	if f.form == "html" {
		return f.page(out, "exportfoot", nil)
	}
	out.WriteString("\n]}\n")
	return nil
}

func (f *sessionFile) page(out io.Writer, name string, data any) error {
	return f.s.o.Words.Page(out, f.lang, name, data)
}
