package store

import (
	"context"
	"errors"
	"fmt"
)

// Use makes a conversation the one that what an agent writes in the chat goes to.
func (tx *Tx) Use(ctx context.Context, id string, by Party) (Conversation, error) {
	c, err := tx.Conversation(ctx, id, by)
	if err != nil {
		return c, err
	}
	if c.Status == Closed {
		return c, fmt.Errorf("use: %w", ErrEnded)
	}
	if !c.has(by) {
		return c, cannot(NotYours)
	}
	if err := tx.offDuty(ctx); err != nil {
		return c, err
	}
	res, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("current = ?", id).Set("chosen_at = ?", tx.Now).Where("id = ?", by.Key).Exec(ctx)
	if err := changedOne(res, err, "use a conversation"); err != nil && !errors.Is(err, ErrNotFound) {
		return c, err // somebody who is no agent has one conversation only
	}
	return c, nil
}

// Live lists the conversations that somebody takes part in and that are not
// closed: their own first, then those they answer, the oldest first.
func (tx *Tx) Live(ctx context.Context, by Party) ([]Conversation, error) {
	if by.Key == "" {
		return nil, nil
	}
	var list []Conversation
	err := tx.db.NewSelect().Model(&list).Where(liveOf, by.Key).
		OrderExpr("CASE WHEN asker = ? THEN 0 ELSE 1 END, created_at, id", by.Key).Limit(1000).Scan(ctx)
	for i := range list {
		tx.overhear(&list[i])
	}
	return list, wrap(err, "list conversations")
}

// LiveOfOthers lists conversations that are not closed and that somebody takes no
// part in, the oldest first.
func (tx *Tx) LiveOfOthers(ctx context.Context, than string, n int) ([]Conversation, error) {
	if err := tx.speak(ctx); err != nil {
		return nil, err
	}
	var list []Conversation
	err := tx.db.NewSelect().Model(&list).Where("status <> ?", Closed).Where("asker <> ?0 AND agent <> ?0", than).Order("created_at", "id").Limit(n).Scan(ctx)
	return list, wrap(err, "list conversations")
}

// Stay makes the conversation an agent wrote into the current one, so that they
// go on in it when they get another.
func (tx *Tx) Stay(ctx context.Context, c Conversation, by Party) error {
	if by.Key != c.Agent {
		return nil
	}
	if err := tx.offDuty(ctx); err != nil {
		return err
	}
	_, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("current = ?", c.ID).Set("chosen_at = ?", tx.Now).Where("id = ?", by.Key).
		Where("current <> ? OR chosen_at IS NULL OR chosen_at < ?", c.ID, c.AssignedAt).Exec(ctx)
	return wrap(err, "stay in a conversation")
}

// Current is the conversation that what somebody writes in the chat goes to: the
// only one they take part in, or the one they chose or wrote into last.
// ErrNotFound: there is none; ErrChoose: there are several and none was chosen,
// or the one they wrote into has just ended, and nobody may read words that were
// meant for somebody else.
func (tx *Tx) Current(ctx context.Context, by Party) (c Conversation, live []Conversation, err error) {
	live, err = tx.Live(ctx, by)
	if err != nil {
		return c, nil, err
	}
	switch {
	case len(live) == 0:
		return c, nil, ErrNotFound
	case len(live) == 1 && live[0].Asker == by.Key:
		return live[0], live, nil
	}
	var a Agent
	err = tx.db.NewSelect().Model(&a).Column("current", "chosen_at").Where("id = ?", by.Key).Scan(ctx)
	if err := agentErr(err, "current conversation"); err != nil && !errors.Is(err, ErrNotFound) {
		return c, live, err
	}
	for _, c := range live {
		since := c.AssignedAt
		if c.Asker == by.Key {
			since = nil
		}
		if c.ID == a.Current && a.ChosenAt != nil && (since == nil || !a.ChosenAt.Before(*since)) {
			return c, live, nil
		}
	}
	if len(live) > 1 {
		return c, live, ErrChoose
	}
	if meant, err := tx.stillMeant(ctx, a.Current, live[0]); err != nil || meant {
		return live[0], live, err
	}
	return c, live, ErrChoose
}

// stillMeant reports whether an agent's only conversation is the one they mean:
// not if they chose another one that has ended since this one began.
func (tx *Tx) stillMeant(ctx context.Context, chosen string, only Conversation) (bool, error) {
	if chosen == "" || chosen == only.ID {
		return true, nil
	}
	was, err := findConversation(ctx, tx.db, chosen, Party{Admin: true})
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	ended := was.UpdatedAt // somebody else has it
	if was.ClosedAt != nil {
		ended = *was.ClosedAt
	}
	return only.AssignedAt != nil && only.AssignedAt.After(ended), err
}

// ErrChoose means that somebody has to say which of their conversations is meant.
var ErrChoose = errors.New("there are several conversations")

// ConversationID finds one of a party's conversations by the beginning of its id.
func (tx *Tx) ConversationID(ctx context.Context, short string, by Party) (string, error) {
	if len(short) < 4 || by.Key == "" && !by.Admin {
		return "", fmt.Errorf("conversation: %w", ErrNotFound)
	}
	var ids []string
	q := tx.db.NewSelect().Model((*Conversation)(nil)).Column("id").Where("substr(id, 1, ?) = ?", len(short), short).Limit(2)
	if !by.Admin {
		q.Where("id IN (SELECT id FROM conversations WHERE asker = ?0 UNION ALL SELECT id FROM conversations WHERE agent = ?0)", by.Key)
	}
	if err := q.Scan(ctx, &ids); err != nil {
		return "", fmt.Errorf("conversation: %w", err)
	}
	if len(ids) != 1 {
		return "", fmt.Errorf("conversation: %w", ErrNotFound)
	}
	return ids[0], nil
}
