package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"deskbell/bot"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// The states of a medium.
const (
	MediaWanted = "wanted" // WeCom has it, we do not yet
	MediaKept   = "kept"
	MediaFailed = "failed" // and never will; Reason says why
)

// mediaPiece is how much of a medium is in one row, and in memory.
const mediaPiece = 512 << 10

// Media is something a person sent instead of words.
type Media struct {
	ID        string
	Person    string // canonical userid of who sent it
	Kind      bot.MediaKind
	Name      string // safe to show and to save under; "" before it is kept when WeCom gave none
	Type      string // what its first bytes are, see sniff; never what somebody called it
	Size      int64
	State     string
	Reason    string // the key of a text for people, when it failed
	CreatedAt time.Time

	seal *box
}

// mediaRow is a Media at rest.
type mediaRow struct {
	bun.BaseModel `bun:"table:media"`

	ID        string        `bun:"id,pk"`
	Message   string        `bun:"message"` // the key of the message it came with
	Person    string        `bun:"person"`
	Secret    string        `bun:"secret"`   // sealed; seals the next two, and the pieces
	MediaID   string        `bun:"media_id"` // WeCom's name for it
	Name      string        `bun:"name"`
	Kind      bot.MediaKind `bun:"kind"`
	Type      string        `bun:"type"`
	Size      int64         `bun:"size"`
	State     string        `bun:"state"`
	Reason    string        `bun:"reason"`
	Tries     int           `bun:"tries"`
	DueAt     time.Time     `bun:"due_at"`
	LeasedTo  *time.Time    `bun:"leased_to"` // somebody is getting it until then
	Error     string        `bun:"error"`     // what came of the latest try
	CreatedAt time.Time     `bun:"created_at"`
}

func mediaPlace(id string) string { return "media/" + id }

// WantMedia asks for what came with m, which WeCom keeps for three days, to be
// got and kept. It names it; the same message gives the same name.
func (tx *Tx) WantMedia(ctx context.Context, m bot.Message) (id string, err error) {
	if m.Media.Kind == bot.NoMedia || m.Media.ID == "" || m.Key == "" {
		return "", fmt.Errorf("want media: there is none in message %q", m.Key)
	}
	id = uuid.NewString()
	secret, seal := newBox()
	row := mediaRow{
		ID: id, Message: m.Key, Person: bot.Canonical(m.From), Secret: tx.s.keys.seal(mediaPlace(id), secret),
		MediaID: seal.seal("media_id", []byte(m.Media.ID)), Name: seal.seal("name", []byte(bot.FileName(m.Media.Name))),
		Kind: m.Media.Kind, State: MediaWanted, DueAt: tx.Now, CreatedAt: tx.Now,
	}
	err = tx.db.NewInsert().Model(&row).On("CONFLICT (message) DO UPDATE").Set("message = EXCLUDED.message").Returning("id").Scan(ctx, &id)
	if err != nil {
		return "", fmt.Errorf("want media: %w", err)
	}
	tx.after(tx.s.wakeCollector)
	return id, nil
}

func (s *Store) wakeCollector() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// unseal makes a row readable.
func (s *Store) unsealMedia(row *mediaRow) (Media, error) {
	m := Media{ID: row.ID, Person: row.Person, Kind: row.Kind, Type: row.Type, Size: row.Size, State: row.State, Reason: row.Reason, CreatedAt: row.CreatedAt}
	secret, err := s.keys.open(mediaPlace(row.ID), row.Secret)
	if err != nil {
		return m, fmt.Errorf("media %s: %w", row.ID, err)
	}
	if m.seal, err = openBox(secret); err != nil {
		return m, fmt.Errorf("media %s: %w", row.ID, err)
	}
	name, err := m.seal.open("name", row.Name)
	if err != nil {
		return m, fmt.Errorf("media %s: %w", row.ID, err)
	}
	m.Name = string(name)
	return m, nil
}

// Media says what is known of a medium.
func (s *Store) Media(ctx context.Context, id string) (Media, error) {
	all, err := s.Medias(ctx, []string{id})
	if err != nil {
		return Media{}, err
	}
	m, ok := all[id]
	if !ok {
		return Media{}, ErrNotFound
	}
	return m, nil
}

// Medias says what is known of several, by their ids; there is nothing about
// those that are not there.
func (s *Store) Medias(ctx context.Context, ids []string) (map[string]Media, error) {
	all := make(map[string]Media, len(ids))
	if len(ids) == 0 {
		return all, nil
	}
	var rows []mediaRow
	err := s.reads.NewSelect().Model(&rows).ExcludeColumn("message", "media_id", "error", "due_at", "leased_to", "tries").Where("id IN (?)", bun.List(ids)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up media: %w", err)
	}
	for i := range rows {
		m, err := s.unsealMedia(&rows[i])
		if err != nil {
			return nil, err
		}
		all[m.ID] = m
	}
	return all, nil
}

// MediaBytes reads what was kept, as Media and Medias gave it, piece by piece: no
// more than one of them is in memory. It fails with ErrNotFound when there is
// nothing kept, and in the middle when it is purged meanwhile.
func (s *Store) MediaBytes(ctx context.Context, m Media) io.Reader {
	return &mediaReader{s: s, ctx: ctx, m: m, left: m.Size}
}

type mediaReader struct {
	s    *Store
	ctx  context.Context // a reader cannot be given one each time
	m    Media
	n    int    // the next piece
	left int64  // that have not been read from the store
	rest []byte // of the piece read last
}

func (r *mediaReader) Read(p []byte) (int, error) {
	if r.m.State != MediaKept || r.m.seal == nil {
		return 0, ErrNotFound
	}
	if len(r.rest) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		if err := r.load(); err != nil {
			return 0, fmt.Errorf("media %s, piece %d: %w", r.m.ID, r.n, err)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *mediaReader) load() error {
	ctx, done := bounded(r.ctx)
	defer done()
	var body string
	err := r.s.reads.NewSelect().Table("media_parts").Column("body").Where("media = ?", r.m.ID).Where("n = ?", r.n).Scan(ctx, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if r.rest, err = r.m.seal.open(strconv.Itoa(r.n), body); err != nil {
		return err
	}
	if len(r.rest) == 0 || int64(len(r.rest)) > r.left {
		r.rest = nil
		return io.ErrUnexpectedEOF
	}
	r.n, r.left = r.n+1, r.left-int64(len(r.rest))
	return nil
}

// purgeMedia removes what is older than a closed conversation is kept, once its
// message is gone.
func (s *Store) purgeMedia(ctx context.Context) (int64, error) {
	return s.PurgeMedia(ctx, s.Now().Add(-s.Desk.Keep))
}

// MediaOf returns a medium that was sent in a conversation, or ErrNotFound.
func (s *Store) MediaOf(ctx context.Context, conversation, id string) (Media, error) {
	sent, err := s.reads.NewSelect().Model((*Said)(nil)).Where("conversation = ?", conversation).Where("media = ?", id).Exists(ctx)
	if err != nil {
		return Media{}, fmt.Errorf("media %s: %w", id, err)
	}
	if !sent {
		return Media{}, ErrNotFound
	}
	return s.Media(ctx, id)
}

// MediaSettled tells whoever sent a medium that it could not be had, and the
// session it was sent in.
func (tx *Tx) MediaSettled(ctx context.Context, m Media) error {
	if m.State != MediaFailed {
		return nil
	}
	var in []string
	err := tx.db.NewSelect().Model((*Said)(nil)).Column("conversation").Where("media = ?", m.ID).Where("media <> ''").Limit(1).Scan(ctx, &in)
	if err != nil {
		return fmt.Errorf("media %s: %w", m.ID, err)
	}
	for _, id := range in {
		c, err := tx.holdConversation(ctx, id, Party{Admin: true})
		if err != nil {
			return err
		}
		if c.Status != Closed {
			tx.note(id, saidLost, "", cmp.Or(m.Name, string(m.Kind)))
		}
	}
	return tx.Tell(ctx, m.Person, bot.Text(m.Reason, nil))
}

// purgeMediaAtOnce is few, since each may be many megabytes.
const purgeMediaAtOnce = 10

// PurgeMedia removes some of what came before a time and no message names any
// more, and says how many: whoever wants all of it removed calls again until there
// are none.
func (s *Store) PurgeMedia(ctx context.Context, before time.Time) (int64, error) {
	res, err := s.db.NewRaw("DELETE FROM media WHERE id IN (SELECT id FROM media AS m WHERE created_at < ? AND state <> ? AND "+
		"NOT EXISTS (SELECT 1 FROM conversation_messages AS c WHERE c.media = m.id AND c.media <> '') ORDER BY created_at LIMIT ?)",
		before.UTC(), MediaWanted, purgeMediaAtOnce).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("purge media: %w", err)
	}
	return res.RowsAffected()
}
