package api

import (
	"cmp"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// frame is what every page of the desk begins with: who is signed in, where they
// may go, and what came of what they just did. Pages have it as .Frame.
type frame struct {
	Name, UserID, Role string
	Home, SignOut      string // paths
	Menu               []menuItem
	Flash              *flash
}

// menuItem is a page one may go to; templates word its name as "menu.<Name>".
type menuItem struct {
	Name, Path string
	Here       bool
	Admin      bool // one of the administrator's pages, but the one where they begin
}

// menus lists the pages that are in the menu, and who sees them there.
var menus = []struct {
	name, path string
	may        policy
}{
	{"chat", "/chat", anyone},
	{"desk", "/agent/chat", theAgents},
	{"welcome", "/admin/welcome", theAdmins},
	{"dashboard", "/admin/dashboard", adminsOTP},
	{"agents", "/admin/agents", adminsOTP},
	{"shares", "/admin/shares", adminsOTP},
	{"users", "/admin/users", adminsOTP},
	{"tokens", "/admin/tokens", adminsOTP},
	{"outbox", "/admin/outbox", adminsOTP},
	{"audit", "/admin/audit", adminsOTP},
}

// frame is the frame of the page that is being answered. For nobody it has a
// way to the start and no menu.
func (r *req) frame() frame {
	p := r.who.person
	f := frame{Name: p.Name, UserID: p.ID, Role: p.Level.String(), Home: store.DefaultPath(p.Level), SignOut: signOutPath}
	if p.ID == "" {
		return f
	}
	f.Name = cmp.Or(f.Name, p.ID)
	path := r.Path()
	for _, m := range menus {
		if r.s.admit(m.may, r.who) == nil {
			f.Menu = append(f.Menu, menuItem{m.name, m.path, path == m.path || strings.HasPrefix(path, m.path+"/"), m.may.level == bot.Admin && !m.may.weak})
		}
	}
	f.Flash = r.flashed()
	return f
}

// flash is one sentence about what came of a form. It goes with a redirect, in a
// cookie that the next page takes away: never a secret, and nothing that could
// be found in an address.
type flash struct {
	Text string
	Bad  bool
}

// flashTime is how long a sentence may wait for its page.
const flashTime = time.Minute

// flash answers a form: it leads to a page that says the text "flash.<key>" with
// data about. A key of something that failed begins with "bad.".
func (r *req) flash(to, key, about string) redirect {
	v := url.Values{"k": {key}, "a": {about}}
	r.s.flashes.set(r.ctx, v.Encode(), r.s.o.Now().Add(flashTime))
	return redirect{fasthttp.StatusSeeOther, to}
}

func (r *req) flashed() *flash {
	raw := r.s.flashes.read(r.ctx)
	if raw == "" {
		return nil
	}
	r.s.flashes.clear(r.ctx)
	v, err := url.ParseQuery(raw)
	if err != nil {
		return nil
	}
	text, err := r.s.o.Words.Text(r.Lang(), "flash."+v.Get("k"), struct{ About string }{v.Get("a")})
	if err != nil { // of another version, or not ours
		return nil
	}
	return &flash{text, strings.HasPrefix(v.Get("k"), "bad.")}
}

// live is a page that runs our own scripts.
type live struct{ view }

// write lets this page run the scripts of this server and call it back. Nothing
// else may: not scripts in the page, and none that evaluate words.
func (v live) write(r *req) {
	v.view.write(r)
	allowScripts(r)
}

func allowScripts(r *req) {
	h := &r.ctx.Response.Header
	policy := string(h.Peek(fasthttp.HeaderContentSecurityPolicy))
	h.Set(fasthttp.HeaderContentSecurityPolicy, strings.Replace(policy, "default-src 'none';", "default-src 'none'; script-src 'self'; connect-src 'self';", 1))
}

// byScript reports a request that htmx made: a redirect of it would be followed
// where nobody sees it.
func (r *req) byScript() bool { return len(r.ctx.Request.Header.Peek("HX-Request")) > 0 }

// elsewhere leads the whole browser to another place, also when a script asked.
func (r *req) elsewhere(status int, to string) any {
	if r.byScript() {
		return byHeader{to}
	}
	return redirect{status, to}
}

// byHeader is a redirect that htmx obeys for the whole page.
type byHeader struct{ to string }

func (d byHeader) write(r *req) {
	r.ctx.SetStatusCode(fasthttp.StatusNoContent)
	r.ctx.Response.Header.Set("HX-Redirect", d.to)
}
