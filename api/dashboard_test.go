package api

import (
	"strings"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

func TestDashboard(t *testing.T) {
	o := newOffice(t)
	o.ok(o.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.EnsureAgent(t.Context(), bot.User{ID: "lilei", Name: "李雷", Level: bot.Agent, Roles: []string{"agent"}})
	}))
	tally := store.Tally{Store: o.o.Store}
	for range 7 {
		tally.Command("status", "ok")
	}
	tally.Command("status", "failed")
	tally.Delivery("dead")
	o.ok(tally.Flush(t.Context()))
	today := o.now.In(time.Local).Format(time.DateOnly)
	page := o.open("/admin/dashboard", "<strong>1</strong>位坐席离线", `<th scope="row">`+today+`</th>`, `<td data-of="commands" data-value="8">8</td>`,
		`data-of="sessions" data-value="0"`, `data-of="answer" data-value=""`, `data-of="failed" data-value="1"`, `data-of="undelivered" data-value="1"`, "/static/uplot/uPlot.iife.min.js")
	if n := strings.Count(page, "<tr data-day="); n != 30 {
		t.Errorf("%d days", n)
	}
	part := o.do("GET", "/admin/dashboard", "", o.boss, with{"HX-Request", "true"}, with{"HX-Target", "now"})
	o.want(part, 200, "<strong>1</strong>位坐席离线")
	lacks(t, string(part.Body()), "<tr data-day=", "uPlot")
}

func TestDaysUntil(t *testing.T) {
	days := daysUntil(time.Date(2026, 3, 2, 12, 0, 0, 0, time.Local), 3)
	for i, want := range []string{"2026-02-28", "2026-03-01", "2026-03-02"} {
		if got := days[i].Format(time.DateTime); got != want+" 00:00:00" {
			t.Errorf("day %d begins %s, want %s", i, got, want)
		}
	}
}
