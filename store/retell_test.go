package store

import (
	"encoding/json"
	"testing"
	"time"

	"deskbell/bot"
)

// An update of a card is for the card that was sent: with its id, once.
func TestRetell(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.Render = func(to, _, taskID string, r bot.Reply) (bot.Outgoing, error) {
			return bot.Outgoing{To: to, Card: []byte(`{"is":"` + r.Key + `"}`), TaskID: taskID}, nil
		}
		f.know("lilei")
		deliver := func() bot.Outgoing {
			t.Helper()
			var rows []outboxRow
			if err := f.db.NewSelect().Model(&rows).Where("state = ?", Pending).Order("id").Scan(t.Context()); err != nil || len(rows) != 1 {
				t.Fatalf("%d wait, %v", len(rows), err)
			}
			body, err := f.keys.open("outbox/"+rows[0].Digest, rows[0].Body)
			if err != nil {
				t.Fatal(err)
			}
			var o bot.Outgoing
			if err := json.Unmarshal(body, &o); err != nil {
				t.Fatal(err)
			}
			box := &Outbox{Store: f.Store}
			p := &parcel{outboxRow: rows[0], out: o, receipt: bot.Receipt{MsgID: "m", ResponseCode: "code-" + o.TaskID}}
			f.tx(func(tx *Tx) error {
				if _, err := tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("tried_at = ?", tx.Now).Where("id = ?", p.ID).Exec(t.Context()); err != nil {
					return err
				}
				return box.record(t.Context(), tx, []*parcel{p})
			})
			return o
		}
		retell := func(key string) {
			f.tx(func(tx *Tx) error { return tx.Retell(t.Context(), "lilei", bot.Card(key, nil), "ref") })
		}
		retell("first")
		first := deliver()
		retell("second")
		if second := deliver(); second.TaskID != first.TaskID || second.ResponseCode != "code-"+first.TaskID {
			t.Errorf("the update is %+v of %+v", second, first)
		}
		retell("third")
		if third := deliver(); third.TaskID == first.TaskID || third.ResponseCode != "" {
			t.Errorf("a code was used twice: %+v", third)
		}
		f.pass(updatable) // too late for an update of the third
		retell("fourth")
		retell("fifth") // before anybody tried to send the fourth
		if fifth := deliver(); string(fifth.Card) != `{"is":"fifth"}` || fifth.ResponseCode != "" {
			t.Errorf("%+v", fifth)
		}
	})
}

// A card that changes while it is on its way is updated once it has arrived, and
// sent anew if it has not.
func TestRetellOnItsWay(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.Render = func(to, _, taskID string, r bot.Reply) (bot.Outgoing, error) {
			return bot.Outgoing{To: to, Card: []byte(`{"is":"` + r.Key + `"}`), TaskID: taskID}, nil
		}
		f.know("lilei")
		box := &Outbox{Store: f.Store}
		claim := func() *parcel {
			t.Helper()
			list, err := box.round(t.Context(), nil, 5)
			if err != nil || len(list) != 1 {
				t.Fatalf("%d to send, %v", len(list), err)
			}
			return list[0]
		}
		ended := func(p *parcel, err error) {
			t.Helper()
			if p.err = err; err == nil {
				p.receipt = bot.Receipt{MsgID: "m", ResponseCode: "code-" + p.out.TaskID}
			}
			if _, err := box.round(t.Context(), []*parcel{p}, 0); err != nil {
				t.Fatal(err)
			}
		}
		retell := func(key string) {
			f.tx(func(tx *Tx) error { return tx.Retell(t.Context(), "lilei", bot.Card(key, nil), "ref") })
		}
		retell("first")
		first := claim()
		retell("second")
		ended(first, nil)
		second := claim()
		if second.out.TaskID != first.out.TaskID || second.out.ResponseCode != "code-"+first.out.TaskID || string(second.out.Card) != `{"is":"second"}` {
			t.Errorf("after %+v comes %+v", first.out, second.out)
		}
		ended(second, busyWeCom)
		f.pass(time.Minute)
		if again := claim(); again.out.ResponseCode != second.out.ResponseCode || again.Counts {
			t.Errorf("the next try is %+v", again.out)
		} else {
			ended(again, nil)
		}
		retell("third")
		third := claim()
		retell("fourth")
		ended(third, final)
		if fourth := claim(); fourth.out.ResponseCode != "" || string(fourth.out.Card) != `{"is":"fourth"}` {
			t.Errorf("after one that did not arrive comes %+v", fourth.out)
		}
	})
}
