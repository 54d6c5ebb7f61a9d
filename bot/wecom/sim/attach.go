package sim

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxSent is the most the chat page may send.
const maxSent = 100 << 20

// largestAnswer is the most media/get hands out at once; above it wants a Range.
const largestAnswer = 20 << 20

// endings are what WeCom's own names of media end in.
var endings = map[string]string{"image": ".jpg", "voice": ".amr", "video": ".mp4"}

// SendMedia sends the app an "image", a "voice", a "video" or a "file". Nobody looks
// at what is in it. The app may fetch it for three days.
func (s *Sim) SendMedia(from, kind, name string, data []byte) Delivery {
	if _, ok := mediaLimits[kind]; !ok {
		return Delivery{User: from, kind: kind, Error: fmt.Sprintf("nobody can send a %q", kind)}
	}
	s.mu.Lock()
	id := fmt.Sprintf("3p%d%s", s.next(), kind)
	shown := name
	if kind != "file" { // phones send no names of these
		name = id + endings[kind]
	}
	sent := file{name: name, mimeType: "application/octet-stream", data: bytes.Clone(data)}
	if t := http.DetectContentType(data); strings.HasPrefix(t, "image/") || strings.HasPrefix(t, "video/") {
		sent.mimeType = t
	}
	s.media[id] = media{kind: kind, sent: true, file: sent, until: s.conf.Now().Add(mediaLife)}
	if m := s.people[canonical(from)]; m != nil {
		s.show(m, Received{Via: Own, Type: kind, MediaID: id, FileName: shown})
	}
	s.mu.Unlock()
	var fields []string
	switch kind {
	case "image":
		fields = []string{tag("PicUrl", s.URL()+"/media?id="+id), tag("MediaId", id)}
	case "voice":
		fields = []string{tag("MediaId", id), tag("Format", "amr")}
	case "video":
		fields = []string{tag("MediaId", id), tag("ThumbMediaId", id+"t")}
	default:
		fields = []string{tag("MediaId", id), tag("FileName", name)}
	}
	msgID := strconv.FormatInt(s.next(), 10)
	inner := s.inner(from, kind, append(fields, "<MsgId>"+msgID+"</MsgId>")...)
	return s.callback(Delivery{User: from, MsgID: msgID, kind: kind, inner: inner})
}

// ExpireMedia lets the three days pass for everything people have sent.
func (s *Sim) ExpireMedia() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, m := range s.media {
		if m.sent {
			m.until = time.Time{}
			s.media[id] = m
		}
	}
}

// postMedia is SendMedia for the page: the bytes are the body.
func (s *Sim) postMedia(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if _, ok := s.Person(q.Get("user")); !ok {
		pageError(w, http.StatusNotFound, fmt.Errorf("user: nobody is called %q", q.Get("user")))
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSent))
	if err != nil {
		pageError(w, http.StatusRequestEntityTooLarge, fmt.Errorf("at most %d MB", maxSent>>20))
		return
	}
	writeJSON(w, s.SendMedia(q.Get("user"), q.Get("kind"), q.Get("name"), data))
}

// sendFile answers a call with a file, unless the answer is to be spoilt.
func (s *Sim) sendFile(w http.ResponseWriter, r *http.Request, f Faults, file *file) {
	switch f.Outage {
	case Drop:
		cut(w)
	case Truncate:
		fileHeaders(w, file)
		w.Header().Set("Content-Length", strconv.Itoa(len(file.data)))
		_, _ = w.Write(file.data[:len(file.data)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		serveFile(w, r, file)
	}
}
