package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// ErrEnded means that there was such a share, or token of an app, and it was revoked
// or has expired.
var ErrEnded = errors.New("revoked or expired")

// Share is a share token as its owner sees it: never the token itself.
type Share struct {
	ID        string
	Bot       string // its id
	BotName   string
	Owner     string // canonical userid; "" is the master key's
	Name      string // what the owner calls it
	Last4     string // of the token, to tell links apart
	CreatedAt time.Time
	ExpiresAt *time.Time // nil: never
	RevokedAt *time.Time
	Opens     int64
	OpenedAt  *time.Time
	Left      time.Duration // until it expires; 0 when it never does, or has
}

// Live reports whether the share is good at a moment.
func (s Share) Live(now time.Time) bool {
	return s.RevokedAt == nil && (s.ExpiresAt == nil || s.ExpiresAt.After(now))
}

// ShortID is enough of the id to tell a person's shares apart.
func (s Share) ShortID() string { return s.ID[:min(shortID, len(s.ID))] }

// shareRow is a share token at rest: a keyed hash to find it by, and the token
// sealed, for its owner's QR code. Neither is of use to who holds the database.
type shareRow struct {
	bun.BaseModel `bun:"table:share_tokens,alias:t"`

	ID        string     `bun:"id,pk"`
	Hash      string     `bun:"hash"`
	Link      string     `bun:"link"` // the token, sealed; "" once it is revoked
	Last4     string     `bun:"last4"`
	Bot       string     `bun:"bot"`
	Name      string     `bun:"name"`
	CreatedAt time.Time  `bun:"created_at"`
	ExpiresAt *time.Time `bun:"expires_at"`
	RemindAt  *time.Time `bun:"remind_at"` // when the owner is told that it is about to expire
	RevokedAt *time.Time `bun:"revoked_at"`
	RevokedBy string     `bun:"revoked_by"`
	Opens     int64      `bun:"opens"`
	OpenedAt  *time.Time `bun:"opened_at"`

	Owner   string `bun:"owner,scanonly"`
	BotName string `bun:"bot_name,scanonly"`
}

func (r shareRow) share(now time.Time) Share {
	s := Share{
		ID: r.ID, Bot: r.Bot, BotName: r.BotName, Owner: r.Owner, Name: r.Name, Last4: r.Last4, CreatedAt: r.CreatedAt.UTC(),
		ExpiresAt: inUTC(r.ExpiresAt), RevokedAt: inUTC(r.RevokedAt), Opens: r.Opens, OpenedAt: inUTC(r.OpenedAt),
	}
	if s.ExpiresAt != nil {
		s.Left = max(0, s.ExpiresAt.Sub(now))
	}
	return s
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

func sharePlace(id string) string { return "share/" + id }

// owns is the condition on bots b under which the owner may act on one.
func (o Asker) owns() schema.QueryWithArgs {
	if o.Master {
		return bun.SafeQuery("b.owner = b.owner")
	}
	return bun.SafeQuery("b.owner <> '' AND b.owner = ?", bot.Canonical(o.UserID))
}

// NewShare asks for a share token.
type NewShare struct {
	Bot       string // its id
	Name      string
	ExpiresAt *time.Time // nil: never
}

// CreateShare makes a share token. It is the only time the token exists in the
// clear. ErrNotFound: no such bot; ErrNotOwner: somebody else's.
func (tx *Tx) CreateShare(ctx context.Context, n NewShare, by Asker) (token string, sh Share, err error) {
	token = newToken(kindShare)
	sh, err = tx.createShare(ctx, n, token, by)
	if err != nil {
		return "", Share{}, err
	}
	return token, sh, nil
}

func (tx *Tx) createShare(ctx context.Context, n NewShare, token string, by Asker) (Share, error) {
	n.Name = strings.TrimSpace(n.Name)
	if wrong := badName(n.Name); wrong != "" {
		return Share{}, &BotError{wrong}
	}
	id := uuid.NewString()
	row := shareRow{
		ID: id, Hash: tx.s.keys.digest(kindShare, token), Link: tx.s.keys.seal(sharePlace(id), []byte(token)), Last4: token[len(token)-4:],
		Bot: n.Bot, Name: n.Name, CreatedAt: tx.Now,
	}
	if n.ExpiresAt != nil {
		row.ExpiresAt = new(n.ExpiresAt.UTC().Truncate(time.Second))
		row.RemindAt = remindAt(tx.Now, *row.ExpiresAt)
	}
	// The row count decides: the bot is there and theirs at this very moment. The
	// lock makes a departure of its owner wait, and find this share, or this wait,
	// and find no owner. SQLite has one writer.
	lock := ""
	if tx.s.pg {
		lock = " FOR SHARE"
	}
	res, err := tx.db.NewRaw(`INSERT INTO share_tokens (id, hash, link, last4, bot, name, created_at, expires_at, remind_at)
		SELECT ?, ?, ?, ?, b.id, ?, ?, ?, ? FROM bots AS b WHERE b.id = ? AND ?`+lock,
		row.ID, row.Hash, row.Link, row.Last4, row.Name, row.CreatedAt, row.ExpiresAt, row.RemindAt, row.Bot, by.owns()).Exec(ctx)
	if err := changedOne(res, err, "make a share"); errors.Is(err, ErrNotFound) {
		return Share{}, tx.notOwned(ctx, n.Bot)
	} else if err != nil {
		return Share{}, err
	}
	tx.Audit(AuditEntry{Actor: by.actor(), Action: "share.create", Target: row.ID, Detail: row.Bot})
	return tx.Share(ctx, row.ID)
}

// RevokeShare ends a share for good. One that ended before stays as it was.
// ErrNotFound and ErrNotOwner as CreateShare.
func (tx *Tx) RevokeShare(ctx context.Context, id string, by Asker) (Share, error) {
	done, err := tx.endShares(ctx, by.actor(), "id = ? AND EXISTS (SELECT 1 FROM bots AS b WHERE b.id = t.bot AND ?)", id, by.owns())
	if err != nil {
		return Share{}, err
	}
	if done == 0 {
		if err := tx.notMine(ctx, id, by); err != nil {
			return Share{}, err
		}
	}
	return tx.Share(ctx, id)
}

// notMine tells why a statement changed no share of the owner's; nil: it is
// theirs.
func (tx *Tx) notMine(ctx context.Context, id string, by Asker) error {
	sh, err := tx.Share(ctx, id)
	if err == nil && !by.Master && (sh.Owner == "" || sh.Owner != bot.Canonical(by.UserID)) {
		err = fmt.Errorf("share: %w", ErrNotOwner)
	}
	return err
}

// endShares revokes shares and counts those that were still good.
func (tx *Tx) endShares(ctx context.Context, by, where string, args ...any) (live int, err error) {
	var rows []shareRow
	err = tx.db.NewUpdate().Model((*shareRow)(nil)).Set("revoked_at = ?", tx.Now).Set("revoked_by = ?", by).Set("link = ''").Set("remind_at = NULL").
		Where("revoked_at IS NULL").Where(where, args...).Returning("id, bot, expires_at").Scan(ctx, &rows)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("revoke shares: %w", err)
	}
	for _, row := range rows {
		tx.Audit(AuditEntry{Actor: by, Action: "share.revoke", Target: row.ID, Detail: row.Bot})
		if row.share(tx.Now).Live(tx.Now) {
			live++
		}
	}
	if len(rows) == 0 {
		return 0, nil
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	return live, tx.endOf(ctx, "share IN (?)", bun.List(ids))
}

// orphan ends the shares of somebody who left, and counts those that were still
// good. Their bots are the master key's from now on, so that whoever gets the
// userid next does not get them too.
func (tx *Tx) orphan(ctx context.Context, id string) (live int, err error) {
	var bots []botRow
	err = tx.db.NewUpdate().Model((*botRow)(nil)).Set("owner = ''").Where("owner = ?", id).Where("owner <> ''").Returning("id").Scan(ctx, &bots)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("orphan bots: %w", err)
	}
	if len(bots) == 0 {
		return 0, nil
	}
	ids := make([]string, len(bots))
	for i, b := range bots {
		ids[i] = b.ID
	}
	return tx.endShares(ctx, "directory", "bot IN (?)", bun.List(ids))
}

// ExtendShare moves a share's expiry to a later moment, also when it has just
// expired. One that is good for longer, or for ever, stays so; a revoked one is
// ErrEnded.
func (tx *Tx) ExtendShare(ctx context.Context, id string, to time.Time, by Asker) (Share, error) {
	to = to.UTC().Truncate(time.Second)
	res, err := tx.db.NewUpdate().Model((*shareRow)(nil)).Set("expires_at = ?", to).Set("remind_at = ?", remindAt(tx.Now, to)).
		Where("id = ?", id).Where("revoked_at IS NULL").Where("expires_at < ?", to).
		Where("EXISTS (SELECT 1 FROM bots AS b WHERE b.id = t.bot AND ?)", by.owns()).Exec(ctx)
	err = changedOne(res, err, "extend a share")
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Share{}, err
	}
	if err == nil {
		tx.Audit(AuditEntry{Actor: by.actor(), Action: "share.extend", Target: id, Detail: to.Format(time.RFC3339)})
	} else if err := tx.notMine(ctx, id, by); err != nil {
		return Share{}, err
	}
	sh, err := tx.Share(ctx, id)
	if err == nil && sh.RevokedAt != nil {
		err = fmt.Errorf("share: %w", ErrEnded)
	}
	return sh, err
}

// sharePath is where the page behind a share is.
const sharePath = "/s/"

// ShareURL is the link that carries a share token.
func (s *Store) ShareURL(token string) string {
	return strings.TrimSuffix(s.PublicURL, "/") + sharePath + token
}

// ShareURL is the link that carries a share token.
func (tx *Tx) ShareURL(token string) string { return tx.s.ShareURL(token) }

// ShareQR draws the link of a share (a PNG). ErrEnded: it is good no more.
func (tx *Tx) ShareQR(ctx context.Context, id string, by Asker) (Share, []byte, error) {
	sh, _, picture, err := tx.ShareLink(ctx, id, by)
	return sh, picture, err
}

// ShareLink gives the link of a share to its owner, and draws it (a PNG).
// ErrEnded: it is good no more.
func (tx *Tx) ShareLink(ctx context.Context, id string, by Asker) (sh Share, link string, picture []byte, err error) {
	if err := tx.notMine(ctx, id, by); err != nil {
		return Share{}, "", nil, err
	}
	row, err := findShare(ctx, tx.db, "t.id = ?", id)
	if err != nil {
		return Share{}, "", nil, err
	}
	sh = row.share(tx.Now)
	if !sh.Live(tx.Now) || row.Link == "" {
		return Share{}, "", nil, fmt.Errorf("share: %w", ErrEnded)
	}
	token, err := tx.s.keys.open(sharePlace(id), row.Link)
	if err != nil {
		return Share{}, "", nil, err
	}
	link = tx.ShareURL(string(token))
	picture, err = drawQR(link)
	return sh, link, picture, err
}
