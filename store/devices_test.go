package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"

	"github.com/google/go-cmp/cmp"
)

var ada = Owner{Account: "0b7e2d1c-0000-4000-8000-000000000001"}

func (f fixture) device(o Owner, namespace string) (d Device) {
	f.t.Helper()
	f.tx(func(tx *Tx) (err error) {
		d, err = tx.NewDevice(f.t.Context(), o, "Room "+namespace, namespace)
		return err
	})
	return d
}

func (f fixture) config(d Device, password, kind string, readOnly bool) DeviceConfig {
	f.t.Helper()
	c, err := f.AddConfig(f.t.Context(), d.Owner(), d.ID, ConfigChange{Password: &password, Type: &kind, ReadOnly: &readOnly})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// app gives the app that a password opens a namespace for.
func (f fixture) app(namespace, password string) (string, App) {
	f.t.Helper()
	token, _, err := f.OpenNamespace(f.t.Context(), namespace, password, "test", Client{})
	if err != nil {
		f.t.Fatal(err)
	}
	app, err := f.App(f.t.Context(), token)
	if err != nil {
		f.t.Fatal(err)
	}
	return token, app
}

func (f fixture) rows(table string) (n int) {
	f.t.Helper()
	if err := f.reads.NewSelect().Table(table).ColumnExpr("count(*)").Scan(f.t.Context(), &n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

func TestDevicesAndTheirOwners(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		mei := Owner{Person: "Mei"}
		d := f.device(ada, "Class-3A")
		m := f.device(mei, "三年一班")
		own := f.device(mei, "")
		if own.Namespace != own.ID || m.Person != "mei" || d.Account != ada.Account {
			t.Errorf("%+v, %+v, %+v", own, m, d)
		}
		for _, c := range []struct{ name, namespace, want string }{
			{"x", "class-3a", "device.taken"}, {"x", "ＣＬＡＳＳ－３ａ", "device.taken"}, {"x", strings.ToUpper(own.ID), "device.taken"},
			{"x", " class", "device.namespace"}, {"x", "a\u200bb", "device.namespace"}, {"x", "a\nb", "device.namespace"},
			{"x", strings.Repeat("班", 65), "device.namespace"}, {"", "ok", "device.name"}, {"a\x00", "ok", "device.name"}, {" \u3000", "ok", "device.name"},
			{"x", "class-3a\ufe0f", "device.namespace"}, {"x", "class\u034f-3a", "device.namespace"}, {"x", "\u3164", "device.namespace"}, {"x", "\u2800", "device.namespace"},
			{"x", "cafe\u0301", "device.namespace"}, {"x", "caf\u00e9", ""},
			{"x", strings.Repeat("班", 64), ""}, {"x", "Class 3 B", "device.namespace"}, {"x", "a\u3000b", "device.namespace"}, {"x", "Class.3_B@5/6", ""},
		} {
			err := f.Tx(ctx, func(tx *Tx) error { _, err := tx.NewDevice(ctx, ada, c.name, c.namespace); return err })
			if got := errKey(err); got != c.want {
				t.Errorf("%q %q: %q, want %q", c.name, c.namespace, got, c.want)
			}
		}
		for _, o := range []Owner{{}, {Person: "mei", Account: ada.Account}} {
			if err := f.Tx(ctx, func(tx *Tx) error { _, err := tx.NewDevice(ctx, o, "x", "y"); return err }); err == nil {
				t.Errorf("%+v owns something", o)
			}
			if _, err := f.Device(ctx, o, d.ID); errKey(err) != "device.foreign" {
				t.Errorf("%+v: %v", o, err)
			}
		}
		list, err := f.Devices(ctx, Owner{Person: "MEI"})
		if err != nil || len(list) != 2 {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := f.Device(ctx, mei, d.ID); errKey(err) != "device.foreign" {
			t.Errorf("somebody else's: %v", err)
		}
		if _, err := f.Device(ctx, mei, "none"); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		if err := f.Tx(ctx, func(tx *Tx) error { return tx.RemoveDevice(ctx, mei, d.ID) }); errKey(err) != "device.foreign" {
			t.Errorf("somebody else's: %v", err)
		}
	})
}

// Removing a device removes everything that is on it, and nothing else.
func TestRemoveDevice(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		d, other := f.device(ada, "one"), f.device(ada, "two")
		for _, x := range []Device{d, other} {
			f.config(x, "secret", "", false)
			_, app := f.app(x.Namespace, "secret")
			f.tx(func(tx *Tx) error { _, err := tx.PutValue(ctx, app, "k", "1"); return err })
		}
		f.tx(func(tx *Tx) error { return tx.RemoveDevice(ctx, ada, d.ID) })
		for _, table := range []string{"devices", "device_configs", "app_tokens", "kv"} {
			if n := f.rows(table); n != 1 {
				t.Errorf("%s: %d rows", table, n)
			}
		}
		if _, _, err := f.OpenNamespace(ctx, "one", "secret", "x", Client{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
		want := []string{"device.add ok", "device.open ok", "app.token ok", "device.remove ok"}
		if diff := cmp.Diff(want, f.events(d.ID)); diff != "" {
			t.Error(diff)
		}
	})
}

// events lists what was audited about something, oldest first.
func (f fixture) events(target string) (list []string) {
	f.t.Helper()
	for _, line := range f.trail(target) {
		_, event, _ := strings.Cut(line, " ")
		list = append(list, event)
	}
	return list
}

func TestConfigs(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		d := f.device(ada, "class")
		add := func(c ConfigChange) string {
			f.pass(time.Second)
			_, err := f.AddConfig(ctx, ada, d.ID, c)
			return errKey(err)
		}
		for i, c := range []struct {
			change ConfigChange
			want   string
		}{
			{ConfigChange{}, ""}, {ConfigChange{}, "device.password.taken"}, {ConfigChange{Password: new("")}, "device.password.taken"},
			{ConfigChange{Password: new("a")}, ""}, {ConfigChange{Password: new("a"), Type: new("teacher")}, "device.password.taken"},
			{ConfigChange{Password: new("A")}, ""}, {ConfigChange{Password: new("a ")}, ""},
			{ConfigChange{Password: new(strings.Repeat("密", 128))}, ""}, {ConfigChange{Password: new(strings.Repeat("密", 129))}, "device.password"},
			{ConfigChange{Password: new("b"), Type: new("admin")}, "device.type"},
		} {
			if got := add(c.change); got != c.want {
				t.Errorf("%d: %q, want %q", i, got, c.want)
			}
		}
		list, err := f.Configs(ctx, d.ID)
		if err != nil || len(list) != 5 {
			t.Fatalf("%d, %v", len(list), err)
		}
		for _, c := range list {
			if strings.Contains(c.Password, "密") || c.Password != "" && len(c.Password) < 60 {
				t.Errorf("kept as %q", c.Password)
			}
		}
		change := func(id string, c ConfigChange) string {
			_, err := f.ChangeConfig(ctx, ada, d.ID, id, c)
			return errKey(err)
		}
		open, a := list[0].ID, list[1].ID
		for i, c := range []struct {
			id     string
			change ConfigChange
			want   string
		}{
			{a, ConfigChange{Password: new("A")}, "device.password.taken"}, {a, ConfigChange{Password: new("")}, "device.password.taken"},
			{a, ConfigChange{Password: new("a")}, ""}, {a, ConfigChange{Type: new("parent"), ReadOnly: new(true)}, ""},
			{open, ConfigChange{Password: new("closed now")}, ""}, {a, ConfigChange{Password: new("")}, ""},
		} {
			if got := change(c.id, c.change); got != c.want {
				t.Errorf("%d: %q, want %q", i, got, c.want)
			}
		}
		if _, app := f.app("CLASS", ""); app.Type != "parent" || !app.ReadOnly || app.Config != a {
			t.Errorf("%+v", app)
		}
		for i := len(list); i < maxConfigs; i++ {
			f.config(d, fmt.Sprint("password ", i), "", false)
		}
		if got := add(ConfigChange{Password: new("one more")}); got != "device.configs" {
			t.Errorf("%q", got)
		}
		if _, err := f.AddConfig(ctx, Owner{Person: "mei"}, d.ID, ConfigChange{}); errKey(err) != "device.foreign" {
			t.Errorf("%v", err)
		}
	})
}

// A token is what the configuration was; when that changes, it ends.
func TestTokensEndWithTheirConfig(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		d := f.device(ada, "class")
		c, other := f.config(d, "one", "teacher", false), f.config(d, "two", "student", true)
		steps := map[string]func() error{
			"changed": func() error {
				_, err := f.ChangeConfig(ctx, ada, d.ID, c.ID, ConfigChange{ReadOnly: new(false)})
				return err
			},
			"removed": func() error {
				return f.Tx(ctx, func(tx *Tx) error { return tx.RemoveConfig(ctx, ada, d.ID, c.ID) })
			},
		}
		for _, step := range []string{"changed", "removed"} {
			ends, _ := f.app("class", "one")
			stays, app := f.app("class", "two")
			if app.Type != "student" || !app.ReadOnly || app.Config != other.ID {
				t.Errorf("%+v", app)
			}
			if err := steps[step](); err != nil {
				t.Fatal(err)
			}
			if _, err := f.App(ctx, ends); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: its token: %v", step, err)
			}
			if _, err := f.App(ctx, stays); err != nil {
				t.Errorf("%s: another's token: %v", step, err)
			}
		}
	})
}

func TestAppTokens(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		d := f.device(ada, "class")
		f.config(d, "one", "", false)
		token, app := f.app("class", "one")
		var hash string
		if err := f.reads.NewSelect().Model((*App)(nil)).Column("hash").Scan(ctx, &hash); err != nil || hash == "" || strings.Contains(hash, token[4:20]) {
			t.Errorf("kept as %q, %v", hash, err)
		}
		for _, bad := range []string{"", "x", token + "x", strings.Replace(token, "dbn", "dba", 1)} {
			if _, err := f.App(ctx, bad); !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if _, err := f.Session(ctx, token); !errors.Is(err, ErrNotFound) {
			t.Errorf("it signs somebody in: %v", err)
		}
		end := func(o Owner, id string) error {
			return f.Tx(ctx, func(tx *Tx) error { return tx.EndApp(ctx, o, d.ID, id) })
		}
		if err := end(Owner{Person: "mei"}, app.ID); errKey(err) != "device.foreign" {
			t.Errorf("%v", err)
		}
		for _, id := range []string{"", app.ID[:7], "%%%%%%%%", "________", "00000000"} {
			if err := end(ada, id); !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
		if err := end(ada, app.ShortID()); err != nil {
			t.Error(err)
		}
		if _, err := f.App(ctx, token); !errors.Is(err, ErrNotFound) {
			t.Errorf("revoked: %v", err)
		}

		idle, _ := f.app("class", "one")
		used, _ := f.app("class", "one")
		for range 4 {
			f.pass(20 * 24 * time.Hour)
			if _, err := f.App(ctx, used); err != nil {
				t.Errorf("in use: %v", err)
			}
		}
		if _, err := f.App(ctx, idle); !errors.Is(err, ErrNotFound) {
			t.Errorf("unused for 80 days: %v", err)
		}
		f.pass(10 * 24 * time.Hour)
		if _, err := f.App(ctx, used); !errors.Is(err, ErrNotFound) {
			t.Errorf("after 90 days: %v", err)
		}
		f.pass(8 * 24 * time.Hour)
		if err := f.Purge(ctx); err != nil || f.rows("app_tokens") != 0 {
			t.Errorf("%d rows, %v", f.rows("app_tokens"), err)
		}
	})
}

// Whoever knows a password cannot fill the store with tokens, nor crowd out those
// who know another.
func TestOldAppsGiveWay(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		d := f.device(ada, "class")
		c := f.config(d, "one", "", false)
		f.config(d, "other", "", false)
		first, _ := f.app("class", "one")
		other, _ := f.app("class", "other")
		f.tx(func(tx *Tx) error {
			rows := make([]App, maxApps)
			for i := range rows {
				rows[i] = App{ID: fmt.Sprintf("%08x", i), Hash: fmt.Sprint(i), Device: d.ID, Config: c.ID, InstalledAt: tx.Now, UpdatedAt: tx.Now, LastUsedAt: tx.Now.Add(time.Second), ExpiresAt: tx.Now.Add(appLife)}
			}
			_, err := tx.db.NewInsert().Model(&rows).Returning("NULL").Exec(t.Context())
			return err
		})
		f.pass(time.Minute)
		last, _ := f.app("class", "one")
		if n := f.rows("app_tokens"); n != maxApps+1 {
			t.Errorf("%d tokens", n)
		}
		if _, err := f.App(t.Context(), first); !errors.Is(err, ErrNotFound) {
			t.Errorf("the one unused longest: %v", err)
		}
		for _, token := range []string{last, other} {
			if _, err := f.App(t.Context(), token); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestNameApp(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		d := f.device(ada, "class")
		f.config(d, "pupils", "student", true)
		f.config(d, "staff", "teacher", false)
		token, pupil := f.app("class", "pupils")
		_, staff := f.app("class", "staff")
		name := func(app App, name string) error {
			return f.Tx(ctx, func(tx *Tx) error { _, err := tx.NameApp(ctx, app, name); return err })
		}
		put := func(value string) {
			f.tx(func(tx *Tx) error { _, err := tx.PutValue(ctx, staff, pupils, value); return err })
		}
		if err := name(pupil, "小明"); !errors.Is(err, ErrNotFound) {
			t.Errorf("without a list: %v", err)
		}
		put(`{"not":"a list"}`)
		if got := errKey(name(pupil, "小明")); got != "device.list" {
			t.Errorf("%q", got)
		}
		put(`null`)
		if got := errKey(name(pupil, "小明")); got != "device.list" {
			t.Errorf("%q", got)
		}
		long := strings.Repeat("明", nameMax)
		put(`[{"id":1,"name":"小明"},{"id":"2","name":"小红"},{"id":3},null,"小刚",7,["小刚"],{"NAME":"小刚","name":7},{"name":{"name":"小刚"}},{"name":"` + long + `x"},{"name":"` + long + `"}]`)
		for _, c := range []struct {
			app        App
			name, want string
		}{{staff, "小明", "device.student"}, {pupil, "小刚", "device.pupil"}, {pupil, "", "device.pupil"}, {pupil, "小明 ", "device.pupil"}, {pupil, long + "x", "device.pupil"}, {pupil, long, ""}, {pupil, "小红", ""}} {
			if got := errKey(name(c.app, c.name)); got != c.want {
				t.Errorf("%q: %q, want %q", c.name, got, c.want)
			}
		}
		if app, err := f.App(ctx, token); err != nil || app.Note != "小红" {
			t.Errorf("%+v, %v", app, err)
		}
	})
}

// Whatever a leaver's devices gave ends, and nobody inherits them.
func TestDevicesOfALeaver(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		f.hire("LiLei")
		mine, other := f.device(Owner{Person: "LiLei"}, "mine"), f.device(ada, "other")
		for _, d := range []Device{mine, other} {
			f.config(d, "secret", "", false)
		}
		token, app := f.app("mine", "secret")
		stays, _ := f.app("other", "secret")
		f.tx(func(tx *Tx) error { _, err := tx.PutValue(ctx, app, "k", "1"); return err })
		f.tx(func(tx *Tx) error { return tx.CutOff(ctx, "LiLei", bot.Left) })
		if _, err := f.App(ctx, token); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
		if _, err := f.App(ctx, stays); err != nil {
			t.Error(err)
		}
		if _, err := f.Device(ctx, Owner{Person: "LiLei"}, mine.ID); errKey(err) != "device.foreign" {
			t.Errorf("a newcomer's: %v", err)
		}
		if f.rows("kv") != 1 {
			t.Error("the values are gone")
		}
	})
}

// Of a change and a token made at the same moment, the token is of what the
// change left, or there is none.
func TestConfigChangesWhileTokensAreMade(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		d := f.device(ada, "class")
		c := f.config(d, "one", "teacher", false)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 10 {
					_, _, err := f.OpenNamespace(ctx, "class", "one", "x", Client{})
					if err != nil && !Transient(err) && errKey(err) != "device.refused" {
						t.Error(err)
					}
				}
			})
		}
		all.Go(func() {
			for i := range 10 {
				readOnly := i%2 == 0
				if _, err := f.ChangeConfig(ctx, ada, d.ID, c.ID, ConfigChange{ReadOnly: &readOnly}); err != nil {
					t.Error(err)
				}
			}
			if _, err := f.ChangeConfig(ctx, ada, d.ID, c.ID, ConfigChange{Password: new("two"), ReadOnly: new(true)}); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		list, err := f.Apps(ctx, d.ID)
		if err != nil || len(list) != 0 {
			t.Errorf("%d tokens of what was, %v", len(list), err)
		}
	})
}
