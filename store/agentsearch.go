package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"deskbell/bot"
)

// AgentQuery asks for agents: those who are online first, by name. The zero
// query means the first hundred.
type AgentQuery struct {
	Text   string // in the name or the userid
	Status string // only those with it
	Skip   int
	Limit  int // default 100
}

// statusNow is what an agent's status is at a moment, given twice.
const statusNow = "CASE WHEN until IS NOT NULL AND until <= ? THEN back ELSE status END"

// FindAgents lists agents.
func (s *Store) FindAgents(ctx context.Context, q AgentQuery) ([]Agent, error) {
	now := s.Now().UTC()
	var list []Agent
	query := s.reads.NewSelect().Model(&list).Where("role <> ?", bot.Anyone.String()).
		OrderExpr("CASE "+statusNow+" WHEN ? THEN 0 WHEN ? THEN 1 ELSE 2 END", now, Online, Busy).Order("name", "id").
		Limit(cmp.Or(q.Limit, 100)).Offset(q.Skip)
	if q.Text != "" {
		where, args := anyLike(q.Text, "name", "id")
		query = query.Where(where, args...)
	}
	if q.Status != "" {
		query = query.Where(statusNow+" = ?", now, q.Status)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("find agents: %w", err)
	}
	for i := range list {
		list[i] = list[i].at(now)
	}
	return list, s.loads(ctx, list)
}

// AgentCounts counts the agents by their status.
func (s *Store) AgentCounts(ctx context.Context) (map[string]int, error) {
	var rows []struct {
		Status string `bun:"status_now"`
		N      int    `bun:"n"`
	}
	err := s.reads.NewSelect().Model((*Agent)(nil)).ColumnExpr(statusNow+" AS status_now, count(*) AS n", s.Now().UTC()).
		Where("role <> ?", bot.Anyone.String()).GroupExpr("1").Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("count agents: %w", err)
	}
	counts := make(map[string]int, len(rows))
	for _, r := range rows {
		counts[r.Status] = r.N
	}
	return counts, nil
}

// MostLoad is the most helpdesk sessions an agent can be given at once.
const MostLoad = 1000

// ErrLoad means that no agent can have so many helpdesk sessions at once.
var ErrLoad = errors.New("not from 0 to 1000 sessions")

// SetMaxLoad sets how many helpdesk sessions an agent has at once, at most. With
// none they keep what they have, and get nothing new.
func (tx *Tx) SetMaxLoad(ctx context.Context, userID string, n int, by string) (Agent, error) {
	if n < 0 || n > MostLoad {
		return Agent{}, ErrLoad
	}
	if err := tx.offDuty(ctx); err != nil {
		return Agent{}, err
	}
	id := bot.Canonical(userID)
	res, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("max_load = ?", n).Set("own_load = TRUE").Set("updated_at = ?", tx.Now).
		Where("id = ?", id).Where("role <> ?", bot.Anyone.String()).Exec(ctx)
	if err := changedOne(res, err, "set the load of an agent"); err != nil {
		return Agent{}, err
	}
	tx.Audit(AuditEntry{Actor: by, Action: "agent.load", Target: id, Detail: fmt.Sprint(n)})
	tx.after(tx.s.wakeDesk) // there may be room now
	return tx.Agent(ctx, id)
}

// configureLoad gives the agents about whom no administrator said otherwise the
// room that the configuration says.
func (tx *Tx) configureLoad(ctx context.Context) error {
	if tx.s.Beside {
		return nil
	}
	_, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("max_load = ?", tx.s.MaxLoad).Where("NOT own_load").Where("max_load <> ?", tx.s.MaxLoad).Exec(ctx)
	return wrap(err, "configure the load of agents")
}

// SendOff sets an agent offline on an administrator's word, and tells them.
func (tx *Tx) SendOff(ctx context.Context, userID, by string) (Agent, error) {
	a, err := tx.SetStatus(ctx, userID, Offline, "", 0)
	if err != nil {
		return Agent{}, err
	}
	tx.Audit(AuditEntry{Actor: by, Action: "status.set", Target: a.Key, Detail: Offline})
	if bot.Canonical(by) == a.Key {
		return a, nil
	}
	return a, tx.Tell(ctx, a.ID, bot.Text("status.sentoff", struct{ By string }{by}))
}
