package bot

import (
	"context"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MediaKind is what sort of thing somebody sent, as WeCom names it.
type MediaKind string

// The kinds. NoMedia is a message in words.
const (
	NoMedia MediaKind = ""
	Image   MediaKind = "image"
	Voice   MediaKind = "voice"
	Video   MediaKind = "video"
	File    MediaKind = "file"
)

// Media is what came with a message instead of words. WeCom keeps it under its
// ID for three days.
type Media struct {
	Kind   MediaKind `json:",omitzero"`
	ID     string    `json:",omitzero"` // WeCom's media_id
	Name   string    `json:",omitzero"` // as FileName leaves it; WeCom gives one with some files
	Format string    `json:",omitzero"` // of a voice: amr, speex
}

// Download is what is behind a Media, on its way. Whoever has it reads Body to
// its end and closes it.
type Download struct {
	Name string // as FileName leaves it, "" when WeCom gives none
	Size int64  // -1 when WeCom does not say
	Body io.ReadCloser
}

// Fetcher gets what people sent. limit is how many bytes are wanted at most:
// anything larger is refused, before it has been read if that can be known. An
// error of kind Unavailable or Limited, of Fetch or of reading the Body, is worth
// another try; any other is final.
type Fetcher interface {
	Fetch(ctx context.Context, mediaID string, limit int64) (Download, error)
}

// maxFileName is what every file system and every header takes, in bytes.
const maxFileName = 120

// FileName makes a name that is safe to show and to save under of one that
// somebody else chose: no folders, no characters that cannot be seen or that turn
// the writing round, none that a file system or a header takes for its own, at
// most 120 bytes and still with its extension. It is "" when nothing is left.
func FileName(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return -1
		case unicode.IsSpace(r) && !unicode.IsControl(r):
			return ' '
		case !unicode.IsPrint(r): // controls, bidi marks, zero-width and private characters
			return -1
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		}
		return r
	}, name)
	name = strings.Trim(name, ". ")
	if len(name) <= maxFileName {
		return name
	}
	ext := extension(name)
	base := name[:len(name)-len(ext)]
	cut := min(len(base), maxFileName-len(ext))
	for cut > 0 && !utf8.RuneStart(base[cut]) {
		cut--
	}
	return strings.TrimRight(base[:cut], ". ") + ext
}

// extension is what a name ends in when that says what the file is: a dot and a
// few letters or digits.
func extension(name string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || len(name)-dot > 12 {
		return ""
	}
	for _, c := range name[dot+1:] {
		if c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return ""
		}
	}
	return name[dot:]
}
