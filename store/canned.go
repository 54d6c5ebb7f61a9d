package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Canned is what an agent says so often that they keep it.
type Canned struct {
	bun.BaseModel `bun:"table:canned,alias:k"`

	ID        string    `bun:"id,pk"`
	Agent     string    `bun:"agent"` // canonical userid
	Title     string    `bun:"title"`
	Text      string    `bun:"text"`
	CreatedAt time.Time `bun:"created_at"`
}

// maxCanned bounds what one agent keeps.
const maxCanned = 50

// ErrEnough means that somebody has as many of something as they may.
var ErrEnough = errors.New("no more of these")

// Canned lists what an agent keeps, the oldest first.
func (s *Store) Canned(ctx context.Context, agent string) ([]Canned, error) {
	var list []Canned
	err := s.reads.NewSelect().Model(&list).Where("agent = ?", agent).Order("created_at", "id").Limit(maxCanned).Scan(ctx)
	return list, wrap(err, "list canned replies")
}

// KeepCanned keeps a text for an agent. Without a title it is called by how it
// begins. Errors are those of Say, and ErrEnough.
func (tx *Tx) KeepCanned(ctx context.Context, agent, title, text string) (Canned, error) {
	k := Canned{ID: uuid.NewString(), Agent: agent, Title: titled(title), Text: strings.TrimSpace(text), CreatedAt: tx.Now}
	if k.Title == "" {
		k.Title = firstLine(k.Text)
	}
	switch {
	case k.Text == "":
		return k, fmt.Errorf("keep a canned reply: %w", ErrEmpty)
	case len(k.Text) > MaxSaid:
		return k, fmt.Errorf("keep a canned reply: %w", ErrTooLong)
	}
	n, err := tx.db.NewSelect().Model((*Canned)(nil)).Where("agent = ?", agent).Count(ctx)
	if err == nil && n >= maxCanned {
		err = ErrEnough
	}
	if err == nil {
		_, err = tx.db.NewInsert().Model(&k).Returning("NULL").Exec(ctx)
	}
	return k, wrap(err, "keep a canned reply")
}

// DropCanned drops what an agent kept; of others' there is none.
func (tx *Tx) DropCanned(ctx context.Context, agent, id string) error {
	res, err := tx.db.NewDelete().Model((*Canned)(nil)).Where("id = ?", id).Where("agent = ?", agent).Exec(ctx)
	return changedOne(res, err, "drop a canned reply")
}
