// Deskbell is a helpdesk people reach by chatting with an app in WeCom
// (企业微信). This package reads the command line (main.go) and the configuration
// (config.go) and builds the parts (wire.go); what they do is their own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"deskbell/bot/settings"
	"deskbell/bot/wecom"
	"deskbell/store"
	"deskbell/store/host"
	"deskbell/templates"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration; nothing was opened or changed
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// program is what a command gets to work with.
type program struct {
	ctx      context.Context
	environ  []string
	in       io.Reader
	out, err io.Writer
}

// host is what the commands of whoever has the host work with: the store of a
// configuration, whoever else has it open.
func (p *program) host() *host.Host {
	return &host.Host{Ctx: p.ctx, In: p.in, Out: p.out, Options: func(config string) (store.Options, error) {
		cfg, err := LoadConfig(config, p.environ, true)
		if err != nil {
			return store.Options{}, err
		}
		set, err := templates.Load()
		return store.Options{
			URL: cfg.Store.URL.Reveal(), Keys: cfg.EncryptionKeys(), Beside: true, Roles: cfg.RoleRules(), Render: set.Render, Log: newLog(cfg, p.err),
		}, err
	}}
}

// exit is a failure that was explained already.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// run is the program: tests call it as a shell would.
func run(ctx context.Context, args, environ []string, in io.Reader, out, errOut io.Writer) int {
	var commands struct {
		Demo     demoCmd       `cmd:"" help:"Try everything on this machine, without a WeCom account."`
		Serve    serveCmd      `cmd:"" help:"Run the gateway."`
		Check    checkCmd      `cmd:"" help:"Examine an installation and say what to mend, and where."`
		Migrate  migrateCmd    `cmd:"" help:"Bring the database schema up to date."`
		Keys     host.Keys     `cmd:"" help:"Change the encryption key."`
		Audit    host.Audit    `cmd:"" help:"Examine or export the audit trail."`
		OTPReset host.OTPReset `cmd:"" name:"otp-reset" help:"Turn off somebody's one-time password, from the host."`
		Version  versionCmd    `cmd:"" help:"Show version and commit."`
	}
	helped := false
	parser, err := kong.New(&commands, kong.Name("deskbell"),
		kong.Description("A helpdesk people reach by chatting with an app in WeCom (企业微信)."),
		kong.Writers(out, errOut),
		kong.Exit(func(int) { helped = true }))
	if err != nil {
		fmt.Fprintln(errOut, err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(errOut, "deskbell: %v\nSee: deskbell --help\n", err)
		return exitUsage
	}
	p := &program{ctx, environ, in, out, errOut}
	err = parsed.Run(p, p.host())
	if errors.Is(err, host.ErrTampered) {
		return exitFailed // each fault was shown
	}
	if code, ok := errors.AsType[exit](err); ok {
		return int(code)
	}
	if problems, ok := errors.AsType[settings.Problems](err); ok {
		fmt.Fprintln(errOut, problems)
		return exitUsage
	}
	if err != nil {
		fmt.Fprintf(errOut, "deskbell: %v\n", err)
		return exitFailed
	}
	return exitOK
}

type demoCmd struct {
	Listen        string `default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address of the gateway; port 0 picks a free one."`
	SandboxListen string `default:"127.0.0.1:8090" placeholder:"ADDR" help:"Address of the stand-in for WeCom."`
	Data          string `placeholder:"DIR" help:"Folder to keep the data in (default: a temporary one)."`
	Script        string `placeholder:"FILE" help:"Send the lines \"userid: text\" of FILE (- is stdin), print the transcript and end."`
}

func (demoCmd) Help() string {
	return `Starts the gateway, a stand-in for WeCom with a few people, and an embedded store.

Examples:

    deskbell demo
    echo 'lilei: /status busy 30m lunch' | deskbell demo --script -`
}

func (c demoCmd) Validate() error {
	return errors.Join(validAddress("--listen", c.Listen), validAddress("--sandbox-listen", c.SandboxListen))
}

func (c demoCmd) Run(p *program) error {
	code, err := demo(p.ctx, demoOptions{
		Listen: c.Listen, SandboxListen: c.SandboxListen, Data: c.Data, Script: c.Script,
		In: p.in, Out: p.out, Err: p.err,
	})
	if err == nil && code != exitOK {
		return exit(code)
	}
	return err
}

// configured is part of every command that needs the configuration.
type configured = host.Configured

type serveCmd struct {
	configured
	Listen string `placeholder:"ADDR" help:"Overrides server.listen; port 0 picks a free one."`
}

func (serveCmd) Help() string {
	return `Ends with SIGTERM or SIGINT, after finishing what is in flight.

Example:

    DESKBELL_WECOM_SECRET_FILE=/run/secrets/wecom deskbell serve --config config.toml`
}

func (c serveCmd) Validate() error { return validAddress("--listen", c.Listen) }

func (c serveCmd) Run(p *program) error {
	cfg, err := LoadConfig(c.Config, p.environ, true)
	if err != nil {
		return err
	}
	return serve(p.ctx, cfg, serveOptions{Listen: c.Listen, Out: p.out, Log: newLog(cfg, p.err)})
}

type checkCmd struct {
	configured
	FixMenu bool `help:"Write the app's menu where it differs."`
}

func (checkCmd) Help() string {
	return `One line per check: configuration, store, Redis, token, agent id, egress IP,
callback URL, menu, clock. Exits 1 if one fails, 2 if the configuration is broken.

Example:

    deskbell check --config config.toml --fix-menu`
}

func (c checkCmd) Run(p *program) error {
	cfg, err := LoadConfig(c.Config, p.environ, true)
	if err != nil {
		return err
	}
	if !check(p.ctx, cfg, c.Config, c.FixMenu, p.out) {
		return exit(exitFailed)
	}
	return nil
}

type migrateCmd struct{ configured }

func (migrateCmd) Help() string {
	return `serve does the same when it starts, safely with several instances at once.

Example:

    deskbell migrate --config config.toml`
}

func (c migrateCmd) Run(p *program) error {
	cfg, err := LoadConfig(c.Config, p.environ, false)
	if err != nil {
		return err
	}
	return migrate(p.ctx, cfg, p.out)
}

type versionCmd struct{}

func (versionCmd) Run(p *program) error {
	version, revision := buildVersion()
	_, err := fmt.Fprintf(p.out, "deskbell %s, commit %s\n", version, revision)
	return err
}

// commit is set by -ldflags "-X main.commit=…" where the build does not see the
// repository.
var commit string

// buildVersion tells which version this is, and of which commit.
func buildVersion() (version, revision string) {
	version, revision = "devel", commit
	info, ok := debug.ReadBuildInfo()
	if ok && info.Main.Version != "" {
		version = strings.Trim(info.Main.Version, "()")
	}
	dirty := ""
	if ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && revision == "":
				revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true" && commit == "":
				dirty = "+changes"
			}
		}
	}
	if revision == "" {
		return version, "unknown"
	}
	return version, revision + dirty
}

func validAddress(flag, value string) error {
	if _, ok := settings.Address.OrEmpty().Read(value); !ok {
		return fmt.Errorf("%s %s; %s", flag, settings.Address.Reason, settings.Address.Fix)
	}
	return nil
}

func newLog(cfg Config, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: withoutTokens}
	if cfg.Log.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// issued is what our tokens look like, wherever one may have got into.
var issued = regexp.MustCompile(`\b(db[a-z])_[0-9A-Za-z]{20,}`)

// withoutTokens is the last line of defence of the log: nothing writes a token to
// it, but a panic or an error of somebody else's may quote an address with one.
func withoutTokens(_ []string, a slog.Attr) slog.Attr {
	text := ""
	switch a.Value.Kind() {
	case slog.KindString:
		text = a.Value.String()
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			text = err.Error()
		}
	}
	if strings.Contains(text, "db") && issued.MatchString(text) {
		a.Value = slog.StringValue(issued.ReplaceAllString(text, "${1}_…"))
	}
	return a
}

// menu is the app's menu: what people press instead of typing.
var menu = wecom.Menu{Buttons: []wecom.Button{
	{Type: "click", Name: "找坐席", Key: "/session"},
	{Name: "状态", Sub: []wecom.Button{
		{Type: "click", Name: "在线", Key: "/status online"},
		{Type: "click", Name: "忙碌", Key: "/status busy"},
		{Type: "click", Name: "离线", Key: "/status offline"},
		{Type: "click", Name: "坐席", Key: "/agents"},
	}},
	{Name: "更多", Sub: []wecom.Button{
		{Type: "click", Name: "我的会话", Key: "/session list"},
		{Type: "click", Name: "登录", Key: "/login"},
		{Type: "click", Name: "帮助", Key: "/help"},
	}},
}}

// check examines an installation, prints a line per check, and reports whether
// all is well. It changes nothing but, if asked, the menu.
func check(ctx context.Context, cfg Config, path string, fixMenu bool, out io.Writer) bool {
	well := true
	say := func(f wecom.Finding) {
		well = well && f.Level != wecom.Sick
		fmt.Fprintln(out, f)
	}
	say(wecom.Finding{Level: wecom.Well, Name: "configuration", Message: path + " is complete"})
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		say(wecom.Finding{Level: wecom.Warn, Name: "configuration", Message: path + " can be read by everybody on this host", Fix: "chmod 600 " + path})
	}
	for _, p := range cfg.Warnings() {
		say(wecom.Finding{Level: wecom.Warn, Name: "configuration", Message: p.Key + " " + p.Reason, Fix: p.Fix})
	}
	say(checkStore(ctx, cfg))
	if cfg.Redis.URL != "" {
		say(checkRedis(ctx, cfg))
	}
	keys, err := wecom.NewKeys(cfg.WeCom.Token.Reveal(), cfg.WeCom.EncodingAESKey.Reveal(), cfg.WeCom.CorpID)
	if err != nil {
		say(wecom.Finding{Level: wecom.Sick, Name: "configuration", Message: err.Error(), Fix: receivePage})
		return false
	}
	client := wecom.NewClient(wecom.ClientOptions{
		CorpID: cfg.WeCom.CorpID, AgentID: cfg.WeCom.AgentID, Secret: cfg.WeCom.Secret.Reveal(), APIBase: cfg.WeCom.APIBase,
	})
	defer client.Close()
	doctor := wecom.Doctor{Client: client, Keys: keys, Callback: cfg.Server.PublicURL + "/callbacks/wecom", Menu: menu, FixMenu: fixMenu}
	for _, f := range doctor.Examine(ctx) {
		say(f)
	}
	return well
}

func checkStore(ctx context.Context, cfg Config) wecom.Finding {
	pending, err := pendingMigrations(ctx, cfg.Store.URL.Reveal())
	switch {
	case err != nil:
		return wecom.Finding{Level: wecom.Sick, Name: "store", Message: err.Error(), Fix: "start the database, or correct store.url"}
	case len(pending) > 0:
		return wecom.Finding{Level: wecom.Warn, Name: "store", Message: "answers; serve will bring its schema up to date: " + strings.Join(pending, ", "), Fix: "back it up first, then deskbell migrate"}
	}
	return wecom.Finding{Level: wecom.Well, Name: "store", Message: "answers, and its schema is up to date"}
}

func checkRedis(ctx context.Context, cfg Config) wecom.Finding {
	redis, err := store.OpenRedis(cfg.Redis.URL.Reveal(), cfg.EncryptionKeys())
	if err == nil {
		defer redis.Close()
		err = redis.Ping(ctx)
	}
	if err != nil {
		return wecom.Finding{Level: wecom.Sick, Name: "Redis", Message: err.Error(), Fix: "start Redis, or correct redis.url; serve goes on without it"}
	}
	return wecom.Finding{Level: wecom.Well, Name: "Redis", Message: "answers"}
}
