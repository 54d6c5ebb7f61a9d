package sim

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // the two formats WeCom takes
	_ "image/png"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// media is a temporary upload, or what somebody sent the app: any app of the
// corporation may fetch it, for three days (documents 90253, 90254).
type media struct {
	kind  string
	sent  bool // by a person
	file  file
	until time.Time
}

type file struct {
	name     string
	mimeType string
	data     []byte
}

// upload is the multipart body of media/upload.
type upload struct {
	file
	found bool // there was a part named media
}

const mediaLife = 3 * 24 * time.Hour

// mediaLimits are the most bytes per type; five and fewer are always too few.
var mediaLimits = map[string]int{"image": 10 << 20, "voice": 2 << 20, "video": 10 << 20, "file": 20 << 20}

func readUpload(r *http.Request) (*upload, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, fmt.Errorf("read upload: %w", err)
	}
	u := new(upload)
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return u, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read upload: %w", err)
		}
		if part.FormName() != "media" || u.found {
			continue
		}
		u.found, u.name, u.mimeType = true, part.FileName(), part.Header.Get("Content-Type")
		if u.data, err = io.ReadAll(part); err != nil {
			return nil, fmt.Errorf("read upload: %w", err)
		}
	}
}

func (s *Sim) mediaUpload(c *call) (answer, *refusal) {
	kind := c.query["type"]
	limit, ok := mediaLimits[kind]
	switch {
	case !ok:
		return nil, refuse(40005, "image, voice, video or file")
	case c.form == nil || !c.form.found:
		s.problem("media/upload: no form field named media")
		return nil, refuse(44001, "form field media")
	case c.form.name == "":
		return nil, refuse(40058, "filename")
	case len(c.form.data) == 0:
		return nil, refuse(44001, "")
	case len(c.form.data) <= 5:
		return nil, refuse(40006, "")
	case len(c.form.data) > limit:
		return nil, refuse(45001, "at most %d bytes", limit)
	case !c.form.is(kind):
		return nil, refuse(40004, "not the content of a %s", kind)
	}
	id := fmt.Sprintf("3m%d%s", s.next(), kind)
	s.media[id] = media{kind: kind, file: c.form.file, until: c.now.Add(mediaLife)}
	c.note = c.form.name
	return answer{"errmsg": "", "type": kind, "media_id": id, "created_at": strconv.FormatInt(c.now.Unix(), 10)}, nil
}

// is reports whether the content is of the kind, whatever its name says.
func (f *file) is(kind string) bool {
	switch kind {
	case "image":
		_, _, err := image.DecodeConfig(bytes.NewReader(f.data))
		f.mimeType = http.DetectContentType(f.data)
		return err == nil
	case "voice":
		return bytes.HasPrefix(f.data, []byte("#!AMR"))
	case "video":
		return http.DetectContentType(f.data) == "video/mp4"
	}
	return true
}

func (s *Sim) mediaGet(c *call) (answer, *refusal) {
	id := c.query["media_id"]
	if id == "" {
		return nil, refuse(41006, "")
	}
	m, ok := s.media[id]
	if !ok || !c.now.Before(m.until) {
		return nil, refuse(40007, "")
	}
	if len(m.file.data) > largestAnswer && !c.ranged {
		return nil, refuse(830002, "")
	}
	c.note = m.kind
	c.raw = &m.file
	return nil, nil
}

// Media returns what the app uploaded under an id.
func (s *Sim) Media(id string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.media[id]
	return m.file.data, ok
}

func serveFile(w http.ResponseWriter, r *http.Request, f *file) {
	fileHeaders(w, f)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.data))
}

// fileHeaders writes the name as it is, of whatever alphabet, as WeCom does.
func fileHeaders(w http.ResponseWriter, f *file) {
	if f.mimeType != "" {
		w.Header().Set("Content-Type", f.mimeType)
	}
	w.Header().Set("Content-Disposition", `attachment; filename="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(f.name)+`"`)
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
