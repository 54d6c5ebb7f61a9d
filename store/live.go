package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Change says that there is something new in a conversation, not what: whoever
// looks at it asks the store. So a change that is told twice does no harm, and
// one that is not told only comes later.
type Change struct {
	Conversation string
	Asker        string
	Agent        string
	Last         int64     // number of its latest message
	At           time.Time // of the change
}

// DeskTopic is where every change is told.
const DeskTopic = "desk"

// ConversationTopic is where the changes of one conversation are told, and
// PartyTopic those of all that somebody takes part in.
func ConversationTopic(id string) string { return "c/" + id }

// PartyTopic is where the changes of a party's conversations are told.
func PartyTopic(key string) string { return "p/" + key }

func (c Change) topics() []string {
	topics := []string{DeskTopic, ConversationTopic(c.Conversation), PartyTopic(c.Asker)}
	if c.Agent != "" {
		topics = append(topics, PartyTopic(c.Agent))
	}
	return topics
}

// live tells those who look on at this instance.
type live struct {
	mu       sync.Mutex
	watches  map[string]map[*Watch]bool
	others   func([]Change)    // tells the other instances; nil: they find out
	lately   map[string]Change // the last change of each that was told
	sweep    int               // when there are so many, the old ones go
	watching chan struct{}     // signalled by the first who looks on
}

func newLive() *live {
	return &live{watches: map[string]map[*Watch]bool{}, lately: map[string]Change{}, watching: make(chan struct{}, 1)}
}

// Watch is signalled when something changed under its topics.
type Watch struct {
	C      <-chan struct{}
	c      chan struct{}
	l      *live
	topics []string
}

// Watch begins to look on. Changes that come close together are one signal.
func (s *Store) Watch(topics ...string) *Watch {
	w := &Watch{c: make(chan struct{}, 1), l: s.live, topics: topics}
	w.C = w.c
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	for _, t := range topics {
		if s.live.watches[t] == nil {
			s.live.watches[t] = map[*Watch]bool{}
		}
		s.live.watches[t][w] = true
	}
	select {
	case s.live.watching <- struct{}{}:
	default:
	}
	return w
}

// Close stops looking on.
func (w *Watch) Close() {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	for _, t := range w.topics {
		delete(w.l.watches[t], w)
		if len(w.l.watches[t]) == 0 {
			delete(w.l.watches, t)
		}
	}
}

// publish tells of changes that this instance made.
func (l *live) publish(list []Change) {
	l.mu.Lock()
	others := l.others
	l.mu.Unlock()
	l.tell(list)
	if others != nil {
		others(list)
	}
}

// tell signals those who look on, once for each change.
func (l *live) tell(list []Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range list {
		if l.lately[c.Conversation] == c {
			continue
		}
		l.lately[c.Conversation] = c
		l.forget(c.At.Add(-lookBack - time.Minute))
		for _, t := range c.topics() {
			for w := range l.watches[t] {
				select {
				case w.c <- struct{}{}:
				default:
				}
			}
		}
	}
}

// keptChanges is how many changes are remembered in any case.
const keptChanges = 1000

// forget drops what is too old to come again, whenever there is twice as much as
// the last time. Whoever calls it holds mu.
func (l *live) forget(before time.Time) {
	if len(l.lately) < max(l.sweep, keptChanges) {
		return
	}
	for id, c := range l.lately {
		if c.At.Before(before) {
			delete(l.lately, id)
		}
	}
	l.sweep = 2 * len(l.lately)
}

func (l *live) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.watches) == 0
}

// changes notes that somebody may want to know of a conversation, once this has
// committed.
func (tx *Tx) changes(c Conversation) {
	tx.moved = append(tx.moved, Change{c.ID, c.Asker, c.Agent, c.Last, tx.Now})
}

const (
	// lookEvery is how often the store is asked what other instances changed, and
	// lookRarely how often when Redis tells it as well.
	lookEvery  = 300 * time.Millisecond
	lookRarely = 3 * time.Second
	// lookBack is by how much the clocks of instances may differ, and how long a
	// transaction may take to commit.
	lookBack = 20 * time.Second
)

// Follow tells those who look on at this instance what others changed, until ctx
// ends: as Redis tells it, or by looking into the store. Nothing is lost without
// Redis, it only comes later.
func (s *Store) Follow(ctx context.Context, r *Redis) {
	var told atomic.Bool // Redis tells what others changed
	if r != nil {
		s.live.mu.Lock()
		s.live.others = func(list []Change) { r.announce(ctx, list) }
		s.live.mu.Unlock()
		go r.listen(ctx, s.live.tell, &told)
	}
	if !s.pg { // there are no other instances
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for looked := time.Now(); ; looked = time.Now() {
		for first := true; first || told.Load() && time.Since(looked) < lookRarely; first = false {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		if s.live.idle() {
			select {
			case <-ctx.Done():
				return
			case <-s.live.watching:
			}
		}
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("cannot look for what other instances changed", "err", err)
		}
	}
}

// look tells what changed lately.
func (s *Store) look(ctx context.Context) error {
	since := s.Now().UTC().Add(-lookBack)
	var list []Conversation
	err := s.reads.NewSelect().Model(&list).Column("id", "asker", "agent", "last", "updated_at").Where("updated_at > ?", since).Scan(ctx)
	if err != nil {
		return fmt.Errorf("look for changes: %w", err)
	}
	changes := make([]Change, len(list))
	for i, c := range list {
		changes[i] = Change{c.ID, c.Asker, c.Agent, c.Last, c.UpdatedAt.UTC()}
	}
	s.live.tell(changes)
	return nil
}

// channel is where instances tell each other of changes.
const channel = redisPrefix + "desk"

// announce tells the other instances. They find out by themselves if it fails.
func (r *Redis) announce(ctx context.Context, list []Change) {
	text, err := json.Marshal(list)
	if err != nil || ctx.Err() != nil {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = r.client.Publish(ctx, channel, text).Err()
	}()
}

// listen hears what other instances changed, until ctx ends, and notes whether
// it does. The client connects anew by itself.
func (r *Redis) listen(ctx context.Context, tell func([]Change), hears *atomic.Bool) {
	sub := r.client.Subscribe(ctx, channel)
	defer sub.Close()
	for ctx.Err() == nil {
		heard, err := sub.Receive(ctx)
		hears.Store(err == nil)
		if err != nil {
			if errors.Is(err, context.Canceled) {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		m, ok := heard.(*redis.Message) // and not that it connected
		var list []Change
		if ok && json.Unmarshal([]byte(m.Payload), &list) == nil {
			tell(list)
		}
	}
}
