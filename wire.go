package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"deskbell/api"
	"deskbell/bot"
	"deskbell/bot/settings"
	"deskbell/bot/wecom"
	"deskbell/bot/wecom/sim"
	"deskbell/callbacks"
	"deskbell/commands"
	"deskbell/store"
	"deskbell/templates"
)

// drainTime is how long a stopping gateway finishes what is in flight.
const drainTime = 10 * time.Second

// gateway is the running product: the parts, and the order in which they start
// and stop.
type gateway struct {
	log     *slog.Logger
	store   *store.Store
	redis   *store.Redis // nil without redis.url
	client  *wecom.Client
	runner  *commands.Runner
	outbox  *store.Outbox
	media   *store.Collector
	server  *api.Server
	logins  *store.Logins
	leavers *store.Leavers
	cries   *store.Broadcasts
	metrics *api.Metrics
	tally   *store.Tally
}

// newGateway builds the parts. What it opened is closed again when it fails.
// set, if given, has the last word on the store: tests move its clock.
func newGateway(ctx context.Context, cfg Config, log *slog.Logger, set ...func(*store.Options)) (_ *gateway, err error) {
	g := &gateway{log: log}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	words, err := templates.Load()
	if err != nil {
		return nil, err
	}
	app, err := wecom.NewApp(wecom.Config{
		CorpID: cfg.WeCom.CorpID, AgentID: cfg.WeCom.AgentID, Window: cfg.WeCom.ClockWindow,
		Token: cfg.WeCom.Token.Reveal(), EncodingAESKey: cfg.WeCom.EncodingAESKey.Reveal(),
		PreviousToken: cfg.WeCom.PreviousToken.Reveal(), PreviousEncodingAESKey: cfg.WeCom.PreviousEncodingAESKey.Reveal(),
	})
	if err != nil {
		return nil, err
	}
	shared, err := g.openRedis(cfg)
	if err != nil {
		return nil, err
	}
	var desk *store.ServiceDesk
	if cfg.Tokens.ServicedeskCompat {
		desk = &store.ServiceDesk{Redis: g.redis, AdminOTP: cfg.Security.RequireAdminOTP}
	}
	kept := store.Options{
		URL: cfg.Store.URL.Reveal(), Keys: cfg.EncryptionKeys(), PublicURL: cfg.Server.PublicURL,
		AgentURL: cfg.Desk.AgentURL, AdminURL: cfg.Desk.AdminURL,
		TokenTTL: cfg.Tokens.TTL, LinkTTL: cfg.Tokens.LinkTTL, Direct: cfg.Tokens.LinkMode == "direct",
		OTPIssuer: cfg.Security.OTPIssuer,
		MaxLoad:   cfg.Desk.MaxLoad, Desk: store.DeskTimes{AnswerWithin: cfg.Desk.AnswerWithin, IdleClose: cfg.Desk.IdleClose, Keep: cfg.Desk.Keep}, Pace: rate(cfg.Limits.PushesPerPerson), Roles: cfg.RoleRules(), Render: words.Render, Log: log, ServiceDesk: desk,
	}
	for _, change := range set {
		change(&kept)
	}
	if g.store, err = store.Open(ctx, kept); err != nil {
		return nil, err
	}
	limits := newLimits(cfg, g.redis)
	g.client = wecom.NewClient(wecom.ClientOptions{
		CorpID: cfg.WeCom.CorpID, AgentID: cfg.WeCom.AgentID, Secret: cfg.WeCom.Secret.Reveal(),
		APIBase: cfg.WeCom.APIBase, Shared: shared, Log: log,
	})
	directory := &store.Directory{Store: g.store, Lookup: g.client.Person, TTL: cfg.Directory.CacheTTL}
	g.leavers = &store.Leavers{Directory: directory}
	g.cries = &store.Broadcasts{Directory: directory, List: g.client.Visible}
	atWeCom := signIn(cfg, g.client, directory)
	g.logins = &store.Logins{Store: g.store, Directory: directory, WhoIs: atWeCom.Who}
	version, _ := buildVersion()
	g.metrics = api.NewMetrics(version, g.store.Depth)
	g.tally = &store.Tally{Store: g.store, Zone: words.Zone}
	g.outbox = &store.Outbox{Store: g.store, Sender: g.client, Result: func(outcome string) { g.metrics.Delivery(outcome); g.tally.Delivery(outcome) }}
	g.media = &store.Collector{Store: g.store, Fetcher: g.client, Settled: func(ctx context.Context, tx *store.Tx, m store.Media) error { return tx.MediaSettled(ctx, m) }}
	if g.runner, err = commands.NewRunner(commands.Options{
		Store: g.store, Word: words.Word, Wait: cfg.WeCom.PassiveWait, Log: log,
		Counted:   func(command, outcome string) { g.metrics.Command(command, outcome); g.tally.Command(command, outcome) },
		Directory: directory,
		Limits:    limits,
	}); err != nil {
		return nil, err
	}
	if g.server, err = api.New(api.Options{
		Store: g.store, Words: words, Static: templates.Static(), PublicURL: cfg.Server.PublicURL,
		TrustedProxies: cfg.Server.TrustedProxies, FrameAncestors: cfg.Server.FrameAncestors,
		MasterKey: cfg.Security.MasterKey.Reveal(), RequireAdminOTP: cfg.Security.RequireAdminOTP,
		Logins: g.logins, SignIn: atWeCom, Limit: func(ctx context.Context, name, key string) time.Duration {
			return limits.Allow(ctx, name, key, time.Now())
		}, GiveBack: func(ctx context.Context, name, key string) { limits.GiveBack(ctx, name, key, time.Now()) },
		Checks: g.checks(), Metrics: g.metrics, Version: version, Log: log,
	}); err != nil {
		return nil, err
	}
	inbound := &callbacks.Handler{App: app, Take: g.runner.Take, Log: log, Refused: g.metrics.Refused, Counted: g.metrics.Callback}
	g.server.Mount("/callbacks/wecom", inbound.Serve)
	return g, nil
}

func (g *gateway) openRedis(cfg Config) (wecom.TokenStore, error) {
	if cfg.Redis.URL == "" {
		return nil, nil
	}
	r, err := store.OpenRedis(cfg.Redis.URL.Reveal(), cfg.EncryptionKeys())
	g.redis = r
	return r, err
}

// checks are what /readyz asks.
func (g *gateway) checks() []api.Check {
	list := []api.Check{{Name: "store", Func: g.store.Ping}}
	if g.redis != nil {
		list = append(list, api.Check{Name: "redis", Func: g.redis.Ping})
	}
	return list
}

// run serves until ctx ends, then finishes what is in flight.
func (g *gateway) run(ctx context.Context, ln net.Listener) error {
	defer g.close()
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var beside sync.WaitGroup
	for _, run := range []func(context.Context){g.leavers.Run, g.outbox.Run, g.store.Upkeep, g.store.RunDesk, g.cries.Run, g.media.Run, g.tally.Run, g.follow} {
		beside.Go(func() { run(work) })
	}
	served := make(chan error, 1)
	go func() { served <- g.server.Serve(ln) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		g.log.Info("stopping")
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		err = g.server.Shutdown(limit)
	}
	g.runner.Close() // the outbox still sends what the last commands pushed
	g.runner = nil
	stop()
	beside.Wait()
	return err
}

// follow hears what other instances changed at the desk.
func (g *gateway) follow(ctx context.Context) { g.store.Follow(ctx, g.redis) }

func (g *gateway) close() {
	if g.runner != nil {
		g.runner.Close()
	}
	if g.logins != nil {
		g.logins.Wait()
	}
	if g.client != nil {
		g.client.Close()
	}
	if g.redis != nil {
		_ = g.redis.Close()
	}
	if g.tally != nil { // what the others counted while they ended
		last, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := g.tally.Flush(last); err != nil {
			g.log.Warn("tally", "err", err)
		}
	}
	if g.store != nil {
		if err := g.store.Close(); err != nil {
			g.log.Error("close the store", "err", err)
		}
	}
}

// signIn is WeCom's sign-in for the pages and the API.
func signIn(cfg Config, client *wecom.Client, directory *store.Directory) api.SignIn {
	at := wecom.SignInPages{CorpID: cfg.WeCom.CorpID, AgentID: cfg.WeCom.AgentID, Authorize: cfg.WeCom.OAuthAuthorizeURL, QR: cfg.WeCom.QRLoginURL}
	return api.SignIn{Page: at.URL, Silent: at.Silent, Person: directory.Person, Who: func(ctx context.Context, code string) (string, error) {
		id, err := client.UserInfo(ctx, code)
		if errors.Is(err, wecom.ErrNotMember) {
			return "", bot.Fail(bot.Denied, "error.denied", nil, err)
		}
		return id, err
	}}
}

// newLimits are the limits of contract: of what a person says, and of the public
// routes that take a secret.
func newLimits(cfg Config, shared *store.Redis) *store.Limits {
	return &store.Limits{Redis: shared, Rates: map[string]store.Rate{
		"commands_per_person": rate(cfg.Limits.CommandsPerPerson), "links_per_person": rate(cfg.Limits.LinksPerPerson),
		"login_per_address": rate(cfg.Limits.LoginPerAddress), "login_per_account": rate(cfg.Limits.LoginPerAccount),
	}}
}

func rate(r settings.Rate) store.Rate { return store.Rate{N: r.N, Per: r.Per} }

type serveOptions struct {
	Listen string
	Out    io.Writer
	Log    *slog.Logger
}

// serve runs the gateway until ctx ends.
func serve(ctx context.Context, cfg Config, o serveOptions) error {
	addr := cfg.Server.Listen
	if o.Listen != "" {
		addr = o.Listen
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("server.listen: %w", err)
	}
	defer ln.Close()
	g, err := newGateway(ctx, cfg, o.Log)
	if err != nil {
		return err
	}
	if err := g.serveMetrics(ctx, cfg.Server.MetricsListen); err != nil {
		g.close()
		return err
	}
	version, commit := buildVersion()
	o.Log.Info("started", "version", version, "commit", commit, "listen", ln.Addr().String(), "postgres", g.store.Postgres())
	fmt.Fprintf(o.Out, "listening on http://%s\n", ln.Addr())
	return g.run(ctx, ln)
}

// serveMetrics serves /metrics on an address of its own until ctx ends.
func (g *gateway) serveMetrics(ctx context.Context, addr string) error {
	if addr == "" {
		return nil
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("server.metrics_listen: %w", err)
	}
	go func() {
		if err := g.metrics.Serve(ctx, ln); err != nil {
			g.log.Error("metrics", "err", err)
		}
	}()
	return nil
}

func migrate(ctx context.Context, cfg Config, out io.Writer) error {
	applied, err := store.Migrate(ctx, cfg.Store.URL.Reveal())
	if err != nil {
		return err
	}
	for _, name := range applied {
		fmt.Fprintln(out, "applied", name)
	}
	if len(applied) == 0 {
		fmt.Fprintln(out, "the schema is up to date")
	}
	return nil
}

func pendingMigrations(ctx context.Context, url string) ([]string, error) {
	return store.PendingMigrations(ctx, url)
}

type demoOptions struct {
	Listen, SandboxListen, Data, Script string
	In                                  io.Reader
	Out, Err                            io.Writer
}

// demo runs the product against a corporation of its own: the same gateway as
// serve, with the sandbox for WeCom.
func demo(ctx context.Context, o demoOptions) (code int, err error) {
	script, err := demoScript(o)
	if err != nil {
		fmt.Fprintf(o.Err, "deskbell: %v\n", err)
		return exitUsage, nil
	}
	dir, remove, err := demoFolder(o.Data)
	if err != nil {
		return exitFailed, err
	}
	defer remove()
	log := slog.New(slog.NewTextHandler(o.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return exitFailed, fmt.Errorf("%w (choose another address with --listen; port 0 picks a free one)", err)
	}
	defer ln.Close()
	people, departments := sim.Sample()
	box, err := sim.Start(sim.Config{Listen: o.SandboxListen, AppName: "IT 服务台", People: people, Departments: departments, Log: log})
	if err != nil {
		return exitFailed, fmt.Errorf("%w (choose another address with --sandbox-listen)", err)
	}
	defer box.Close()
	cfg, err := demoConfig(box, "http://"+ln.Addr().String(), dir)
	if err != nil {
		return exitFailed, err
	}
	g, err := newGateway(ctx, cfg, log)
	if err != nil {
		return exitFailed, err
	}
	box.SetCallback(cfg.Server.PublicURL + "/callbacks/wecom")
	run, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- g.run(run, ln) }()
	if err := g.client.SetMenu(ctx, menu); err != nil {
		log.Warn("demo: menu", "err", err)
	}
	if script == nil {
		if err := g.seed(ctx, box); err != nil {
			log.Warn("demo: sample sessions", "err", err)
		}
		fmt.Fprintf(o.Out, "listening on http://%s\nsandbox on %s\n\nOpen %s, choose a person and say /help. Ctrl-C ends the demo.\n", ln.Addr(), box.URL(), box.URL())
		return exitOK, <-ended
	}
	if !box.Play(ctx, script, o.Out, flatten, g.settled) {
		code = exitFailed
	}
	stop()
	return code, <-ended
}

func flatten(card []byte) string { return templates.Flatten(card) }

// seed has a desk where nobody ever asked anything play what its sample says.
func (g *gateway) seed(ctx context.Context, box *sim.Sim) error {
	some, err := g.store.Conversations(ctx, store.Conversations{All: true, Party: store.Party{Admin: true}, N: 1})
	if err == nil && len(some) == 0 && !box.Play(ctx, sim.SampleTalk(), io.Discard, flatten, g.settled) {
		err = errors.New("not every line was answered")
	}
	return err
}

// settled returns when nothing waits to be pushed, or after a moment.
func (g *gateway) settled(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for pending := 1; pending > 0; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pending, _, _ = g.store.Depth(ctx)
	}
}

// demoScript is the script to play, or nil for none.
func demoScript(o demoOptions) ([]sim.Line, error) {
	in := o.In
	switch o.Script {
	case "":
		return nil, nil
	case "-":
	default:
		f, err := os.Open(o.Script)
		if err != nil {
			return nil, fmt.Errorf("--script: %w", err)
		}
		defer f.Close()
		in = f
	}
	script, err := sim.ReadScript(in)
	if err == nil && len(script) == 0 {
		err = errors.New("the script has no lines; want userid: text")
	}
	return script, err
}

func demoFolder(dir string) (_ string, remove func(), err error) {
	if dir == "" {
		dir, err = os.MkdirTemp("", "deskbell-demo-")
		return dir, func() { _ = os.RemoveAll(dir) }, err
	}
	return dir, func() {}, os.MkdirAll(dir, 0o700)
}

// demoConfig is the configuration a real installation would have, for the
// sandbox. The encryption key stays beside the data it opens.
func demoConfig(box *sim.Sim, publicURL, dir string) (Config, error) {
	keyFile := filepath.Join(dir, "encryption_key")
	key, err := os.ReadFile(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		raw := make([]byte, 32)
		_, _ = rand.Read(raw)
		key = []byte(base64.StdEncoding.EncodeToString(raw))
		err = os.WriteFile(keyFile, key, 0o600)
	}
	c := box.Config()
	cfg := Defaults()
	cfg.Server.PublicURL = publicURL
	cfg.WeCom.CorpID, cfg.WeCom.AgentID, cfg.WeCom.APIBase = c.CorpID, c.AgentID, box.URL()
	cfg.WeCom.Secret, cfg.WeCom.Token, cfg.WeCom.EncodingAESKey = settings.Secret(c.Secret), settings.Secret(c.Token), settings.Secret(c.EncodingAESKey)
	cfg.WeCom.OAuthAuthorizeURL, cfg.WeCom.QRLoginURL = box.AuthorizeURL(), box.QRLoginURL()
	cfg.Store.URL = settings.Secret("sqlite:" + filepath.Join(dir, "deskbell.db"))
	cfg.Security.EncryptionKey = settings.Secret(key)
	cfg.Roles.Admin, cfg.Roles.Agent = []string{"user:boss"}, []string{"department:2"}
	return cfg, err
}
