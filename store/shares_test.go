package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-cmp/cmp"

	"deskbell/bot"
)

var master = Asker{Master: true}

// administrators makes people known here, each an owner of bots.
func (f fixture) administrators(ids ...string) {
	f.t.Helper()
	for _, id := range ids {
		if err := f.savePerson(f.t.Context(), id, bot.Person{ID: id, Name: id, State: bot.Active}, f.now()); err != nil {
			f.t.Fatal(err)
		}
	}
}

// within runs fn in a transaction and gives what it returns.
func txGives[T any](f fixture, fn func(tx *Tx) (T, error)) (got T, err error) {
	f.t.Helper()
	err = f.Tx(f.t.Context(), func(tx *Tx) error {
		got, err = fn(tx)
		return err
	})
	return got, err
}

func (f fixture) bot(owner Asker) Bot {
	f.t.Helper()
	b, err := txGives(f, func(tx *Tx) (Bot, error) { return tx.NewBot(f.t.Context(), "helper", nil, owner) })
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// shared makes a share that is good for so long, for ever for 0.
func (f fixture) shared(b Bot, owner Asker, good time.Duration) (token string, sh Share) {
	f.t.Helper()
	n := NewShare{Bot: b.ID}
	if good > 0 {
		n.ExpiresAt = new(f.now().Add(good))
	}
	if err := f.Tx(f.t.Context(), func(tx *Tx) (err error) {
		token, sh, err = tx.CreateShare(f.t.Context(), n, owner)
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return token, sh
}

var visitor = Account{UID: "visitor", IsEndUser: true}

func (f fixture) opens(token string) error {
	f.t.Helper()
	_, err := f.OpenShare(f.t.Context(), token, visitor)
	return err
}

// What a share does, as one client sees it, is what the model says.
type shareState struct {
	made, revoked  bool
	expires, clock int // minutes
	opens          int
}

type shareCall struct {
	share   int
	op      string // create, open, peek, revoke, extend, wait
	minutes int    // to which it expires, or that pass
}

var shareModel = porcupine.Model{
	// Each share is judged by itself; time passes for all of them.
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, 8)
		for _, op := range history {
			for i := range parts {
				if in := op.Input.(shareCall); in.share == i || in.op == "wait" {
					parts[i] = append(parts[i], op)
				}
			}
		}
		return parts
	},
	Init: func() any { return shareState{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, result := state.(shareState), input.(shareCall), output.(string)
		switch in.op {
		case "create":
			return !s.made && result == "ok", shareState{made: true, expires: in.minutes, clock: s.clock}
		case "wait":
			s.clock += in.minutes
			return true, s
		case "open", "peek":
			want := "ok"
			if !s.made {
				want = "unknown"
			} else if s.revoked || s.expires <= s.clock {
				want = "ended"
			}
			if in.op == "open" && want == "ok" {
				s.opens++
			}
			return result == want, s
		}
		if !s.made {
			return result == "unknown", s
		}
		if in.op == "revoke" {
			s.revoked = true
			return result == fmt.Sprint("ok after ", s.opens), s
		}
		if s.revoked {
			return result == "ended", s
		}
		s.expires = max(s.expires, in.minutes)
		return result == "ok", s
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprint(input, " ", output) },
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrNotFound):
		return "unknown"
	case errors.Is(err, ErrEnded):
		return "ended"
	}
	return err.Error()
}

// racedShare is one of the shares that a round of the race is about.
type racedShare struct {
	token, id string
	made      chan struct{} // closed when id is known
}

// Sixty-four at once make, open, peek at, extend, revoke and let expire eight
// shares, many times over: for each there is an order of what they did, in line
// with who came before whom, in which nothing revoked or expired is served.
func TestSharesAreLinearizable(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		owner := Asker{UserID: "boss"}
		f.administrators("boss")
		b := f.bot(owner)
		outcomes := map[string]int{}
		for round := range 12 {
			start := f.now()
			at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
			shares := make([]*racedShare, 8)
			for i := range shares {
				shares[i] = &racedShare{token: newToken(kindShare), made: make(chan struct{})}
			}
			history := race(64, func(client int, do func(call shareCall, fn func() (said string, err error))) {
				sh := shares[client%8]
				call := func(op string, minutes int) {
					do(shareCall{client % 8, op, minutes}, func() (string, error) { return f.play(b, sh, op, at(minutes), minutes) })
				}
				ops := []string{"open", "peek", "open"}
				switch role := client / 8; {
				case role == 0:
					ops = []string{"create", "open", "peek"}
				case role == 1 && round%3 != 1:
					ops = []string{"open", "revoke", "open"}
				case role == 2 && round%3 != 0 && client%8 < 2:
					ops = []string{"open", "wait", "peek"}
				case role == 3 && round%2 == 1:
					ops = []string{"peek", "extend", "open"}
				}
				for _, op := range ops {
					switch op {
					case "revoke", "extend": // nobody can name a share that is not there
						<-sh.made
					}
					call(op, map[string]int{"create": 30, "extend": 60, "wait": 20}[op])
				}
			})
			for _, op := range history {
				result, _, _ := strings.Cut(op.Output.(string), " ")
				outcomes[op.Input.(shareCall).op+" "+result]++
			}
			if result := porcupine.CheckOperationsTimeout(shareModel, history, 30*time.Second); result != porcupine.Ok {
				t.Fatalf("round %d: %s: %+v", round, result, history)
			}
			f.pass(2 * time.Hour)
			for _, sh := range shares {
				if err := f.opens(sh.token); !errors.Is(err, ErrEnded) {
					t.Errorf("afterwards: %v", err)
				}
			}
		}
		for _, seen := range []string{"create ok", "open ok", "open ended", "open unknown", "peek ok", "peek ended", "revoke ok", "extend ok", "extend ended", "wait ok"} {
			if outcomes[seen] == 0 {
				t.Errorf("no %s among %v", seen, outcomes)
			}
		}
	})
}

// race lets n clients run at once, and records what they do and what came of it.
func race(n int, client func(i int, do func(call shareCall, fn func() (said string, err error)))) (history []porcupine.Operation) {
	var mu sync.Mutex
	var all sync.WaitGroup
	began, gate := time.Now(), make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-gate
			client(i, func(call shareCall, fn func() (string, error)) {
				op := porcupine.Operation{ClientId: i, Input: call, Call: time.Since(began).Nanoseconds()}
				said, err := fn()
				op.Output = outcome(err) + said
				op.Return = time.Since(began).Nanoseconds()
				mu.Lock()
				defer mu.Unlock()
				history = append(history, op)
			})
		})
	}
	close(gate)
	all.Wait()
	return history
}

// play does one thing to a share. Whoever revokes it says how often it had been
// opened: what was opened later would show there.
func (f fixture) play(b Bot, sh *racedShare, op string, at time.Time, minutes int) (said string, err error) {
	owner, ctx := Asker{UserID: "boss"}, f.t.Context()
	switch op {
	case "create":
		return "", f.Tx(ctx, func(tx *Tx) error {
			made, err := tx.createShare(ctx, NewShare{Bot: b.ID, ExpiresAt: &at}, sh.token, owner)
			tx.after(func() {
				sh.id = made.ID
				close(sh.made)
			})
			return err
		})
	case "open":
		return "", f.opens(sh.token)
	case "peek":
		_, err := f.PeekShare(ctx, sh.token)
		return "", err
	case "wait":
		f.pass(time.Duration(minutes) * time.Minute)
		return "", nil
	}
	err = f.Tx(ctx, func(tx *Tx) error {
		if op == "extend" {
			_, err := tx.ExtendShare(ctx, sh.id, at, owner)
			return err
		}
		ended, err := tx.RevokeShare(ctx, sh.id, owner)
		said = fmt.Sprint(" after ", ended.Opens)
		return err
	})
	return said, err
}

// The checker itself must refuse what must not be.
func TestShareModelRefuses(t *testing.T) {
	for name, history := range map[string][]string{
		"opened after it was revoked": {"create ok", "revoke ok after 0", "open ok"}, "an open that was not counted": {"create ok", "open ok", "revoke ok after 0"}, "opened after it expired": {"create ok", "wait ok", "open ok"},
		"ended for no reason": {"create ok", "open ended"}, "made twice": {"create ok", "create ok"},
	} {
		var ops []porcupine.Operation
		for i, step := range history {
			op, result, _ := strings.Cut(step, " ")
			ops = append(ops, porcupine.Operation{Input: shareCall{0, op, 30}, Output: result, Call: int64(2 * i), Return: int64(2*i + 1)})
		}
		if porcupine.CheckOperations(shareModel, ops) {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Whoever waited until it expired is served no more, although it was good when
// they came.
func TestOpenLooksAtTheClockAgain(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.administrators("boss")
		token, sh := f.shared(f.bot(Asker{UserID: "boss"}), Asker{UserID: "boss"}, time.Hour)
		err := f.Tx(t.Context(), func(tx *Tx) error {
			f.pass(time.Hour)
			_, _, err := tx.openShare(t.Context(), token, visitor)
			return err
		})
		list, listed := f.Shares(t.Context(), sh.Bot, master)
		if !errors.Is(err, ErrEnded) || listed != nil || list[0].Opens != 0 {
			t.Errorf("%v, %+v %v", err, list, listed)
		}
	})
}

// Opens are counted one by one, whoever else is at it; peeks are not.
func TestOpensAreCounted(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.administrators("boss")
		token, sh := f.shared(f.bot(Asker{UserID: "boss"}), Asker{UserID: "boss"}, 0)
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				if err := f.opens(token); err != nil {
					t.Error(err)
				}
				if _, err := f.PeekShare(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		list, err := f.Shares(t.Context(), sh.Bot, master)
		if err != nil || len(list) != 1 || list[0].Opens != 32 || list[0].OpenedAt == nil || list[0].Last4 != token[len(token)-4:] {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// Whoever has the database has no link: neither the token nor a hash that could
// be made without the key.
func TestShareAtRest(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.administrators("boss")
		owner := Asker{UserID: "boss"}
		token, sh := f.shared(f.bot(owner), owner, 0)
		row, err := findShare(t.Context(), f.reads, "t.id = ?", sh.ID)
		if err != nil || strings.Contains(row.Hash+row.Link, token[4:20]) || row.Link == "" {
			t.Fatalf("%+v, %v", row, err)
		}
		_, err = txGives(f, func(tx *Tx) (any, error) {
			_, picture, err := tx.ShareQR(t.Context(), sh.ID, owner)
			if !strings.HasPrefix(string(picture), "\x89PNG") {
				t.Errorf("%.10q", picture)
			}
			return nil, err
		})
		if err != nil {
			t.Error(err)
		}
		if _, err := txGives(f, func(tx *Tx) (Share, error) { return tx.RevokeShare(t.Context(), sh.ID, owner) }); err != nil {
			t.Fatal(err)
		}
		if row, err = findShare(t.Context(), f.reads, "t.id = ?", sh.ID); err != nil || row.Link != "" {
			t.Errorf("a revoked share keeps its link: %+v, %v", row, err)
		}
		_, err = txGives(f, func(tx *Tx) (any, error) { _, _, err := tx.ShareQR(t.Context(), sh.ID, owner); return nil, err })
		if !errors.Is(err, ErrEnded) {
			t.Error(err)
		}
	})
}

// A link without an expiry outlives the key it was made under.
func TestSharesSurviveRotation(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.administrators("boss")
		token, _ := f.shared(f.bot(Asker{UserID: "boss"}), Asker{UserID: "boss"}, 0)
		both, err := newKeyring([][]byte{otherKey, testKey})
		if err != nil {
			t.Fatal(err)
		}
		f.keys = both
		if err := f.opens(token); err != nil {
			t.Fatal(err)
		}
		if n, err := f.RotateKeys(t.Context()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if f.keys, err = newKeyring([][]byte{otherKey}); err != nil {
			t.Fatal(err)
		}
		if err := f.opens(token); err != nil {
			t.Error(err)
		}
	})
}

// A bot goes to the master key when its owner leaves, its links end, and no
// share made meanwhile survives.
func TestLeaversShares(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.administrators("boss", "ma")
		leaver := Asker{UserID: "ma"}
		b, other := f.bot(leaver), f.bot(Asker{UserID: "boss"})
		f.shared(b, leaver, time.Hour)
		kept, _ := f.shared(other, Asker{UserID: "boss"}, 0)
		old, _ := f.shared(b, leaver, time.Minute)
		f.pass(time.Minute)

		var d Departure
		tokens := make([]string, 16)
		var all sync.WaitGroup
		for i := range tokens {
			all.Go(func() {
				err := f.Tx(t.Context(), func(tx *Tx) (err error) {
					tokens[i], _, err = tx.CreateShare(t.Context(), NewShare{Bot: b.ID}, leaver)
					return err
				})
				if err != nil && !errors.Is(err, ErrNotOwner) {
					t.Error(err)
				}
			})
			if i == 8 {
				all.Go(func() {
					if err := f.Tx(t.Context(), func(tx *Tx) error { return tx.endEverything(t.Context(), "ma", &d) }); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		for _, token := range append(tokens, old) {
			if err := f.opens(token); token != "" && !errors.Is(err, ErrEnded) {
				t.Errorf("a leaver's share: %v", err)
			}
		}
		if d.Shares < 1 || d.Shares > 17 || !strings.Contains(d.String(), fmt.Sprint("shares ", d.Shares)) {
			t.Errorf("%d cut: %s", d.Shares, d)
		}
		if err := f.opens(kept); err != nil {
			t.Error(err)
		}
		if _, err := f.Shares(t.Context(), b.ID, leaver); !errors.Is(err, ErrNotOwner) {
			t.Error(err) // also if the userid comes back
		}
		if _, err := f.Shares(t.Context(), b.ID, master); err != nil {
			t.Error(err)
		}
	})
}

// The owner hears once that a share ends: a day before, or ten minutes.
func TestRemindShares(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.administrators("boss")
		owner := Asker{UserID: "boss"}
		b := f.bot(owner)
		for _, good := range []time.Duration{0, 15 * time.Minute, time.Hour, 47 * time.Hour, 7 * 24 * time.Hour} {
			f.shared(b, owner, good)
		}
		_, revoked := f.shared(b, owner, time.Hour)
		_, extended := f.shared(b, owner, time.Hour)
		if err := f.Tx(t.Context(), func(tx *Tx) error {
			if _, err := tx.RevokeShare(t.Context(), revoked.ID, owner); err != nil {
				return err
			}
			_, err := tx.ExtendShare(t.Context(), extended.ID, f.now().Add(10*24*time.Hour), owner)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		f.shared(f.bot(master), master, time.Hour) // nobody to tell
		var got []int
		before, passed := 0, time.Duration(0)
		for _, after := range []time.Duration{49 * time.Minute, 50 * time.Minute, 51 * time.Minute, 46*time.Hour + 50*time.Minute, 6*24*time.Hour - time.Second, 6 * 24 * time.Hour, 9 * 24 * time.Hour, 20 * 24 * time.Hour} {
			f.pass(after - passed)
			passed = after
			for range 2 {
				if err := f.RemindShares(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			pending, _, err := f.Depth(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, pending-before)
			before = pending
		}
		if diff := cmp.Diff([]int{0, 1, 0, 1, 0, 1, 1, 0}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestBotsRefused(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.administrators("boss")
		for want, c := range map[string]struct{ name, settings string }{
			"name: is missing": {" ", "{}"}, "name: is longer than 128 bytes or has control characters": {"a\x00b", "{}"},
			"settings: is not an object": {"x", "[]"}, "settings.suggested_questions: has the wrong type": {"x", `{"suggested_questions":"?"}`},
			"settings: is longer than 65536 bytes": {"x", `{"a":"` + strings.Repeat("x", longestSettings) + `"}`},
		} {
			_, err := txGives(f, func(tx *Tx) (Bot, error) {
				return tx.NewBot(t.Context(), c.name, json.RawMessage(c.settings), Asker{UserID: "boss"})
			})
			if e, ok := errors.AsType[*BotError](err); !ok || e.Reason != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}
