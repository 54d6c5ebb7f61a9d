package sim

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"
)

// attached is what a callback about something sent holds.
type attached struct{ MsgType, MsgId, MediaId, PicUrl, Format, FileName, ThumbMediaId string }

func (b *bench) attached() (a attached) {
	b.t.Helper()
	got := b.received()
	if err := xml.Unmarshal([]byte(got[len(got)-1].raw), &a); err != nil {
		b.t.Fatal(err)
	}
	return a
}

// fetch gets a medium as the app does; the answer to a refusal is its JSON.
func (b *bench) fetch(id string, headers ...string) (*http.Response, []byte, error) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.URL()+"/cgi-bin/media/get?access_token="+b.token+"&media_id="+id, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp, data, err
}

func TestPeopleSendMedia(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		kind, name, data string
		want             attached // without ids
		disposition      string   // ID stands for the media id
	}{
		{"image", "照片.png", "\x89PNG\r\n\x1a\n…", attached{}, `attachment; filename="ID.jpg"`},
		{"voice", "", "#!AMR\n", attached{Format: "amr"}, `attachment; filename="ID.amr"`},
		{"video", "v.mp4", "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00", attached{ThumbMediaId: "IDt"}, `attachment; filename="ID.mp4"`},
		{"file", `报价 "1".xlsx`, "PK", attached{FileName: `报价 "1".xlsx`}, `attachment; filename="报价 \"1\".xlsx"`},
	} {
		d := b.SendMedia("lilei", c.kind, c.name, []byte(c.data))
		got := b.attached()
		id := got.MediaId
		if !d.OK() || d.MsgID == "" || got.MsgId != d.MsgID || id == "" || (c.kind == "image") != (got.PicUrl != "") {
			t.Errorf("%s: %+v, %+v", c.kind, d, got)
		}
		got.MediaId, got.MsgId, got.PicUrl = "", "", ""
		c.want.MsgType, c.want.ThumbMediaId = c.kind, strings.ReplaceAll(c.want.ThumbMediaId, "ID", id)
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.kind, got, c.want)
		}
		resp, data, err := b.fetch(id)
		if err != nil || string(data) != c.data || resp.Header.Get("Content-Disposition") != strings.ReplaceAll(c.disposition, "ID", id) {
			t.Errorf("%s: %q, %v, %v", c.kind, data, resp.Header, err)
		}
	}
	if d := b.SendMedia("lilei", "link", "x", nil); d.OK() || d.Error == "" {
		t.Errorf("a link: %+v", d)
	}
	b.wantCode(b.get("media/get"), 41006)
	b.wantCode(b.get("media/get", "media_id", "made-up"), 40007)
	b.clean()
}

func TestSentMediaExpires(t *testing.T) {
	b := newBench(t)
	b.SendMedia("lilei", "file", "a.txt", []byte("first"))
	first := b.attached().MediaId
	b.ExpireMedia()
	b.SendMedia("lilei", "file", "b.txt", []byte("second"))
	second := b.attached().MediaId
	b.wantCode(b.get("media/get", "media_id", first), 40007)
	if _, data, err := b.fetch(second); err != nil || string(data) != "second" {
		t.Errorf("%q, %v", data, err)
	}
	b.pass(mediaLife)
	b.token = b.get("gettoken", "corpid", b.Config().CorpID, "corpsecret", b.Config().Secret)["access_token"].(string)
	b.wantCode(b.get("media/get", "media_id", second), 40007)
}

func TestMediaFaults(t *testing.T) {
	b := newBench(t)
	large := bytes.Repeat([]byte("0123456789abcdef"), 25<<20/16)
	b.SendMedia("lilei", "file", "large.bin", large)
	id := b.attached().MediaId
	b.wantCode(b.get("media/get", "media_id", id), 830002)
	if resp, data, err := b.fetch(id, "Range", "bytes=16-31"); err != nil || resp.StatusCode != 206 || string(data) != "0123456789abcdef" {
		t.Errorf("a part: %q, %v", data, err)
	}
	b.SendMedia("lilei", "file", "small.bin", large[:1<<20])
	id = b.attached().MediaId
	for outage, short := range map[Outage]bool{Refuse: false, Drop: false, Truncate: true} {
		b.SetFaults(Faults{Outage: outage})
		_, data, err := b.fetch(id)
		if err == nil || short != (len(data) > 0) || len(data) == 1<<20 {
			t.Errorf("%s: %d bytes, %v", outage, len(data), err)
		}
	}
	b.SetFaults(Faults{Errcode: map[string]Failure{"media/get": {Code: 45033, Times: 1}}})
	b.wantCode(b.get("media/get", "media_id", id), 45033)
	if _, data, err := b.fetch(id); err != nil || len(data) != 1<<20 {
		t.Errorf("repaired: %d bytes, %v", len(data), err)
	}
}

func TestPageSendsMedia(t *testing.T) {
	b := newBench(t)
	b.answers(func(in inbound) (int, string) { return 200, textReply(in, "got "+in.MsgType) })
	if status, a := b.page("POST", "/send?user=lilei&kind=file&name=%E6%8A%A5.svg", "<svg onload='alert(1)'/>"); status != 200 || a["reply"] != "got file" {
		t.Errorf("%d %v", status, a)
	}
	_, a := b.page("GET", "/inbox?user=lilei", "")
	line := a["items"].([]any)[0].(map[string]any)
	if line["via"] != "own" || line["type"] != "file" || line["file_name"] != "报.svg" {
		t.Errorf("%v", line)
	}
	resp, err := http.Get(b.URL() + "/media?id=" + line["media_id"].(string))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("a drawing with a script is served as %v", resp.Header)
	}
	for path, want := range map[string]int{"/send?user=nobody&kind=file&name=x": 404, "/send?user=lilei&kind=link&name=x": 200} {
		if status, a := b.page("POST", path, "x"); status != want || a["error"] == nil {
			t.Errorf("%s: %d %v", path, status, a)
		}
	}
	if status, _ := b.page("POST", "/send?user=lilei&kind=file&name=x", "x", "Origin", "https://evil.example"); status != 403 {
		t.Errorf("from another site: %d", status)
	}
}
