// Package store owns what is remembered: every row, every secret at rest and
// every rule that decides something once. Each noun has a file: its table's
// struct, and its methods.
//
// Every write is a method of Tx, so an effect commits together with its audit
// entry, its reply and its pushes, or not at all. Secrets are hashed or sealed
// here before they reach SQL. It leaves to others who may do what (commands,
// api) and what WeCom's wire looks like (bot/wecom).
//
//	st, err := store.Open(ctx, store.Options{URL: "sqlite:deskbell.db", Keys: [][]byte{key}})
//	err = st.Tx(ctx, func(tx *store.Tx) error {
//		_, err := tx.SetStatus(ctx, "lilei", "busy", "lunch", 30*time.Minute)
//		return err
//	})
package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/driver/pgdriver"
)

// The two failures every noun shares.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
)

// Options says where the store is and the few rules it applies itself. URL and
// Keys are required; the zero value of everything else is usable.
type Options struct {
	URL       string        // sqlite:PATH, sqlite::memory: or postgres://…
	Keys      [][]byte      // 32 bytes each; the first seals and hashes, the others still open
	Beside    bool          // for a command on the host: open also what a server has open, and leave the schema as it is
	PublicURL string        // origin that links point to
	AgentURL  string        // where links under /agent/ point instead, "" for PublicURL
	AdminURL  string        // the same for /admin/
	TokenTTL  time.Duration // access tokens; default 8 h
	LinkTTL   time.Duration // the token in a chat link; default 10 min
	Direct    bool          // links carry a limited access token instead of a one-time link token
	MaxLoad   int           // helpdesk sessions per agent; default 5
	Desk      DeskTimes
	OTPIssuer string // names us in people's authenticators; default Deskbell
	Pace      Rate   // pushes to one person; zero is unlimited
	PassCost  int    // of hashing a password (bcrypt); default 12
	Roles     Rules
	Render    Render // how Tx.Tell words what it sends
	Now       func() time.Time
	Log       *slog.Logger

	ServiceDesk *ServiceDesk // shares tokens with an existing service desk; nil: there is none
}

// Render words a reply for a person, in a language, as templates define it.
// taskID is the id a card must carry.
type Render func(to, lang, taskID string, r bot.Reply) (bot.Outgoing, error)

// Store is an open store. It is safe for use by many goroutines.
type Store struct {
	Options
	db      *bun.DB // writes; on SQLite the one connection that may
	reads   *bun.DB // reads outside a transaction
	keys    *keyring
	hasher  *hasher
	decoy   decoy
	pg      bool
	conf    *pgdriver.Config // nil on SQLite
	unlock  func()
	inbox   *batcher[*received]
	stamped time.Time     // when the latest message came
	pushed  chan struct{} // signalled when a commit left something to deliver
	wanted  chan struct{} // signalled when a commit left something to collect
	chains  chains
	agents  sync.Map     // canonical userid → the sighting its agent row has
	wiped   atomic.Int64 // up to this row of the inbox, replies are gone
	live    *live
	desk    chan struct{} // signalled when conversations may find an agent
	cried   chan struct{} // signalled when there is a broadcast to see to
	stop    context.CancelFunc
}

// Open connects, brings the schema up to date and starts receiving. It refuses
// a SQLite file that another process has open.
func Open(ctx context.Context, o Options) (*Store, error) {
	keys, err := newKeyring(o.Keys)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.TokenTTL = cmp.Or(o.TokenTTL, 8*time.Hour)
	o.LinkTTL = cmp.Or(o.LinkTTL, 10*time.Minute)
	o.MaxLoad = cmp.Or(o.MaxLoad, 5)
	o.Desk = o.Desk.orDefault()
	o.OTPIssuer = cmp.Or(o.OTPIssuer, "Deskbell")
	s := &Store{Options: o, keys: keys, hasher: newHasher(keys, o.PassCost), pushed: make(chan struct{}, 1), live: newLive(), desk: make(chan struct{}, 1), cried: make(chan struct{}, 1), wanted: make(chan struct{}, 1)}
	s.decoy = newDecoy(keys, s.hasher)
	if err := s.connect(o.URL); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		s.close()
		return nil, err
	}
	if err := s.Tx(ctx, func(tx *Tx) error { return errors.Join(tx.adopt(ctx), tx.configureLoad(ctx)) }); err != nil {
		s.close()
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.inbox = newBatcher(run, receiveBatch, s.flushInbox)
	return s, nil
}

// ready brings the schema up to date, and refuses keys that cannot open what is
// there: better not to start than to fail person by person.
func (s *Store) ready(ctx context.Context) error {
	if !s.Beside {
		if _, err := s.migrate(ctx); err != nil {
			return err
		}
	} else if pending, err := PendingMigrations(ctx, s.URL); err != nil {
		return err
	} else if len(pending) > 0 {
		return fmt.Errorf("the schema is not up to date: run deskbell migrate")
	}
	return s.lostKeys(ctx)
}

// Migrate brings the schema at url up to date and names what it applied.
func Migrate(ctx context.Context, url string) ([]string, error) {
	s := &Store{}
	if err := s.connect(url); err != nil {
		return nil, err
	}
	defer s.close()
	return s.migrate(ctx)
}

// Close stops receiving, marks where the audit trail ends, and lets go of the
// database.
func (s *Store) Close() error {
	s.stop()
	s.inbox.wait()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := s.Checkpoint(ctx); err != nil {
		s.Log.Warn("no last audit checkpoint", "err", err)
	}
	return s.close()
}

func (s *Store) close() error {
	err := s.db.Close()
	if s.reads != s.db {
		err = errors.Join(err, s.reads.Close())
	}
	s.unlock()
	return err
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.reads.PingContext(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Postgres reports which engine this is: PostgreSQL, or else SQLite.
func (s *Store) Postgres() bool { return s.pg }

// Tx is one transaction: the only way to write. Now is the one moment at which
// everything in it happens.
type Tx struct {
	Now    time.Time
	s      *Store
	db     bun.Tx
	audits []auditRow
	chain  *chain // that the audits are on, from flush to commit
	number int64  // of the chain, if this is its first transaction

	people  []string            // whose messages this is about, when it is a transaction of Work
	granted map[string][]string // their roles
	agents  map[string]*Agent   // as far as they were read to be changed; nil for people who are none
	changed []*Agent            // of those
	said    []saying            // in conversations
	inLine  bool                // holds what its people's commands may change at the desk
	moved   []Change            // conversations that somebody may be looking at
	pushes  []outboxRow
	done    []finished
	then    []func() // after the commit
	activity
}

// Tx runs fn in a transaction that commits when fn returns nil and leaves
// nothing behind otherwise.
func (s *Store) Tx(ctx context.Context, fn func(*Tx) error) error {
	return s.tx(ctx, &Tx{}, fn)
}

func (s *Store) tx(ctx context.Context, tx *Tx, fn func(*Tx) error) (err error) {
	ctx, done := bounded(ctx)
	defer done()
	defer func() { s.suspect(err) }()
	db, err := s.db.WithQueryHook(&tx.activity).BeginTx(ctx, &sql.TxOptions{})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	tx.Now, tx.s, tx.db = s.Now().UTC().Truncate(time.Microsecond), s, db
	if err := fn(tx); err != nil {
		return errors.Join(err, ignoreDone(db.Rollback()))
	}
	if err := tx.flush(ctx); err != nil {
		err = errors.Join(err, ignoreDone(db.Rollback()))
		tx.unlink(false)
		return err
	}
	if tx.broken.Load() {
		err = errors.Join(errIgnored, ignoreDone(db.Rollback()))
		tx.unlink(false)
		return err
	}
	bot.Failpoint("before-commit")
	if err := db.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	tx.unlink(true)
	bot.Failpoint("after-commit")
	if len(tx.pushes) > 0 {
		s.wakeOutbox()
	}
	if len(tx.moved) > 0 {
		s.live.publish(tx.moved)
	}
	for _, fn := range tx.then {
		fn()
	}
	return nil
}

// after runs fn once the transaction has committed.
func (tx *Tx) after(fn func()) { tx.then = append(tx.then, fn) }

// flush writes what the transaction gathered: a statement for each table, all of
// them in one round trip.
func (tx *Tx) flush(ctx context.Context) error {
	text := make([]byte, 0, 512*len(tx.audits)+2048*len(tx.pushes)+256*len(tx.done)+1024*len(tx.said))
	text, _, err := tx.writeSaid(ctx, text)
	if err != nil {
		return err
	}
	for _, write := range []func([]byte) ([]byte, error){tx.writeAudit, tx.writeHead, tx.writePushes, tx.writeAgents, tx.writeFinished} {
		var err error
		if text, err = write(text); err != nil {
			return fmt.Errorf("write effects: %w", err)
		}
	}
	if len(text) == 0 {
		return nil
	}
	res, err := tx.db.ExecContext(ctx, string(text))
	if err != nil {
		return fmt.Errorf("write effects: %w", saidTwice(err))
	}
	if err := tx.finishedAll(res); err != nil {
		return err
	}
	return tx.enrol(ctx)
}

// insert appends the statement that writes rows.
func (tx *Tx) insert(text []byte, rows any, without ...string) ([]byte, error) {
	text, err := tx.db.NewInsert().Model(rows).ExcludeColumn(without...).Returning("NULL").AppendQuery(tx.s.db.QueryGen(), text)
	return append(text, ';'), err
}

// Mark remembers how far a transaction has come, so that one of several
// commands sharing it can be taken back.
type Mark struct{ audits, pushes, said, done int }

// Mark notes where the transaction stands.
func (tx *Tx) Mark() Mark {
	tx.wrote.Store(false)
	return Mark{len(tx.audits), len(tx.pushes), len(tx.said), len(tx.done)}
}

// Reset forgets what was gathered since the mark. It reports false when rows
// were already written since, or a statement failed: then only a rollback of
// everything helps.
func (tx *Tx) Reset(m Mark) bool {
	if tx.wrote.Load() || tx.broken.Load() {
		return false
	}
	tx.audits, tx.pushes, tx.said, tx.done = tx.audits[:m.audits], tx.pushes[:m.pushes], tx.said[:m.said], tx.done[:m.done]
	return true
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
