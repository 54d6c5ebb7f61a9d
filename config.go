package main

import (
	"encoding/base64"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"deskbell/bot"
	"deskbell/bot/settings"
	"deskbell/store"
)

// Config is everything config.toml can say; that file documents each key.
// wire.go hands each package the few values it needs, never the whole.
type Config struct {
	Server struct {
		Listen, PublicURL, MetricsListen string
		TrustedProxies                   []netip.Prefix
		FrameAncestors                   []string
	}
	WeCom struct {
		CorpID                                 string
		AgentID                                int
		Secret, Token, EncodingAESKey          settings.Secret
		PreviousToken, PreviousEncodingAESKey  settings.Secret
		APIBase, OAuthAuthorizeURL, QRLoginURL string
		ClockWindow, PassiveWait               time.Duration
	}
	Store struct{ URL settings.Secret } // may hold a password
	Redis struct{ URL settings.Secret }

	Security struct {
		EncryptionKey     settings.Secret
		OldEncryptionKeys []settings.Secret
		MasterKey         settings.Secret
		RequireAdminOTP   bool
		OTPIssuer         string
	}
	Tokens struct {
		TTL, LinkTTL      time.Duration
		LinkMode          string
		ServicedeskCompat bool
	}
	Desk struct {
		AgentURL, AdminURL            string
		MaxLoad                       int
		AnswerWithin, IdleClose, Keep time.Duration
	}
	Directory struct{ CacheTTL time.Duration }
	Roles     struct{ Admin, Agent []string }
	Limits    struct {
		CommandsPerPerson, LinksPerPerson settings.Rate
		LoginPerAddress, LoginPerAccount  settings.Rate
		PushesPerPerson                   settings.Rate
	}
	Log struct{ Level, Format string }
}

const day = 24 * time.Hour

// Defaults is the configuration of an empty file. It is not read from
// config.toml at build time: whoever fills in that file and builds would carry
// their secrets in the binary. A test holds the two together.
func Defaults() Config {
	var c Config
	c.Server.Listen = "127.0.0.1:8080"
	c.WeCom.APIBase = "https://qyapi.weixin.qq.com"
	c.WeCom.OAuthAuthorizeURL = "https://open.weixin.qq.com/connect/oauth2/authorize"
	c.WeCom.QRLoginURL = "https://login.work.weixin.qq.com/wwlogin/sso/login"
	c.WeCom.ClockWindow, c.WeCom.PassiveWait = 5*time.Minute, 2*time.Second
	c.Store.URL = "sqlite:deskbell.db"
	c.Security.RequireAdminOTP, c.Security.OTPIssuer = true, "IT支持服务"
	c.Tokens.TTL, c.Tokens.LinkTTL, c.Tokens.LinkMode = 8*time.Hour, 10*time.Minute, "ticket"
	c.Desk.MaxLoad, c.Desk.AnswerWithin, c.Desk.IdleClose, c.Desk.Keep = 5, 5*time.Minute, day, 365*day
	c.Directory.CacheTTL = 10 * time.Minute
	perMinute := func(n int) settings.Rate { return settings.Rate{N: n, Per: time.Minute} }
	c.Limits.CommandsPerPerson, c.Limits.LinksPerPerson = perMinute(20), perMinute(5)
	c.Limits.LoginPerAddress, c.Limits.LoginPerAccount = perMinute(10), perMinute(10)
	c.Limits.PushesPerPerson = perMinute(25)
	c.Log.Level, c.Log.Format = "info", "json"
	return c
}

const (
	appPage     = "copy it from the console: 应用管理 → 自建 → the app"
	receivePage = appPage + " → 接收消息 → 设置API接收"
	century     = 36500 * day
)

// settings is the one list of keys, in the order of config.toml.
func (c *Config) settings() []settings.Setting {
	return []settings.Setting{
		settings.Key("server.listen", &c.Server.Listen, settings.Address),
		settings.Key("server.public_url", &c.Server.PublicURL, settings.PublicAt).OrElse(settings.PublicAt.Fix),
		settings.Key("server.metrics_listen", &c.Server.MetricsListen, settings.Address.OrEmpty()),
		settings.List("server.trusted_proxies", &c.Server.TrustedProxies, settings.CIDR),
		settings.List("server.frame_ancestors", &c.Server.FrameAncestors, settings.Origin),

		settings.Key("wecom.corp_id", &c.WeCom.CorpID, corpID).OrElse("copy it from the console: 我的企业 → 企业信息 → 企业ID"),
		settings.Key("wecom.agent_id", &c.WeCom.AgentID, settings.Number(1, 1<<31-1)).OrElse(appPage + " → AgentId"),
		settings.Hidden("wecom.secret", &c.WeCom.Secret, settings.Word).OrElse(appPage + " → Secret"),
		settings.Hidden("wecom.token", &c.WeCom.Token, token).OrElse(receivePage),
		settings.Hidden("wecom.encoding_aes_key", &c.WeCom.EncodingAESKey, aesKey).OrElse(receivePage),
		settings.Hidden("wecom.previous_token", &c.WeCom.PreviousToken, token.OrEmpty()),
		settings.Hidden("wecom.previous_encoding_aes_key", &c.WeCom.PreviousEncodingAESKey, aesKey.OrEmpty()),
		settings.Key("wecom.api_base", &c.WeCom.APIBase, settings.URL),
		settings.Key("wecom.oauth_authorize_url", &c.WeCom.OAuthAuthorizeURL, settings.URL.OrEmpty()),
		settings.Key("wecom.qr_login_url", &c.WeCom.QRLoginURL, settings.URL),
		settings.Key("wecom.clock_window", &c.WeCom.ClockWindow, settings.Span(time.Second, century)),
		settings.Key("wecom.passive_wait", &c.WeCom.PassiveWait, settings.Span(0, 4500*time.Millisecond)), // WeCom hangs up after 5 s

		settings.Hidden("store.url", &c.Store.URL, storeURL),
		settings.Hidden("redis.url", &c.Redis.URL, redisURL.OrEmpty()),

		settings.Hidden("security.encryption_key", &c.Security.EncryptionKey, sealKey).OrElse(sealKey.Fix),
		settings.HiddenList("security.old_encryption_keys", &c.Security.OldEncryptionKeys, sealKey),
		settings.Hidden("security.master_key", &c.Security.MasterKey, masterKey.OrEmpty()),
		settings.Key("security.require_admin_otp", &c.Security.RequireAdminOTP, settings.Switch),
		settings.Key("security.otp_issuer", &c.Security.OTPIssuer, issuer),

		settings.Key("tokens.ttl", &c.Tokens.TTL, settings.Span(time.Second, century)),
		settings.Key("tokens.link_ttl", &c.Tokens.LinkTTL, settings.Span(time.Second, day)),
		settings.Key("tokens.link_mode", &c.Tokens.LinkMode, settings.OneOf("ticket", "direct")),
		settings.Key("tokens.servicedesk_compat", &c.Tokens.ServicedeskCompat, settings.Switch),

		settings.Key("desk.agent_url", &c.Desk.AgentURL, settings.Private.OrEmpty()),
		settings.Key("desk.admin_url", &c.Desk.AdminURL, settings.Private.OrEmpty()),
		settings.Key("desk.max_load", &c.Desk.MaxLoad, settings.Number(1, 1000)),
		settings.Key("desk.answer_within", &c.Desk.AnswerWithin, settings.Span(time.Second, century)),
		settings.Key("desk.idle_close", &c.Desk.IdleClose, settings.Span(time.Second, century)),
		settings.Key("desk.keep", &c.Desk.Keep, settings.Span(time.Second, century)),

		settings.Key("directory.cache_ttl", &c.Directory.CacheTTL, settings.Span(0, day)),
		settings.List("roles.admin", &c.Roles.Admin, role),
		settings.List("roles.agent", &c.Roles.Agent, role),

		settings.Key("limits.commands_per_person", &c.Limits.CommandsPerPerson, settings.PerTime),
		settings.Key("limits.links_per_person", &c.Limits.LinksPerPerson, settings.PerTime),
		settings.Key("limits.login_per_address", &c.Limits.LoginPerAddress, settings.PerTime),
		settings.Key("limits.login_per_account", &c.Limits.LoginPerAccount, settings.PerTime),
		settings.Key("limits.pushes_per_person", &c.Limits.PushesPerPerson, settings.PerTime),

		settings.Key("log.level", &c.Log.Level, settings.OneOf("debug", "info", "warn", "error")),
		settings.Key("log.format", &c.Log.Format, settings.OneOf("json", "text")),
	}
}

// Rules that only Deskbell has.
var (
	corpID    = settings.Like(isCorpID, "is not 1 to 64 letters, digits, - and _", "copy it once more")
	token     = settings.Like(isToken, "is not 1 to 32 letters and digits", receivePage)
	aesKey    = settings.Like(isAESKey, "is not 43 letters and digits", receivePage)
	storeURL  = settings.Like(isStoreURL, "is not a store", `write "sqlite:FILE" or "postgres://user:password@host:5432/database"`)
	redisURL  = settings.Like(isRedisURL, "is not a Redis address", `write "redis://user:password@host:6379/0", or rediss:// for TLS`)
	sealKey   = settings.Like(isSealKey, "is not base64 of 32 random bytes", "make one with: openssl rand -base64 32")
	masterKey = settings.Like(isMasterKey, "is not 32 to 256 characters without white space", "make one with: openssl rand -hex 32")
	issuer    = settings.Like(isIssuer, "is not a name an authenticator can show", "use 1 to 64 bytes without colon and control characters")
	role      = settings.Like(isRoleRule, "is not a rule", `write "user:ID", "tag:N" or "department:N"`)
)

func isToken(s string) bool  { return len(s) >= 1 && len(s) <= 32 && isAlnum(s) }
func isAESKey(s string) bool { return len(s) == 43 && isAlnum(s) }

func isCorpID(s string) bool {
	return len(s) >= 1 && len(s) <= 64 && isAlnum(strings.NewReplacer("-", "", "_", "").Replace(s))
}

func isAlnum(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

func isStoreURL(s string) bool {
	if path, ok := strings.CutPrefix(s, "sqlite:"); ok {
		return path != "" && path != ":memory:" // what is acknowledged must stay
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && (u.Host != "" || u.Query().Has("host")) &&
		settings.HasPort(u) && store.CheckURL(s) == nil
}

func isRedisURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Host == "" {
		return false
	}
	database := strings.Trim(u.Path, "/")
	_, err = strconv.ParseUint(database, 10, 8)
	return (database == "" || err == nil) && settings.HasPort(u) && store.CheckRedisURL(s) == nil
}

func isSealKey(s string) bool { return decodeKey(s) != nil }

// decodeKey reads base64 of 32 bytes; one byte repeated is a placeholder.
func decodeKey(s string) []byte {
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil || len(key) != 32 || strings.Trim(string(key), string(key[:1])) == "" {
		return nil
	}
	return key
}

func isMasterKey(s string) bool {
	_, ok := settings.Word.Read(s)
	return ok && len(s) >= 32
}

func isIssuer(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == ':' })
}

func isRoleRule(s string) bool {
	kind, id, _ := strings.Cut(s, ":")
	if kind == "user" {
		return bot.ValidUserID(id)
	}
	n, err := strconv.ParseUint(id, 10, 32)
	return (kind == "tag" || kind == "department") && err == nil && n > 0
}

// LoadConfig reads the file at path and the environment. The error, if any, is
// settings.Problems: all of them. With forServe, what serve needs must be there.
func LoadConfig(path string, environ []string, forServe bool) (Config, error) {
	c := Defaults()
	problems := settings.Load(path, environ, "DESKBELL_", c.settings(), forServe)
	problems = append(problems, c.contradictions()...)
	for _, u := range []*string{&c.Server.PublicURL, &c.WeCom.APIBase, &c.Desk.AgentURL, &c.Desk.AdminURL} {
		*u = strings.TrimSuffix(*u, "/")
	}
	if len(problems) > 0 {
		return c, problems
	}
	return c, nil
}

// contradictions finds keys that are fine alone and wrong together.
func (c *Config) contradictions() (ps settings.Problems) {
	if _, port, _ := net.SplitHostPort(c.Server.Listen); c.Server.MetricsListen == c.Server.Listen && port != "0" {
		ps = append(ps, settings.Problem{Key: "server.metrics_listen", Reason: "is the same address as server.listen", Fix: "choose another port, or leave it empty"})
	}
	if c.Tokens.ServicedeskCompat && c.Redis.URL == "" {
		ps = append(ps, settings.Problem{Key: "tokens.servicedesk_compat", Reason: "needs the Redis it shares with the service desk", Fix: "set redis.url"})
	}
	return ps
}

// Warnings finds what serve accepts and check mentions.
func (c *Config) Warnings() (ps settings.Problems) {
	warn := func(when bool, key, reason, fix string) {
		if when {
			ps = append(ps, settings.Problem{Key: key, Reason: reason, Fix: fix})
		}
	}
	everybody := func(p netip.Prefix) bool { return p.Bits() == 0 }
	warn(strings.HasPrefix(c.Server.PublicURL, "http:"), "server.public_url", "is plain http on this machine: WeCom cannot reach it", "set the https origin people open")
	warn(slices.ContainsFunc(c.Server.TrustedProxies, everybody), "server.trusted_proxies", "believes everybody's X-Forwarded-For", "name only your proxies")
	warn(c.WeCom.ClockWindow > time.Hour, "wecom.clock_window", "lets a callback captured long ago pass the clock check", `use "5m"`)
	warn(!c.Security.RequireAdminOTP, "security.require_admin_otp", "is off: a stolen administrator's token is enough", "set it to true")
	warn(c.Tokens.LinkMode == "direct", "tokens.link_mode", "puts full access tokens into chat links, where previews, histories and proxies see them", `use "ticket" if the target can call the exchange`)
	warn(c.Tokens.ServicedeskCompat, "tokens.servicedesk_compat", "puts access tokens into Redis in the clear: whoever reads it can use them", "protect that Redis like a password store, or set it to false and have the service desk ask /api/v1/tokens/introspect")
	warn(c.Limits.PushesPerPerson.Above(25, time.Minute), "limits.pushes_per_person", "is above 25/m, and WeCom drops what exceeds 30/m without a word", `use "25/m"`)
	return ps
}

// RoleRules says who is administrator and who is agent.
func (c *Config) RoleRules() store.Rules {
	return store.Rules{Admin: roleRule(c.Roles.Admin), Agent: roleRule(c.Roles.Agent)}
}

func roleRule(entries []string) (r store.Rule) {
	for _, entry := range entries {
		kind, id, _ := strings.Cut(entry, ":")
		n, _ := strconv.Atoi(id)
		switch kind {
		case "user":
			r.Users = append(r.Users, bot.Canonical(id))
		case "tag":
			r.Tags = append(r.Tags, n)
		case "department":
			r.Departments = append(r.Departments, n)
		}
	}
	return r
}

// EncryptionKeys is the key that seals, then the old ones that still open.
func (c *Config) EncryptionKeys() [][]byte {
	keys := [][]byte{decodeKey(c.Security.EncryptionKey.Reveal())}
	for _, old := range c.Security.OldEncryptionKeys {
		keys = append(keys, decodeKey(old.Reveal()))
	}
	return keys
}
