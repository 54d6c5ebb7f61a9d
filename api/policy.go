package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// policy is who may use a route. The zero policy is a mistake the route walk
// test finds.
type policy struct {
	open     bool          // anybody, and no credential is looked at
	secret   bool          // takes a secret in the request: so many tries per address
	signedIn bool          // a credential is needed
	level    bot.Level     // and the person must be at least this
	weak     bool          // also for an administrator who gave no one-time password
	proofs   bool          // changes how its caller proves who they are: not for the token a direct link carries
	accounts bool          // also for accounts, who are nobody in the directory
	endUser  bool          // for end users, and nobody else but the master key
	noMaster bool          // not for the master key either, which is nobody who could look at something
	app      bool          // for apps, by the token of a device, and for nobody else
	writes   bool          // and not for one that may only read
	unseen   bool          // what it answers nobody sees: they are not led to sign in
	patience time.Duration // how long the handler may take, handleTime unless set
}

// The policies there are.
var (
	anybody   = policy{open: true}
	byASecret = policy{open: true, secret: true}
	anyone    = policy{signedIn: true, weak: true}
	anyoneOTP = policy{signedIn: true}
	parties   = policy{signedIn: true, accounts: true} // in helpdesk sessions: whose is decided there
	onAPage   = policy{signedIn: true, unseen: true}
	onTheDesk = policy{signedIn: true, level: bot.Agent, unseen: true}
	theAgents = policy{signedIn: true, level: bot.Agent, weak: true}
	agentsOTP = policy{signedIn: true, level: bot.Agent}
	ownProofs = policy{signedIn: true, level: bot.Agent, weak: true, proofs: true}
	ownSecret = policy{signedIn: true, level: bot.Agent, proofs: true}
	theAdmins = policy{signedIn: true, level: bot.Admin, weak: true}
	adminsOTP = policy{signedIn: true, level: bot.Admin}
	everybody = policy{signedIn: true, weak: true, accounts: true}
	endUsers  = policy{signedIn: true, accounts: true, endUser: true, noMaster: true}
	visitors  = policy{signedIn: true, accounts: true, endUser: true} // or a system that asks on their behalf
	owners    = policy{signedIn: true, accounts: true}
	appReads  = policy{signedIn: true, app: true}
	appWrites = policy{signedIn: true, app: true, writes: true}
	adminsAll = policy{signedIn: true, level: bot.Admin, patience: 2 * time.Minute} // for many things at once
)

// caller is whom a credential belongs to.
type caller struct {
	person  store.Profile
	session store.Session
	master  bool           // the master key: no person, and every right
	account *store.Account // whose token it is, when it is no person's
	app     *store.App     // or the app with a device's token, which is nobody's
}

// actor is how the audit trail calls the caller. No userid has a space or a
// colon.
func (c caller) actor() string {
	switch {
	case c.master:
		return "master key"
	case c.account != nil:
		return c.account.Audited()
	}
	return c.person.Key()
}

// super tells whether the caller is a super administrator.
func (c caller) super() bool { return c.master || c.person.Level == bot.Admin }

// admit decides whether the caller may use the route.
func (s *Server) admit(p policy, c caller) error {
	switch {
	case p.app != (c.app != nil):
		return unauthorized("the token is unknown, expired or revoked")
	case p.writes && c.app.ReadOnly:
		return bot.Fail(bot.Denied, "device.readonly", nil, nil)
	case c.master && p.noMaster:
		return unauthorized("an end user has to sign in")
	case p.app, c.master:
		return nil
	case c.account != nil && !p.accounts:
		return forbidden("this is for people of the corporation's directory")
	case p.proofs && (c.session.Plain || c.session.Foreign):
		return forbidden("a token of a link, or of another system, cannot change passwords: sign in")
	case c.person.Level < p.level:
		return forbidden("this needs the role " + p.level.String())
	case c.person.Level == bot.Admin && s.o.RequireAdminOTP && !c.session.OTP && !p.weak:
		return errNoOTP
	case p.endUser && (c.account == nil || !c.account.IsEndUser):
		return forbidden("this is for end users")
	}
	return nil
}

// errNoOTP is what an administrator gets whose token was made without a
// one-time password.
var errNoOTP = &problem{
	status:  fasthttp.StatusForbidden,
	message: "administrators need a one-time password: sign in again with otp_code",
}

// bearer gives the caller of an API route. Only the Authorization header
// counts: an access token in a URL would be kept by every log on its way.
func (s *Server) bearer(ctx context.Context, r *req) (caller, error) {
	fields := r.ctx.Request.Header.PeekAll(fasthttp.HeaderAuthorization)
	if len(fields) == 0 {
		return caller{}, unauthorized("a bearer token is needed")
	}
	if len(fields) > 1 || r.ctx.QueryArgs().Has("accessToken") {
		return caller{}, badRequest("Authorization", "one credential only, and not in the URL")
	}
	scheme, token, _ := strings.Cut(string(fields[0]), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return caller{}, unauthorized("a bearer token is needed")
	}
	if s.isMaster(token) {
		return caller{master: true}, nil
	}
	who, err := s.caller(ctx, token)
	if err == nil && who.session.Unused {
		err = s.o.Store.LinkUsed(ctx, who.session, r.client())
	}
	return who, err
}

// isMaster compares hashes, so the time it takes tells nothing about the key.
func (s *Server) isMaster(token string) bool {
	got := sha256.Sum256([]byte(token))
	return s.master != [sha256.Size]byte{} && subtle.ConstantTimeCompare(got[:], s.master[:]) == 1
}

// caller resolves an access token.
func (s *Server) caller(ctx context.Context, token string) (caller, error) {
	session, err := s.o.Store.Session(ctx, token)
	if errors.Is(err, store.ErrNotFound) {
		return caller{}, unauthorized("the token is unknown, expired or revoked")
	} else if err != nil {
		return caller{}, fmt.Errorf("look up token: %w", err)
	}
	return s.owner(ctx, session)
}

// profile is a person as they are known here. Whoever is not known yet may still
// be somebody: the directory is asked.
func (s *Server) profile(ctx context.Context, userID string) (store.Profile, error) {
	p, err := s.o.Store.Profile(ctx, userID)
	if !errors.Is(err, store.ErrNotFound) || s.o.Logins == nil || !bot.ValidUserID(userID) {
		return p, err
	}
	if _, asked := s.o.Logins.Directory.Person(ctx, userID); asked != nil {
		return p, asked
	}
	return s.o.Store.Profile(ctx, userID)
}

// owner resolves whom a session belongs to. A person who is no longer active in
// the directory is nobody, also before the sweep has revoked their tokens.
func (s *Server) owner(ctx context.Context, session store.Session) (caller, error) {
	if session.Account != "" {
		return s.accountOf(ctx, session)
	}
	person, err := s.profile(ctx, session.UserID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return caller{}, fmt.Errorf("look up the owner of a token: %w", err)
	}
	if err != nil || person.State != bot.Active {
		return caller{}, unauthorized("the token is unknown, expired or revoked")
	}
	// What another system says never makes an administrator: with
	// RequireAdminOTP they are refused for want of a one-time password.
	if session.Plain || session.Foreign && !s.o.RequireAdminOTP {
		person.User = store.WithoutAdmin(person.User)
	}
	return caller{person: person, session: session}, nil
}
