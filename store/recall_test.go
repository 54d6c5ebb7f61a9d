package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// courier is a sender that writes down what it is asked to do.
type courier struct {
	mu      sync.Mutex
	done    []string
	uploads int
	refuse  map[string]error // by what would be written down, once
}

func (c *courier) note(what string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refuse[what]; err != nil {
		delete(c.refuse, what)
		c.done = append(c.done, what+" failed")
		return err
	}
	c.done = append(c.done, what)
	return nil
}

func (c *courier) Prepare(_ context.Context, o bot.Outgoing) (bot.Outgoing, error) {
	c.mu.Lock()
	c.uploads++
	o.Image, o.MediaID = nil, fmt.Sprint("media", c.uploads)
	c.mu.Unlock()
	return o, c.note("upload " + o.MediaID)
}

func (c *courier) Send(_ context.Context, o bot.Outgoing) (bot.Receipt, error) {
	what := "text " + o.Text
	switch {
	case len(o.Image) > 0:
		what = "raw image"
	case o.MediaID != "" && o.Safe:
		what = "image " + o.MediaID
	case o.MediaID != "":
		what = "unsafe image"
	case o.Recall != "":
		what = "recall " + o.Recall
	}
	return bot.Receipt{MsgID: "id of " + what}, c.note(what)
}

func (f fixture) picture(ref string) {
	f.t.Helper()
	f.tx(func(tx *Tx) error {
		return tx.Push(f.t.Context(), bot.Outgoing{To: "LiLei", Image: []byte("a picture"), Safe: true, Ref: ref})
	})
}

func (f fixture) recall(ref string) (there bool) {
	f.t.Helper()
	f.tx(func(tx *Tx) (err error) {
		there, err = tx.Recall(f.t.Context(), ref)
		return err
	})
	return there
}

// deliver sends what is due and comes back when nothing is left to do, or
// whatever is left waits for its time.
func (f fixture) deliver(c *courier) {
	f.t.Helper()
	for {
		parcels, err := f.claim(f.t.Context(), sendAtOnce)
		if err != nil {
			f.t.Fatal(err)
		}
		if len(parcels) == 0 {
			return
		}
		box := &Outbox{Store: f.Store, Sender: c}
		for _, p := range parcels {
			box.send(f.t.Context(), p)
			box.settle(f.t.Context(), p)
		}
	}
}

func TestImageIsHandedOverOnceAndRecalled(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		passing := bot.Fail(bot.Unavailable, "error.wecom", nil, errors.New("no answer"))
		c := &courier{refuse: map[string]error{"upload media1": passing, "image media2": passing, "recall id of image media2": passing}}
		f.picture("qr")
		for range 3 { // each failure puts it off
			f.deliver(c)
			f.pass(duplicateCheck / 8)
		}
		if !f.recall("qr") {
			t.Error("nothing to recall")
		}
		for range 2 {
			f.deliver(c)
			f.pass(duplicateCheck / 8)
		}
		want := []string{"upload media1 failed", "upload media2", "image media2 failed", "image media2", "recall id of image media2 failed", "recall id of image media2"}
		if d := cmp.Diff(want, c.done); d != "" {
			t.Error(d)
		}
		if pending, dead, err := f.Depth(t.Context()); pending+dead > 0 || err != nil {
			t.Errorf("%d wait, %d dead, %v", pending, dead, err)
		}
	})
}

// An image nobody has tried to send is not sent, be it committed or not.
func TestRecallBeforeItIsSent(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		c := &courier{}
		f.picture("one")
		if !f.recall("one") || f.recall("none") || f.recall("") {
			t.Error("what there is to recall")
		}
		f.tx(func(tx *Tx) error {
			mark := tx.Mark()
			if err := tx.Push(t.Context(), bot.Outgoing{To: "lilei", Image: []byte("another"), Ref: "two"}); err != nil {
				return err
			}
			there, err := tx.Recall(t.Context(), "two")
			if !there {
				t.Error("not found in its own transaction")
			}
			if tx.Reset(mark) {
				t.Error("a recall was taken back")
			}
			return err
		})
		f.deliver(c)
		if len(c.done) > 0 {
			t.Errorf("did %q", c.done)
		}
	})
}

// A recall that overtakes its image waits for it; one of an image that WeCom
// refused has nothing to do.
func TestRecallFollowsItsImage(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		passing := bot.Fail(bot.Unavailable, "error.wecom", nil, errors.New("no answer"))
		c := &courier{refuse: map[string]error{"image media1": passing}}
		f.picture("qr")
		f.deliver(c)
		f.recall("qr") // it may have arrived, nobody knows
		f.deliver(c)
		f.pass(duplicateCheck / 8)
		f.deliver(c)
		want := []string{"upload media1", "image media1 failed", "image media1", "recall id of image media1"}
		if d := cmp.Diff(want, c.done); d != "" {
			t.Error(d)
		}
		final := bot.Fail(bot.NotFound, "error.wecom", nil, errors.New("nobody there"))
		c = &courier{refuse: map[string]error{"image media1": final}}
		f.picture("refused")
		f.deliver(c)
		f.recall("refused")
		f.deliver(c)
		if d := cmp.Diff([]string{"upload media1", "image media1 failed"}, c.done); d != "" {
			t.Error(d)
		}
	})
}

// A process that ends between handing the image over and noting so hands it
// over again; one that ends after that sends the same message again.
func TestImageAfterACrash(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		c := &courier{}
		box := &Outbox{Store: f.Store, Sender: c}
		f.picture("qr")
		lease := func() *parcel {
			t.Helper()
			parcels, err := f.claim(t.Context(), 1)
			if err != nil || len(parcels) != 1 {
				t.Fatalf("%d parcels, %v", len(parcels), err)
			}
			return parcels[0]
		}
		late := lease() // somebody who took it, and will be late
		f.pass(2 * sendLease)
		p := lease()
		if err := box.prepare(t.Context(), p); err != nil {
			t.Fatal(err)
		} // and there the process ends
		if err := box.prepare(t.Context(), late); !errors.Is(err, errRaced) {
			t.Errorf("the late one: %v", err)
		}
		for range 2 {
			f.pass(2 * sendLease)
			box.send(t.Context(), lease())
		}
		want := []string{"upload media1", "upload media2", "image media1", "image media1"}
		if d := cmp.Diff(want, c.done); d != "" {
			t.Error(d)
		}
	})
}

// The secret that was shown in the chat is taken back when it is enabled, when
// it is cancelled, when another takes its place, and when its time is up.
func TestQRIsTakenBack(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		ends := map[string]func(OTPKey){
			"verified": func(k OTPKey) { f.confirm("lilei", code(t, k.Secret, f.now()), "") },
			"cancelled": func(OTPKey) {
				f.tx(func(tx *Tx) error { return tx.CancelOTP(ctx, "LiLei") })
			},
			"replaced": func(OTPKey) { f.bind("lilei") },
			"reset":    func(OTPKey) { f.drop("lilei") },
			"expired": func(OTPKey) {
				if err := f.ExpireOTP(ctx); err != nil { // too early
					t.Error(err)
				}
				f.pass(otpPending)
				for range 2 {
					if err := f.ExpireOTP(ctx); err != nil {
						t.Error(err)
					}
				}
			},
		}
		f.hire("LiLei")
		for name, end := range ends {
			c := &courier{}
			key := f.bind("lilei")
			f.picture(key.Ref)
			f.deliver(c)
			c.done = nil
			end(key)
			f.deliver(c)
			recalls := 0
			for _, did := range c.done {
				if did == "recall id of image media1" {
					recalls++
				}
			}
			if recalls != 1 {
				t.Errorf("%s: %q", name, c.done)
			}
			f.drop("lilei")
			f.deliver(c)
		}
	})
}

func (f fixture) drop(userID string) {
	f.t.Helper()
	f.tx(func(tx *Tx) error {
		_, err := tx.DropOTP(f.t.Context(), userID)
		return err
	})
}
