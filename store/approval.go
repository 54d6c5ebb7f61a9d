package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

const (
	// approveWithin is how long a login waits for its person.
	approveWithin = 2 * time.Minute
	// takeWithin is how long an approved one waits to be taken.
	takeWithin = time.Minute
	// promptEvery and three columns bound how often a person is asked: who is
	// asked often enough says yes in the end.
	promptEvery = 10 * time.Minute
	// promptTime bounds the work on one prompt.
	promptTime = 8 * time.Second
	// loginsKept is how long a login that is over is told from an unknown one.
	loginsKept = time.Hour
)

// The states of a login that waits for its person.
const (
	LoginPending  = "pending"
	LoginApproved = "approved"
	LoginDenied   = "denied"
	LoginMissed   = "missed" // another number was pressed than the one on the screen: denied, too
	LoginOver     = "over"   // nobody decided in time
)

// loginRow is a login that waits for its person's approval in the chat. There is
// one for people who do not exist, too, which nobody will ever approve.
type loginRow struct {
	bun.BaseModel `bun:"table:logins"`

	ID        string     `bun:"id,pk"` // what the buttons on the card say
	Hash      string     `bun:"hash"`  // of the login_id, with which its token can be had
	Person    string     `bun:"person"`
	Number    string     `bun:"number"`
	Code      string     `bun:"code"` // a one-time password that came along, sealed; wiped when looked at
	Device    string     `bun:"device"`
	Address   string     `bun:"address"`
	State     string     `bun:"state"`
	TaskID    string     `bun:"task_id"` // of the card that asks
	CreatedAt time.Time  `bun:"created_at"`
	ExpiresAt time.Time  `bun:"expires_at"`
	DecidedAt *time.Time `bun:"decided_at"`
	TakenAt   *time.Time `bun:"taken_at"`
}

// Approval is a login that waits to be approved: the caller shows Number, and
// asks about LoginID from time to time.
type Approval struct {
	LoginID string
	Number  string
	Within  time.Duration
}

// ask starts a login that its person has to approve. Everything that depends on
// whether there is such a person happens after the caller was answered.
func (l *Logins) ask(ctx context.Context, q LoginRequest) (Approval, error) {
	s := l.Store
	id, now := newToken(kindLogin), s.Now().UTC()
	row := loginRow{
		ID: uuid.NewString(), Hash: s.keys.digest(kindLogin, id), Person: known(q.UserID), Number: number(),
		Device: q.Client.Device, Address: q.Client.Address, State: LoginPending, CreatedAt: now, ExpiresAt: now.Add(approveWithin),
	}
	row.Code = s.keys.seal(row.bound(), []byte(q.OTP))
	if _, err := s.db.NewInsert().Model(&row).ExcludeColumn("decided_at", "taken_at").Returning("NULL").Exec(ctx); err != nil {
		return Approval{}, fmt.Errorf("start a login: %w", err)
	}
	l.later(func(ctx context.Context) error { return l.prompt(ctx, row) })
	return Approval{LoginID: id, Number: row.Number, Within: approveWithin}, nil
}

func (r loginRow) bound() string { return "login/" + r.ID }

// number is what the caller's screen shows and the person has to find.
func number() string {
	n, err := rand.Int(rand.Reader, big.NewInt(90))
	if err != nil {
		panic(err) // the system's random numbers do not fail
	}
	return fmt.Sprint(10 + n.Int64())
}

// later does what no caller waits for. When too much is going on it is left out.
func (l *Logins) later(fn func(context.Context) error) {
	l.once.Do(func() { l.turns = make(chan struct{}, promptsAtOnce) })
	select {
	case l.turns <- struct{}{}:
	default:
		l.Store.Log.Warn("too many logins to ask about at once")
		return
	}
	l.running.Go(func() {
		defer func() { <-l.turns }()
		ctx, cancel := context.WithTimeout(context.Background(), promptTime)
		defer cancel()
		if err := fn(ctx); err != nil {
			l.Store.Log.Warn("nobody was asked about a login", "err", err)
		}
	})
}

// Wait returns when nothing is going on for logins that were answered.
func (l *Logins) Wait() { l.running.Wait() }

// prompt puts the question to the person: at most three times in ten minutes,
// and only to active members.
func (l *Logins) prompt(ctx context.Context, row loginRow) error {
	if !bot.ValidUserID(row.Person) {
		return nil
	}
	if ok, err := l.Store.mayPrompt(ctx, row.Person); err != nil || !ok {
		return err
	}
	_, err := findPerson(ctx, l.Store.reads, row.Person)
	if errors.Is(err, ErrNotFound) && l.limits.Allow("strangers", strangers, l.Store.Now()) > 0 {
		return errors.New("too many questions about people nobody has seen yet")
	}
	p, asked, err := l.Directory.Ask(ctx, row.Person)
	if err != nil || !asked || p.State != bot.Active {
		return err
	}
	return l.Store.Tx(ctx, func(tx *Tx) error {
		taskID := tx.NewTaskID()
		res, err := tx.db.NewUpdate().Model((*loginRow)(nil)).Set("task_id = ?", taskID).
			Where("id = ?", row.ID).Where("state = ?", LoginPending).Where("expires_at > ?", tx.Now).Exec(ctx)
		if err := changedOne(res, err, "ask about a login"); err != nil {
			return err
		}
		tx.Audit(AuditEntry{Actor: row.Person, Action: "login.ask", Target: row.Person})
		return tx.tellAs(ctx, p.ID, taskID, bot.Card("login.ask", row.question()))
	})
}

// tellAs is Tell with a card that will be known again by its task id.
func (tx *Tx) tellAs(ctx context.Context, userID, taskID string, r bot.Reply) error {
	p, err := tx.person(ctx, bot.Canonical(userID))
	if err != nil {
		return err
	}
	o, err := tx.s.Render(userID, p.Language(), taskID, r)
	if err != nil {
		return fmt.Errorf("tell: %w", err)
	}
	return tx.Push(ctx, o)
}

// mayPrompt counts a prompt, if there is room for it: the columns hold when the
// latest three were.
func (s *Store) mayPrompt(ctx context.Context, person string) (bool, error) {
	now := s.Now().UTC()
	res, err := s.db.NewRaw("INSERT INTO login_prompts (person, last1) VALUES (?0, ?1) ON CONFLICT (person) DO UPDATE"+
		" SET last1 = EXCLUDED.last1, last2 = login_prompts.last1, last3 = login_prompts.last2"+
		" WHERE login_prompts.last3 IS NULL OR login_prompts.last3 <= ?2", person, now, now.Add(-promptEvery)).Exec(ctx)
	if err := changedOne(res, err, "count a prompt"); errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// Question is a login as its person sees it.
type Question struct {
	ID           string
	State        string
	Numbers      []string // to choose from
	At           time.Time
	App, System  string // the device, either may be ""
	Address      string
	UserID, Name string // whom it is about
	Within       time.Duration
}

func (r loginRow) question() Question {
	q := Question{ID: r.ID, State: r.State, At: r.CreatedAt, Address: r.Address, UserID: r.Person, Within: approveWithin, Numbers: []string{r.Number}}
	q.App, q.System, _ = strings.Cut(r.Device, deviceSeparator)
	for len(q.Numbers) < 3 {
		if n := number(); n != q.Numbers[0] && n != q.Numbers[len(q.Numbers)-1] {
			q.Numbers = append(q.Numbers, n)
		}
	}
	slices.Sort(q.Numbers) // an order that does not tell which is which
	return q
}

// DecideLogin is a press of a button on the card taskID, which asks u about a
// login: the number pressed, or "" for no. Whatever is pressed first decides.
// Denying it alerts the administrators.
func (tx *Tx) DecideLogin(ctx context.Context, u bot.User, taskID, id, pressed string) (Question, error) {
	var row loginRow
	mine := func(q bun.QueryBuilder) bun.QueryBuilder {
		return q.Where("id = ?", id).Where("person = ?", u.Key()).Where("task_id = ?", taskID).Where("task_id <> ''")
	}
	verdict := "CASE WHEN number = ? THEN ? WHEN ? = '' THEN ? ELSE ? END"
	err := tx.db.NewUpdate().Model(&row).Set("state = "+verdict, pressed, LoginApproved, pressed, LoginDenied, LoginMissed).
		Set("decided_at = ?", tx.Now).Set("expires_at = ?", tx.Now.Add(takeWithin)).
		ApplyQueryBuilder(mine).Where("state = ?", LoginPending).Where("expires_at > ?", tx.Now).Returning("*").Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return tx.decided(ctx, mine)
	}
	if err != nil {
		return Question{}, fmt.Errorf("decide a login: %w", err)
	}
	q := row.question()
	q.UserID, q.Name = u.ID, u.Name
	tx.Audit(AuditEntry{Actor: u.ID, Action: "login." + row.State, Target: u.ID, Detail: row.Address})
	if row.State != LoginDenied {
		return q, nil
	}
	admins, err := tx.Admins(ctx)
	if err != nil {
		return q, err
	}
	for _, admin := range admins {
		if err := tx.Tell(ctx, admin.ID, bot.Text("login.alert", q)); err != nil {
			return q, err
		}
	}
	return q, nil
}

// decided is a login about which there is nothing left to decide.
func (tx *Tx) decided(ctx context.Context, mine func(bun.QueryBuilder) bun.QueryBuilder) (Question, error) {
	var row loginRow
	err := tx.db.NewSelect().Model(&row).ApplyQueryBuilder(mine).Scan(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Question{}, fmt.Errorf("decide a login: %w", err)
	}
	if err != nil || row.State == LoginPending {
		row.State = LoginOver
	}
	return row.question(), nil
}

// Poll is what has become of a login that was to be approved. state is
// LoginPending or LoginApproved; the token is in the first answer after the
// approval, once. Somebody who uses one-time passwords has sent one along with
// the login, or is asked for one here: code. An approval alone would be less
// than they have to show otherwise.
func (l *Logins) Poll(ctx context.Context, loginID, code string, c Client) (state string, login Login, err error) {
	if tokenKind(loginID) != kindLogin {
		return "", Login{}, ErrNotFound
	}
	var row loginRow
	err = l.Store.reads.NewSelect().Model(&row).Where("hash IN (?)", bun.List(l.Store.keys.digests(kindLogin, loginID))).Scan(ctx)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", Login{}, ErrNotFound
	case err != nil:
		return "", Login{}, fmt.Errorf("look up a login: %w", err)
	case row.TakenAt != nil:
		return LoginApproved, Login{}, nil
	case row.State != LoginPending && row.State != LoginApproved, !row.ExpiresAt.After(l.Store.Now()):
		return "", Login{}, errNotApproved
	case row.State == LoginPending:
		return LoginPending, Login{}, nil
	}
	login, err = l.finish(ctx, byApproval, LoginRequest{UserID: row.Person, OTP: code, Client: c}, &row)
	if errors.Is(err, errTaken) {
		return LoginApproved, Login{}, nil
	}
	return LoginApproved, login, err
}

var errNotApproved = bot.Fail(bot.Denied, "login.notapproved", nil, nil)

// takeLogin claims an approved login for this transaction, and returns the
// one-time password that came along with it.
func (tx *Tx) takeLogin(ctx context.Context, row *loginRow) (code string, err error) {
	var now loginRow
	err = tx.db.NewUpdate().Model(&now).Set("taken_at = ?", tx.Now).Where("id = ?", row.ID).Where("taken_at IS NULL").
		Where("state = ?", LoginApproved).Where("expires_at > ?", tx.Now).Returning("*").Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return "", errTaken
	}
	if err != nil {
		return "", fmt.Errorf("take a login: %w", err)
	}
	plain, err := tx.s.keys.open(now.bound(), now.Code)
	if err != nil {
		return "", err
	}
	if now.Code != "" {
		_, err = tx.db.NewUpdate().Model((*loginRow)(nil)).Set("code = ''").Where("id = ?", row.ID).Exec(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("take a login: %w", err)
	}
	return string(plain), nil
}

// untakeLogin leaves a login for another try, with another code.
func (tx *Tx) untakeLogin(ctx context.Context, row *loginRow) error {
	if _, err := tx.db.NewUpdate().Model((*loginRow)(nil)).Set("taken_at = NULL").Where("id = ?", row.ID).Exec(ctx); err != nil {
		return fmt.Errorf("take a login: %w", err)
	}
	return nil
}

func (s *Store) purgeLogins(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM logins WHERE id IN (SELECT id FROM logins WHERE expires_at < ? LIMIT 500)", loginsKept)
}

func (s *Store) purgePrompts(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM login_prompts WHERE person IN (SELECT person FROM login_prompts WHERE last1 < ? LIMIT 500)", promptEvery)
}
