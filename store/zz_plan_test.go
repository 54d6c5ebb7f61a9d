package store

import "testing"
import "deskbell/store/storetest"

func TestZZPlan(t *testing.T) {
	s := open(t, storetest.SQLite(t), nil).Store
	for _, q := range []string{
		`UPDATE inbox SET reply = v.column2, pushed = v.column3, done_at = '2030' FROM (VALUES (1, 'x', 1), (2, 'y', 0)) AS v WHERE inbox.seq = v.column1 AND inbox.done_at IS NULL`,
		`SELECT "inbox_row"."person" FROM "inbox" AS "inbox_row" WHERE (done_at IS NULL) AND (received_at <= '2030') ORDER BY "seq" LIMIT 512`,
		`SELECT "outbox_row"."id" FROM outbox AS outbox_row WHERE (state = 'pending') AND (due_at <= '2030') AND (leased_to IS NULL OR leased_to < '2030') AND (id IN (SELECT min(id) FROM outbox WHERE state = 'pending' GROUP BY person)) ORDER BY "id" LIMIT 64`,
		`SELECT seq FROM inbox AS inbox_row LEFT JOIN people ON people.id = inbox_row.person WHERE person IN ('a','b','c') AND done_at IS NULL ORDER BY seq LIMIT 256`,
	} {
		rows, err := s.db.Query("EXPLAIN QUERY PLAN " + q)
		if err != nil { t.Fatal(err) }
		t.Log(q)
		for rows.Next() {
			var a, b, c int
			var d string
			rows.Scan(&a, &b, &c, &d)
			t.Log("      ", d)
		}
	}
}
