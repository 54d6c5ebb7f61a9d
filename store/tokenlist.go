package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// Token is an access token that is still good, as lists show it: never the
// token itself.
type Token struct {
	ID         string     `bun:"id"`
	Person     string     `bun:"person"`  // canonical userid, "" for an account
	Account    string     `bun:"account"` // uid, "" for a person
	User       string     `bun:"owner"`   // userid as the directory spells it, or username
	Name       string     `bun:"name"`
	Source     string     `bun:"source"`
	CreatedAt  time.Time  `bun:"created_at"`
	ExpiresAt  time.Time  `bun:"expires_at"`
	LastUsedAt *time.Time `bun:"last_used_at"`
}

// TokenQuery asks for tokens, the newest first. The zero query means all.
type TokenQuery struct {
	Person  string // only this person's
	Account string // only this account's, by uid
	Text    string // in what it is for, in the name of whose it is, or the beginning of its id
	After   string // only those behind this one in the list, by id
	Limit   int    // default 100
}

// Tokens lists access tokens that are still good.
func (s *Store) Tokens(ctx context.Context, q TokenQuery) ([]Token, error) {
	return listTokens(ctx, s.reads, q, s.Now())
}

// Tokens lists access tokens that are still good.
func (tx *Tx) Tokens(ctx context.Context, q TokenQuery) ([]Token, error) {
	return listTokens(ctx, tx.db, q, tx.Now)
}

func listTokens(ctx context.Context, db bun.IDB, q TokenQuery, now time.Time) ([]Token, error) {
	query := db.NewSelect().TableExpr("tokens AS t").
		Join("LEFT JOIN people AS p ON p.id = t.person").Join("LEFT JOIN accounts AS a ON a.uid = t.account").
		ColumnExpr("t.id, t.person, t.account, t.name, t.source, t.created_at, t.expires_at, t.last_used_at").
		ColumnExpr("COALESCE(p.user_id, a.username, t.person) AS owner").
		Where("t.kind = 'dba'").Where("t.revoked_at IS NULL").Where("t.expires_at > ?", now.UTC()). // as the index tokens_live
		OrderExpr("t.created_at DESC, t.id DESC").Limit(cmp.Or(q.Limit, 100))
	if q.Person != "" {
		query = query.Where("t.person = ?", bot.Canonical(q.Person))
	}
	if q.Account != "" {
		query = query.Where("t.account = ?", q.Account)
	}
	if q.Text != "" {
		where, args := anyLike(q.Text, "t.name", "t.person", "p.name", "a.username")
		query = query.Where("("+where+" OR t.id"+likeEscape+")", append(args, beginning(q.Text))...)
	}
	if q.After != "" {
		query = query.Where("(t.created_at, t.id) < (SELECT created_at, id FROM tokens WHERE id = ?)", q.After)
	}
	list := []Token{}
	if err := query.Scan(ctx, &list); err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return list, nil
}

// shortID is how much of a token's id people have to type.
const shortID = 8

// ShortID is enough of the id to tell a person's tokens apart.
func (t Token) ShortID() string { return t.ID[:min(shortID, len(t.ID))] }

// EndToken ends an access token by its id, or by what ShortID gives when that
// means one token only; of owner, or of anybody for "". ErrNotFound also covers
// tokens that ended before.
func (tx *Tx) EndToken(ctx context.Context, id, owner, by string) error {
	where, args := "kind = ? AND expires_at > ?", []any{kindAccess, tx.Now}
	if owner != "" {
		where, args = where+" AND person = ?", append(args, bot.Canonical(owner))
	}
	from, to, ok := idsFrom(id)
	if !ok {
		return ErrNotFound
	}
	var found []tokenRow
	err := tx.db.NewSelect().Model(&found).Column("id", "person", "account").Where(where, args...).Where("revoked_at IS NULL").
		Where("id BETWEEN ? AND ?", from, to).Limit(2).Scan(ctx)
	if err != nil {
		return fmt.Errorf("end token: %w", err)
	}
	if len(found) != 1 {
		return ErrNotFound
	}
	_, touched, err := tx.revoke(ctx, "by "+by, "id = ?", found[0].ID)
	if err == nil && touched == 0 {
		return ErrNotFound
	}
	tx.Audit(AuditEntry{Actor: by, Action: "token.revoke", Target: holder(found[0].session()), Detail: found[0].ID})
	return err
}

// idsFrom is the first and the last id that begin as a person typed one. Whatever
// the database's order of letters, it is one among equally long hexadecimal ids.
func idsFrom(id string) (from, to string, ok bool) {
	const first, last = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
	id = strings.ToLower(id)
	if len(id) < shortID || len(id) > len(first) || strings.Trim(id, "0123456789abcdef-") != "" {
		return "", "", false
	}
	return id + first[len(id):], id + last[len(id):], true
}

// holder is how the audit trail calls the one whose token it is.
func holder(sess Session) string {
	if sess.Account != "" {
		return Account{UID: sess.Account}.Audited()
	}
	return sess.UserID
}

// MakeToken makes an access token for a script that acts as a person or an
// account. The person is told: a token of theirs that they know nothing of is
// what an intruder would make.
func (s *Store) MakeToken(ctx context.Context, spec TokenSpec, by string) (token string, sess Session, err error) {
	spec.Source = "made"
	err = s.Tx(ctx, func(tx *Tx) error {
		if token, sess, err = tx.NewToken(ctx, spec); err != nil {
			return err
		}
		tx.Audit(AuditEntry{Actor: by, Action: "token.make", Target: holder(sess), Detail: sess.TokenID})
		if sess.UserID == "" {
			return nil
		}
		return tx.Tell(ctx, sess.UserID, bot.Text("token.made", Token{ID: sess.TokenID, Name: spec.Name, ExpiresAt: sess.ExpiresAt}))
	})
	return token, sess, err
}

// Introspection is what another system may know of a token.
type Introspection struct {
	Session
	IssuedAt time.Time // zero when nobody here knows
	Source   string
}

// sourceDesk is where the tokens of an existing service desk come from.
const sourceDesk = "servicedesk"

// Introspect tells about an access token without counting as a use of it, also
// about one of the service desk's, which are good here too.
// ErrNotFound means that it is not good.
func (s *Store) Introspect(ctx context.Context, token string) (Introspection, error) {
	row, err := s.lookUp(ctx, kindAccess, token)
	if errors.Is(err, ErrNotFound) {
		foreign, err := s.foreignSession(ctx, token)
		return Introspection{Session: foreign, Source: sourceDesk}, err
	}
	if err != nil {
		return Introspection{}, err
	}
	return Introspection{Session: row.session(), IssuedAt: row.CreatedAt, Source: row.Source}, nil
}
