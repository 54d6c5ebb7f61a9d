package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"deskbell/bot"
)

const (
	// shortTTL is how long a token lives whose owner's state is not fresh.
	shortTTL = time.Hour
	// promptsAtOnce bounds the prompts being worked on.
	promptsAtOnce = 16
)

// strangers is how often the directory is asked about people nobody here has
// seen yet, because somebody wants to sign in as them: anybody can make it ask.
var strangers = Rate{N: 120, Per: time.Minute}

// Logins signs people in at the desk by what they can prove. The rules are in
// rule; this carries them out.
type Logins struct {
	Store     *Store
	Directory *Directory
	// WhoIs turns the code of a WeCom sign-in into the userid it proves. An error
	// of kind Denied says that it proves nobody, any other that WeCom could not be
	// asked.
	WhoIs func(ctx context.Context, code string) (string, error)

	limits  Limiter
	once    sync.Once
	turns   chan struct{}
	running sync.WaitGroup
}

// LoginRequest is what a caller brings. Empty is not given.
type LoginRequest struct {
	UserID   string
	Password string
	WeCom    string // the code of a WeCom sign-in
	OTP      string
	Client   Client
}

// Login is what a login has come to: a token, or else the one thing that is
// missing.
type Login struct {
	Token   string // the only time it exists in the clear
	Session Session
	Agent   Agent

	NeedOTP  bool // a one-time password of Who is wanted as well
	Who      bot.User
	Approval Approval // the person is being asked in the chat
}

// The failures of a login. Each says what the caller may know.
var (
	errUnproven     = bot.Fail(bot.Denied, "login.unproven", nil, nil)
	errNotActive    = bot.Fail(bot.Denied, "login.inactive", nil, nil)
	errUnverifiable = bot.Fail(bot.Unavailable, "login.unverified", nil, nil)
	errNoRole       = bot.Fail(bot.Denied, "login.norole", nil, nil)
)

// Login signs in whoever proves to be q.UserID. Who proves nothing has the
// person asked in the chat. It does and takes the same for a person who does
// not exist, up to the point at which they have proved that they do.
func (l *Logins) Login(ctx context.Context, q LoginRequest) (Login, error) {
	if q.Password == "" && q.WeCom == "" {
		a, err := l.ask(ctx, q)
		return Login{Approval: a}, err
	}
	p, err := l.prove(ctx, q)
	if err != nil {
		return Login{}, err
	}
	if rule(p, standing{}) == mustProve {
		return Login{}, l.refused(ctx, q, errUnproven)
	}
	return l.finish(ctx, p, q, nil)
}

// prove finds out which of the proofs given is good.
func (l *Logins) prove(ctx context.Context, q LoginRequest) (proof, error) {
	var down error
	if q.WeCom != "" {
		who, err := l.WhoIs(ctx, q.WeCom)
		if err == nil && bot.ValidUserID(who) && bot.Canonical(who) == bot.Canonical(q.UserID) {
			return byWeCom, nil
		}
		if e, ok := errors.AsType[*bot.Error](err); err != nil && !(ok && e.Kind == bot.Denied) {
			down = err
		}
	}
	if q.Password != "" {
		ok, err := l.Store.CheckPassword(ctx, known(q.UserID), q.Password)
		if err != nil {
			return nothing, err
		}
		if ok {
			return byPassword, nil
		}
	}
	if down != nil && q.Password == "" {
		return nothing, because(errUnverifiable, down)
	}
	return nothing, nil
}

// refused records a login that came to nothing, whoever it was about.
func (l *Logins) refused(ctx context.Context, q LoginRequest, why *bot.Error) error {
	err := l.Store.Tx(ctx, func(tx *Tx) error {
		tx.Audit(AuditEntry{Actor: known(q.UserID), Action: "login", Target: known(q.UserID), Result: "refused", Detail: why.Key})
		return nil
	})
	if err != nil {
		return err
	}
	return why
}

// known is a userid as it may be looked up and written down; what cannot be one
// is nobody's.
func known(userID string) string {
	if !bot.ValidUserID(userID) {
		return "?"
	}
	return bot.Canonical(userID)
}

// because gives a failure its cause, for the log.
func because(e *bot.Error, cause error) error { return bot.Fail(e.Kind, e.Key, e.Data, cause) }

// errTaken says that another request has had the token of this login.
var errTaken = errors.New("the login was taken")

// finish brings a login whose person is proven to its end. from is the approval
// that proves it, nil for any other proof. Once everything is shown, and only
// then, the agent goes online, together with the token.
func (l *Logins) finish(ctx context.Context, p proof, q LoginRequest, from *loginRow) (Login, error) {
	s, who, err := l.standing(ctx, q.UserID)
	if err != nil {
		return Login{}, err
	}
	if no := refusals[rule(p, s)]; no != nil {
		return Login{}, l.refused(ctx, q, no)
	}
	login := Login{Who: who}
	var spent OTPResult
	err = l.Store.Tx(ctx, func(tx *Tx) (err error) {
		code := q.OTP
		if from != nil {
			kept, err := tx.takeLogin(ctx, from)
			if err != nil {
				return err
			}
			code = cmp.Or(code, kept)
		}
		if spent, err = tx.UseOTP(ctx, who.ID, code); err != nil {
			return err
		}
		s.otp, s.otpGiven = !spent.NotEnabled, spent.OK
		if rule(p, s) != wantsOTP {
			return tx.signIn(ctx, &login, p, s, q.Client)
		}
		login.NeedOTP = code == ""
		if from != nil {
			return tx.untakeLogin(ctx, from)
		}
		return nil // so that a miss is counted
	})
	switch {
	case err != nil:
		return Login{}, err
	case login.Token == "" && !login.NeedOTP:
		return Login{}, spent.refused()
	}
	return login, nil
}

// refusals are the rulings that end a login.
var refusals = map[ruling]*bot.Error{
	mustProve: errUnproven, notActive: errNotActive, unverifiable: errUnverifiable, noRole: errNoRole,
}

// standing finds out what else a login depends on.
func (l *Logins) standing(ctx context.Context, userID string) (standing, bot.User, error) {
	p, asked, err := l.Directory.Ask(ctx, userID)
	if err != nil {
		return standing{}, bot.User{}, err
	}
	profile, err := l.Store.Profile(ctx, userID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return standing{}, bot.User{}, err
	}
	agent, err := l.Store.reads.NewSelect().Model((*Agent)(nil)).Where("id = ?", bot.Canonical(userID)).Exists(ctx)
	if err != nil {
		return standing{}, bot.User{}, fmt.Errorf("look up an agent: %w", err)
	}
	return standing{state: p.State, asked: asked, level: profile.Level, agent: agent}, profile.User, nil
}

// signIn is the effect of a login.
func (tx *Tx) signIn(ctx context.Context, login *Login, p proof, s standing, c Client) (err error) {
	if err = tx.EnsureAgent(ctx, login.Who); err != nil {
		return err
	}
	if login.Agent, err = tx.SetStatus(ctx, login.Who.ID, Online, "", 0); err != nil {
		return err
	}
	spec, detail := TokenSpec{UserID: login.Who.ID, Source: string(p), OTP: s.otpGiven}, string(p)
	if rule(p, s) == briefly {
		spec.Degraded, spec.TTL = true, min(tx.s.TokenTTL, shortTTL)
		detail += ", directory not asked"
	}
	if s.otpGiven {
		detail += ", one-time password"
	}
	if login.Token, login.Session, err = tx.NewToken(ctx, spec); err != nil {
		return err
	}
	tx.Audit(AuditEntry{Actor: login.Who.ID, Action: "login", Target: login.Who.ID, Detail: detail})
	return tx.Notice(ctx, login.Who.ID, Notice{What: NoticeLogin, Device: c.Device, Address: c.Address})
}
