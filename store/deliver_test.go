package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"deskbell/bot"
)

// senderFunc is a WeCom of one function.
type senderFunc func(context.Context, bot.Outgoing) error

func (f senderFunc) Send(ctx context.Context, o bot.Outgoing) (bot.Receipt, error) {
	return bot.Receipt{}, f(ctx, o)
}

// pushOne leaves a push in an empty store whose clock is the bubble's.
func pushOne(t *testing.T) *Store {
	t.Helper()
	s := open(t, "sqlite::memory:", func(o *Options) { o.Now = time.Now }).Store
	if err := s.Tx(t.Context(), func(tx *Tx) error { return tx.Push(t.Context(), bot.Outgoing{To: "lilei", Text: "hello"}) }); err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs outboxes until the test ends.
func run(t *testing.T, boxes ...*Outbox) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{}, len(boxes))
	for _, box := range boxes {
		go func() { box.Run(ctx); ended <- struct{}{} }()
	}
	t.Cleanup(func() {
		stop()
		for range boxes {
			<-ended
		}
	})
}

// However long a send takes, no other instance begins the same one meanwhile.
func TestSlowSendIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushOne(t)
		sent := make(chan time.Time, 2)
		slow := senderFunc(func(ctx context.Context, _ bot.Outgoing) error {
			defer func() { sent <- time.Now() }()
			select {
			case <-time.After(sendWithin - time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		began := time.Now()
		run(t, &Outbox{Store: s, Sender: slow}, &Outbox{Store: s, Sender: slow})
		if took := (<-sent).Sub(began); took < sendWithin-time.Second {
			t.Errorf("sent after %v", took)
		}
		select {
		case <-sent:
			t.Error("sent twice")
		case <-time.After(time.Minute):
		}
		if list, err := s.Deliveries(t.Context(), Sent, 2); err != nil || len(list) != 1 || list[0].Tries != 1 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// What an instance was sending when it died is taken over soon.
func TestSendOfADeadInstanceIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushOne(t)
		if parcels, err := s.claim(t.Context(), 1); err != nil || len(parcels) != 1 {
			t.Fatal(parcels, err)
		}
		sent := make(chan time.Time, 2)
		began := time.Now()
		run(t, &Outbox{Store: s, Sender: senderFunc(func(context.Context, bot.Outgoing) error { sent <- time.Now(); return nil })})
		if took := (<-sent).Sub(began); took < sendLease || took > sendLease+2*time.Second {
			t.Errorf("taken over after %v", took)
		}
	})
}

// An instance that was thought dead and fails does not undo that another one
// got the push through.
func TestLateFailureDoesNotUndoASend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushOne(t)
		late, err := s.claim(t.Context(), 1)
		if err != nil || len(late) != 1 {
			t.Fatal(late, err)
		}
		time.Sleep(sendLease + time.Second)
		box := &Outbox{Store: s, Sender: senderFunc(func(context.Context, bot.Outgoing) error { return nil })}
		taken, err := s.claim(t.Context(), 1)
		if err != nil || len(taken) != 1 {
			t.Fatal(taken, err)
		}
		for _, err := range []error{errors.New("the network"), bot.Fail(bot.Unavailable, "error.unavailable", nil, nil)} {
			box.settle(t.Context(), taken[0])
			late[0].err = err
			box.settle(t.Context(), late[0])
			if list, err := s.Deliveries(t.Context(), Sent, 2); err != nil || len(list) != 1 {
				t.Errorf("%+v, %v", list, err)
			}
		}
	})
}
