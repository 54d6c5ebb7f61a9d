package wecom

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"deskbell/bot"
)

// Whom the app is visible to: by name, by department with all below it, and by
// tag, which may name departments too. Each once.
func TestVisible(t *testing.T) {
	of := func(param string, answers map[string]string) func(*http.Request) string {
		return func(r *http.Request) string { return answers[r.URL.Query().Get(param)] }
	}
	f, c := cliStart(t, nil, map[string]func(*http.Request) string{
		"agent/get": cliSays(`{"errcode":0,"allow_userinfos":{"user":[{"userid":"LiLei"},{"userid":"boss"}]},"allow_partys":{"partyid":[2]},"allow_tags":{"tagid":[7]}}`),
		"tag/get":   of("tagid", map[string]string{"7": `{"errcode":0,"userlist":[{"userid":"lilei","name":"x"},{"userid":"eve"}],"partylist":[3]}`}),
		"department/simplelist": of("id", map[string]string{
			"2": `{"errcode":0,"department_id":[{"id":2},{"id":3}]}`, "3": `{"errcode":0,"department_id":[{"id":3}]}`,
		}),
		"user/simplelist": of("department_id", map[string]string{
			"2": `{"errcode":0,"userlist":[{"userid":"ann"},{"userid":"corp/outsider"}]}`, "3": `{"errcode":0,"userlist":[{"userid":"BOSS"},{"userid":"zoe"}]}`,
		}),
	})
	got, err := c.Visible(t.Context())
	if err != nil || !slices.Equal(got, []string{"LiLei", "ann", "boss", "eve", "zoe"}) {
		t.Errorf("%q, %v", got, err)
	}
	if f.calls["user/simplelist"] != 2 { // a department is asked about once
		t.Errorf("asked %v", f.calls)
	}
	_, c = cliStart(t, nil, map[string]func(*http.Request) string{"agent/get": cliFails(60020)})
	if _, err := c.Visible(t.Context()); err == nil {
		t.Error("a refusal was taken for nobody")
	} else if e, ok := errors.AsType[*bot.Error](err); !ok || e.Kind == bot.NotFound {
		t.Errorf("%v", err)
	}
}
