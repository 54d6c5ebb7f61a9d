package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"deskbell/bot"
)

// ServiceDesk shares tokens with an existing service desk through the Redis
// both use (tokens.servicedesk_compat). Its layout is not ours to choose, and
// holds tokens in the clear:
//
//	user:token:<token>   our access tokens of people: {"employee_id","name","roles","login_source"}
//	agent:token:<token>  its tokens, which are good here too: a userid
//
// The store decides, and Redis is told after the commit. While Redis is gone,
// nothing here waits for it: what it missed is marked in the store and told
// within a second of its return, also by another process. Until then the
// service desk does not know new tokens, and may still take one that was just
// revoked if its Redis comes back before we do. A Redis that was flushed or
// restored from an old copy is put right within shareEvery. The service desk's
// own tokens are refused while Redis is gone: only Redis knows them.
type ServiceDesk struct {
	Redis    *Redis
	AdminOTP bool // an administrator's token without a one-time password carries no such role
}

const (
	userToken  = "user:token:"
	agentToken = "agent:token:"
	// shareEvery is how often Redis is told again of every token.
	shareEvery = 5 * time.Minute
	// shareTime bounds how long a request waits for Redis.
	shareTime = time.Second
	shareBite = 500
)

// employee is what the service desk reads of one of our tokens.
type employee struct {
	EmployeeID  string   `json:"employee_id"`
	Name        string   `json:"name"`
	Roles       []string `json:"roles"`
	LoginSource string   `json:"login_source"`
}

// share has a new token's row go to the service desk too. The token is sealed
// into the row: to delete its key later, one must know it.
func (tx *Tx) share(row *tokenRow, token string) {
	if tx.s.ServiceDesk == nil || row.Kind != kindAccess || row.Person == "" {
		return
	}
	row.Shared, row.ShareDue = tx.s.keys.seal(sharedPlace(row.ID), []byte(token)), true
	tx.shareNow(row.ID)
}

func sharedPlace(id string) string { return "tokens/shared/" + id }

// shareNow tells Redis after the commit. What fails is left to upkeep.
func (tx *Tx) shareNow(ids ...string) {
	s := tx.s
	if s.ServiceDesk == nil || len(ids) == 0 {
		return
	}
	tx.after(func() {
		ctx, cancel := context.WithTimeout(context.Background(), shareTime)
		defer cancel()
		for bite := range slices.Chunk(ids, shareBite) {
			if _, err := s.shareRows(ctx, "share_due AND id IN (?)", bun.List(bite)); err != nil {
				s.Log.Warn("service desk not told yet", "tokens", len(bite), "err", err)
				return
			}
		}
	})
}

// ShareDue tells the service desk what it missed.
func (s *Store) ShareDue(ctx context.Context) error {
	for s.ServiceDesk != nil {
		if n, err := s.shareRows(ctx, "share_due"); err != nil || n < shareBite {
			return err
		}
	}
	return nil
}

// ShareAll tells the service desk everything again.
func (s *Store) ShareAll(ctx context.Context) error {
	if s.ServiceDesk == nil {
		return nil
	}
	for last := ""; ; {
		var ids []string
		err := s.reads.NewSelect().Model((*tokenRow)(nil)).Column("id").Where("shared <> ''").Where("expires_at > ?", s.Now().UTC()).
			Where("id > ?", last).Order("id").Limit(shareBite).Scan(ctx, &ids)
		if err != nil {
			return fmt.Errorf("tell the service desk: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		if _, err := s.shareRows(ctx, "id IN (?)", bun.List(ids)); err != nil {
			return err
		}
		last = ids[len(ids)-1]
	}
}

// shareRows makes Redis agree with some rows, at most shareBite, and counts them.
func (s *Store) shareRows(ctx context.Context, where string, args ...any) (int, error) {
	var rows []tokenRow
	err := s.reads.NewSelect().Model(&rows).Where("shared <> ''").Where(where, args...).Order("id").Limit(shareBite).Scan(ctx)
	if err != nil {
		return 0, fmt.Errorf("tell the service desk: %w", err)
	}
	if len(rows) == 0 {
		return 0, nil
	}
	keys, due := map[string]string{}, map[bool][]string{} // by id; by whether the row was revoked
	people := map[string]*Profile{}
	pipe := s.ServiceDesk.Redis.client.Pipeline()
	for _, row := range rows {
		if row.ShareDue {
			due[row.RevokedAt != nil] = append(due[row.RevokedAt != nil], row.ID)
		}
		token, err := s.keys.open(sharedPlace(row.ID), row.Shared)
		if err != nil { // sealed with a key that is gone: Redis forgets it when it expires
			s.Log.Warn("service desk cannot be told", "token", row.ID, "err", err)
			continue
		}
		keys[row.ID] = userToken + string(token)
		value, left, err := s.employee(ctx, row, people)
		if err != nil {
			return 0, err
		}
		if value == nil {
			pipe.Del(ctx, keys[row.ID])
		} else {
			pipe.Set(ctx, keys[row.ID], value, left)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, fmt.Errorf("tell the service desk: %w", err)
	}
	if err := s.shareRevoked(ctx, rows, keys); err != nil {
		return 0, err
	}
	return len(rows), s.shared(ctx, due)
}

// shareRevoked takes back what was revoked while Redis was told of it. Whoever
// revoked it deletes the key after the commit: either that comes after our key
// was written, or the revocation is seen here.
func (s *Store) shareRevoked(ctx context.Context, rows []tokenRow, keys map[string]string) error {
	var live []string
	for _, row := range rows {
		if row.RevokedAt == nil {
			live = append(live, row.ID)
		}
	}
	if len(live) == 0 {
		return nil
	}
	var gone []string
	err := s.reads.NewSelect().Model((*tokenRow)(nil)).Column("id").Where("id IN (?)", bun.List(live)).Where("revoked_at IS NOT NULL").Scan(ctx, &gone)
	if err != nil {
		return fmt.Errorf("tell the service desk: %w", err)
	}
	for _, id := range gone {
		if err := s.ServiceDesk.Redis.client.Del(ctx, keys[id]).Err(); err != nil {
			return fmt.Errorf("tell the service desk: %w", err)
		}
	}
	return nil
}

// shared notes that Redis knows. A row that was revoked meanwhile stays due.
func (s *Store) shared(ctx context.Context, due map[bool][]string) error {
	for revoked, ids := range due {
		state := "revoked_at IS NULL"
		if revoked {
			state = "revoked_at IS NOT NULL"
		}
		_, err := s.db.NewUpdate().Model((*tokenRow)(nil)).Set("share_due = ?", false).Where("id IN (?)", bun.List(ids)).Where(state).Exec(ctx)
		if err != nil {
			return fmt.Errorf("tell the service desk: %w", err)
		}
	}
	return nil
}

// employee is what the service desk may know of a token, and for how long; nil
// when the token is not good.
func (s *Store) employee(ctx context.Context, row tokenRow, people map[string]*Profile) ([]byte, time.Duration, error) {
	left := row.ExpiresAt.Sub(s.Now())
	if row.RevokedAt != nil || left <= 0 {
		return nil, 0, nil
	}
	p, ok := people[row.Person]
	if !ok {
		profile, err := s.Profile(ctx, row.Person)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, 0, err
		}
		if err == nil && profile.State == bot.Active {
			p = &profile
		}
		people[row.Person] = p
	}
	if p == nil {
		return nil, 0, nil
	}
	u := p.User
	if row.Plain || s.ServiceDesk.AdminOTP && !row.OTP {
		u = WithoutAdmin(u)
	}
	value, err := json.Marshal(employee{EmployeeID: u.ID, Name: u.Name, Roles: u.Roles, LoginSource: row.Source})
	return value, left, err
}

// foreignSession tells whose token of the service desk this is.
func (s *Store) foreignSession(ctx context.Context, token string) (Session, error) {
	if s.ServiceDesk == nil || tokenKind(token) != "" || !tokenShape(token) {
		return Session{}, ErrNotFound
	}
	var value *redis.StringCmd
	var left *redis.DurationCmd
	_, err := s.ServiceDesk.Redis.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		value, left = p.Get(ctx, agentToken+token), p.PTTL(ctx, agentToken+token)
		return nil
	})
	if errors.Is(err, redis.Nil) {
		return Session{}, ErrNotFound
	}
	if err != nil {
		return Session{}, bot.Fail(bot.Unavailable, "error.unavailable", nil, fmt.Errorf("ask the service desk's Redis: %w", err))
	}
	id := strings.Trim(value.Val(), `"`) // some write the id as JSON
	if !bot.ValidUserID(id) {
		return Session{}, ErrNotFound
	}
	sess := Session{UserID: bot.Canonical(id), Foreign: true, ExpiresAt: s.Now().UTC().Add(s.TokenTTL)}
	if left.Val() > 0 {
		sess.ExpiresAt = s.Now().UTC().Add(left.Val())
	}
	return sess, nil
}

// EndForeign ends a token of the service desk.
func (s *Store) EndForeign(ctx context.Context, token, by string) error {
	sess, err := s.foreignSession(ctx, token)
	if err != nil {
		return err
	}
	if err := s.ServiceDesk.Redis.client.Del(ctx, agentToken+token).Err(); err != nil {
		return bot.Fail(bot.Unavailable, "error.unavailable", nil, fmt.Errorf("ask the service desk's Redis: %w", err))
	}
	return s.Tx(ctx, func(tx *Tx) error {
		tx.Audit(AuditEntry{Actor: by, Action: "token.revoke", Target: sess.UserID, Detail: "of the service desk"})
		return nil
	})
}

// tokenShape is what any token here looks like.
func tokenShape(s string) bool {
	return len(s) >= 32 && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
	})
}
