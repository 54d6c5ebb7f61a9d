package sim

import (
	"bytes"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

func TestToken(t *testing.T) {
	b := newBench(t)
	corp, secret := b.Config().CorpID, b.Config().Secret
	b.wantCode(b.get("gettoken", "corpid", corp, "corpsecret", "wrong"), 40001)
	b.wantCode(b.get("gettoken", "corpid", "ww1", "corpsecret", secret), 40013)
	b.wantCode(b.get("gettoken", "corpid", "", "corpsecret", secret), 41002)
	b.wantCode(b.get("gettoken", "corpid", corp, "corpsecret", ""), 41004)
	b.pass(time.Hour)
	again := b.get("gettoken", "corpid", corp, "corpsecret", secret)
	if again["access_token"] != b.token || again["expires_in"] != 3600.0 {
		t.Errorf("an hour later %v", again)
	}
	b.wantCode(b.get("agent/get", "access_token", "", "agentid", "1000002"), 41001)
	b.wantCode(b.get("agent/get", "access_token", "wrong", "agentid", "1000002"), 40014)
	b.pass(time.Hour)
	b.wantCode(b.get("agent/get", "agentid", "1000002"), 42001)
	b.token = b.get("gettoken", "corpid", corp, "corpsecret", secret)["access_token"].(string)
	b.wantCode(b.get("agent/get", "agentid", "1000002"), 0)
	b.ExpireTokens()
	b.wantCode(b.get("agent/get", "agentid", "1000002"), 42001)
	if n := b.Calls("gettoken"); n != 7 {
		t.Errorf("%d calls of gettoken", n)
	}
	b.clean()
}

func TestDirectory(t *testing.T) {
	b := newBench(t)
	a := b.get("user/get", "userid", "lilei")
	if a["userid"] != "LiLei" || a["name"] != "李雷" || a["status"] != 1.0 || a["mobile"] != nil {
		t.Errorf("user/get %v", a)
	}
	if a := b.get("user/get", "userid", "gone"); a["status"] != 5.0 {
		t.Errorf("status of who left: %v", a)
	}
	b.wantCode(b.get("user/get", "userid", "nobody"), 60111)
	b.wantCode(b.get("user/get", "userid", "far"), 60011)
	b.wantCode(b.get("user/get"), 41009)
	b.wantCode(b.get("user/simplelist", "department_id", "9"), 60003)
	b.wantCode(b.get("department/simplelist", "id", "9"), 60003)
	b.wantCode(b.get("tag/get", "tagid", "8"), 40068)
	b.wantCode(b.get("agent/get"), 41011)
	b.wantCode(b.get("agent/get", "agentid", "5"), 301002)
	count := func(a map[string]any, key string) int { return len(a[key].([]any)) }
	for name, n := range map[string]int{
		"all departments":    count(b.get("department/simplelist"), "department_id") - 3,
		"below the second":   count(b.get("department/list", "id", "2"), "department") - 2,
		"people of second":   count(b.get("user/simplelist", "department_id", "2"), "userlist") - 1,
		"people of the root": count(b.get("user/simplelist", "department_id", "1"), "userlist") - 2,
		"tagged":             count(b.get("tag/get", "tagid", "7"), "userlist") - 1,
		"tags":               count(b.get("tag/list"), "taglist") - 1,
	} {
		if n != 0 {
			t.Errorf("%s: %+d", name, n)
		}
	}
	b.SetPerson(Person{ID: "lilei", Name: "Li Lei", Status: StatusDisabled})
	if a := b.get("user/get", "userid", "lilei"); a["status"] != 2.0 {
		t.Errorf("disabled: %v", a)
	}
	b.RemovePerson("LILEI")
	b.wantCode(b.get("user/get", "userid", "lilei"), 60111)
	b.clean()
}

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	b := newBench(t)
	resp, err := http.Get(b.URL() + "/cgi-bin/user/create")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	b.wantCode(b.get("message/send"), 40058)
	if resp.StatusCode != http.StatusNotFound || len(b.Problems()) != 2 {
		t.Errorf("status %d, problems %q", resp.StatusCode, b.Problems())
	}
}

// upload posts a file as media of a kind.
func (b *bench) upload(kind, field, name string, data []byte) map[string]any {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="` + field + `"; filename="` + name + `"`},
		"Content-Type":        {"application/octet-stream"},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := part.Write(data); err != nil {
		b.t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		b.t.Fatal(err)
	}
	return b.call(http.MethodPost, "media/upload", &body, form.FormDataContentType(), "type", kind)
}

func TestMedia(t *testing.T) {
	b := newBench(t)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	a := b.upload("image", "media", "二维码.png", picture.Bytes())
	b.wantCode(a, 0)
	id, _ := a["media_id"].(string)
	if _, isText := a["created_at"].(string); !isText || a["type"] != "image" {
		t.Errorf("answer %v", a)
	}
	b.wantCode(b.post("message/send", b.text("lilei", "", "msgtype", "image", "image", map[string]any{"media_id": id}, "safe", 1)), 0)
	if got := b.Inbox("lilei")[0]; got.MediaID != id || !got.Safe {
		t.Errorf("received %+v", got)
	}
	if data, ok := b.Media(id); !ok || !bytes.Equal(data, picture.Bytes()) {
		t.Error("the media is not what was uploaded")
	}
	b.clean()

	b.wantCode(b.upload("poster", "media", "a.png", picture.Bytes()), 40005)
	b.wantCode(b.upload("image", "media", "a.png", nil), 44001)
	b.wantCode(b.upload("image", "media", "a.png", []byte("short")), 40006)
	b.wantCode(b.upload("image", "media", "a.png", []byte("not a picture")), 40004)
	b.wantCode(b.upload("voice", "media", "a.amr", picture.Bytes()), 40004)
	b.wantCode(b.upload("voice", "media", "a.amr", make([]byte, 2<<20+1)), 45001)
	b.wantCode(b.upload("image", "file", "a.png", picture.Bytes()), 44001)
	b.wantCode(b.post("message/send", b.text("lilei", "", "msgtype", "file", "file", map[string]any{"media_id": id})), 40007)

	fetch := func() (string, []byte) {
		resp, err := http.Get(b.URL() + "/cgi-bin/media/get?access_token=" + b.token + "&media_id=" + id)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Header.Get("Content-Type"), data
	}
	if kind, data := fetch(); kind != "image/png" || !bytes.Equal(data, picture.Bytes()) {
		t.Errorf("media/get: %s, %d bytes", kind, len(data))
	}
	b.pass(3 * 24 * time.Hour)
	b.token = b.get("gettoken", "corpid", b.Config().CorpID, "corpsecret", b.Config().Secret)["access_token"].(string)
	if _, data := fetch(); !strings.Contains(string(data), "40007") {
		t.Errorf("three days later: %.60s", data)
	}
}

func TestMenu(t *testing.T) {
	b := newBench(t)
	entry := func(m ...any) map[string]any { return map[string]any{"button": m} }
	click := map[string]any{"type": "click", "name": "帮助", "key": "/help"}
	b.wantCode(b.get("menu/get", "agentid", "1000002"), 46003)
	for name, body := range map[string]any{
		"none":        entry(),
		"four":        entry(click, click, click, click),
		"long name":   entry(map[string]any{"type": "click", "name": "一二三四五六", "key": "k"}),
		"no key":      entry(map[string]any{"type": "click", "name": "a"}),
		"no url":      entry(map[string]any{"type": "view", "name": "a", "url": "/x"}),
		"no type":     entry(map[string]any{"name": "a", "key": "k"}),
		"six below":   entry(map[string]any{"name": "a", "sub_button": []any{click, click, click, click, click, click}}),
		"two storeys": entry(map[string]any{"name": "a", "sub_button": []any{map[string]any{"name": "b", "sub_button": []any{click}}}}),
	} {
		if a := b.post("menu/create", body, "agentid", "1000002"); code(a) != 40058 {
			t.Errorf("%s: %v", name, a)
		}
	}
	b.wantCode(b.post("menu/create", entry(click, map[string]any{"name": "状态", "sub_button": []any{click}}), "agentid", "1000002"), 0)
	if m := b.Menu(); len(m) != 2 || m[1].Sub[0].Key != "/help" {
		t.Errorf("menu %+v", m)
	}
	b.wantCode(b.get("menu/get", "agentid", "1000002"), 0)
	b.wantCode(b.get("menu/delete", "agentid", "1000002"), 0)
	b.wantCode(b.get("menu/get", "agentid", "1000002"), 46003)
	b.clean()
}
