// Package api owns the process's HTTP server: REST, the few pages people open,
// the middleware around both, and the metrics.
//
// The whole surface is the table in routes.go. A handler returns a value or an
// error; what that looks like on the wire is decided in envelope.go. It leaves
// to store what is remembered and decided once, to templates every sentence on
// a page, and WeCom's own calls to whatever main mounts.
//
//	srv := api.New(api.Options{Store: st, Words: texts, PublicURL: "https://desk.example.com"})
//	srv.Mount("/callbacks/wecom", callbacks.Serve)
//	err := srv.Serve(ln) // until Shutdown
package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// Options is what the server needs to know. Store, Words and PublicURL are
// required.
type Options struct {
	Store     *store.Store
	Words     Words
	Static    fs.FS  // what the pages refer to under /static/
	PublicURL string // server.public_url

	TrustedProxies  []netip.Prefix // server.trusted_proxies
	FrameAncestors  []string       // server.frame_ancestors
	MasterKey       string         // security.master_key; only its hash is kept
	RequireAdminOTP bool           // security.require_admin_otp

	Logins *store.Logins // signs agents in at the desk
	SignIn SignIn        // without it nobody signs in at WeCom, only by a link from the chat

	// Limit counts one use of the named limit (limits.login_per_address) by key
	// and says how long to wait: 0 is "go ahead". nil limits nothing.
	Limit func(ctx context.Context, name, key string) time.Duration
	// GiveBack takes back a use that Limit counted. nil takes nothing back.
	GiveBack func(ctx context.Context, name, key string)

	Checks  []Check  // what /readyz asks
	Metrics *Metrics // nil counts nothing
	Version string
	Log     *slog.Logger     // nil: nothing is logged
	Now     func() time.Time // nil: time.Now
}

// Words is what people read; templates.Set has it.
type Words interface {
	Page(w io.Writer, lang, name string, data any) error
	Text(lang, key string, data any) (string, error)
}

// Server answers HTTP. Make one with New.
type Server struct {
	o         Options
	http      *fasthttp.Server
	routes    router
	mounts    map[string]mount
	static    map[string]asset
	headers   [][2]string
	cookie    cookie
	state     cookie // of a browser that went to sign in
	guest     cookie // of an end user who signed in to a share
	flashes   cookie // of what came of a form, for the next page
	origin    string // of public_url
	master    [sha256.Size]byte
	ids       ids
	described func() (asset, error) // the document of the API
	draining  atomic.Bool
	places    places // in streams
	queue     queuePlaces
	pulse     pulse
	stopping  chan struct{} // closed when streams have to end
	stop      func()
}

// Limits on what a stranger can make the server hold. A request must have
// arrived whole within readTime; a body is read piece by piece, so announcing
// one costs nothing (see body.go).
const (
	readTime   = 3 * time.Second
	writeTime  = 15 * time.Second
	idleTime   = 60 * time.Second
	headerSize = 8 << 10
	maxConns   = 8192
)

// New makes a server. It fails when the public URL is none or the static files
// cannot be read.
func New(o Options) (*Server, error) {
	u, err := url.Parse(o.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("public URL %q is not an http or https origin", o.PublicURL)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		o:       o,
		mounts:  map[string]mount{},
		headers: securityHeaders(u.Scheme == "https", o.FrameAncestors),
		cookie:  newCookie(u, len(o.FrameAncestors) > 0),
		state:   newCookie(u, false).as("signin"),
		guest:   newCookie(u, len(o.FrameAncestors) > 0).as("share"),
		flashes: newCookie(u, len(o.FrameAncestors) > 0).as("flash"),
		origin:  u.Scheme + "://" + u.Host,
		ids:     newIDs(),
		places:  places{taken: map[string]int{}}, pulse: pulseUsual, stopping: make(chan struct{}),
	}
	s.stop = sync.OnceFunc(func() { close(s.stopping) })
	s.routes = newRouter(s.table())
	s.described = sync.OnceValues(s.describe)
	if o.MasterKey != "" {
		s.master = sha256.Sum256([]byte(o.MasterKey))
		s.o.MasterKey = ""
	}
	if s.static, err = readAssets(o.Static); err != nil {
		return nil, err
	}
	s.http = &fasthttp.Server{
		Handler:                      s.serve,
		ErrorHandler:                 s.malformed,
		HeaderReceived:               patience,
		Logger:                       printer{o.Log},
		ReadTimeout:                  readTime,
		WriteTimeout:                 writeTime,
		IdleTimeout:                  idleTime,
		ReadBufferSize:               headerSize,
		Concurrency:                  maxConns,
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
	}
	return s, nil
}

// Mount has h answer everything at path, outside the table: h brings its own
// rules and headers, and gets bodies of at most 64 KiB. Mount before Serve.
func (s *Server) Mount(path string, h func(*fasthttp.RequestCtx)) { s.mounts[path] = mount{path, h} }

type mount struct {
	path string
	run  fasthttp.RequestHandler
}

// Serve answers connections from ln until Shutdown or an error.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.http.Serve(ln); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// Shutdown stops accepting, turns readiness off, ends the streams and waits for
// the requests in flight, as long as ctx allows. Idle connections are closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.stop()
	if err := s.http.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}

// printer passes fasthttp's own remarks, mostly about broken connections, to
// the log.
type printer struct{ log *slog.Logger }

func (p printer) Printf(format string, args ...any) {
	p.log.Debug("http: " + fmt.Sprintf(format, args...))
}
