package wecom

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const (
	cdataOpen  = "<![CDATA["
	cdataClose = "]]>"
)

// piece is some of a value as it stands in the document: of UTF-8, and of the
// characters XML allows. Tags need no such check, they are made of few.
type piece struct {
	raw    []byte
	hasCR  bool // line ends to be made line feeds
	hasRef bool // maybe references to be resolved
}

// section reads a CDATA section.
func (s *scanner) section() (piece, error) {
	start := s.at + len(cdataOpen)
	if start > len(s.doc) || string(s.doc[s.at:start]) != cdataOpen {
		return piece{}, errConstruct // a comment, a DOCTYPE
	}
	rest := s.doc[start:]
	plain := plainRun(rest)
	n := plain + indexCDATAClose(rest[plain:])
	if n < plain {
		return piece{}, errSyntax
	}
	p := piece{raw: rest[:n]}
	if n > plain {
		var ok bool
		if p.hasCR, ok = checkCharacters(rest[plain:], n-plain); !ok {
			return piece{}, errSyntax
		}
	}
	s.at = start + n + len(cdataClose)
	return p, nil
}

// text reads character data up to the next tag.
func (s *scanner) text() (piece, error) {
	doc, end := s.doc, s.at
	for end < len(doc) && plainText[doc[end]] {
		end++
	}
	if end < len(doc) && doc[end] == '<' {
		p := piece{raw: doc[s.at:end]}
		s.at = end
		return p, nil
	}
	rest := doc[s.at:]
	n := bytes.IndexByte(rest, '<')
	if n < 0 || indexCDATAClose(rest[:n]) >= 0 {
		return piece{}, errSyntax
	}
	hasCR, ok := checkCharacters(rest, n)
	if !ok {
		return piece{}, errSyntax
	}
	s.at += n
	return piece{raw: rest[:n], hasCR: hasCR, hasRef: true}, nil
}

// plainText has the bytes that mean themselves, and nothing more, in text.
var plainText = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '<' && c != '&' && c != ']'
	}
	t['\t'], t['\n'] = true, true
	return t
}()

// indexCDATAClose is bytes.Index for "]]>", quick where there is no bracket.
func indexCDATAClose(b []byte) int {
	for at := 0; len(b)-at >= len(cdataClose); at++ {
		if b[at] != ']' {
			n := bytes.IndexByte(b[at:], ']')
			if at += n; n < 0 || len(b)-at < len(cdataClose) {
				return -1
			}
		}
		if b[at+1] == ']' && b[at+2] == '>' {
			return at
		}
	}
	return -1
}

// join appends a piece to s.joined as XML reads it.
func (s *scanner) join(p piece) error {
	if p.hasCR {
		p.raw = bytes.ReplaceAll(p.raw, []byte("\r\n"), []byte("\n"))
		p.raw = bytes.ReplaceAll(p.raw, []byte("\r"), []byte("\n"))
	}
	for p.hasRef {
		before, rest, more := bytes.Cut(p.raw, []byte("&"))
		if !more {
			break
		}
		name, after, ended := bytes.Cut(rest, []byte(";"))
		r, ok := reference(name)
		if !ended || !ok {
			return errSyntax
		}
		s.joined = utf8.AppendRune(append(s.joined, before...), r)
		p.raw = after
	}
	s.joined = append(s.joined, p.raw...)
	return nil
}

// reference resolves what stands between "&" and ";". Only XML's own five
// entities have a name: without a DOCTYPE there can be no others.
func reference(name []byte) (rune, bool) {
	switch string(name) {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "apos":
		return '\'', true
	case "quot":
		return '"', true
	}
	digits, isNumber := bytes.CutPrefix(name, []byte("#"))
	if !isNumber {
		return 0, false
	}
	digits, isHex := bytes.CutPrefix(digits, []byte("x"))
	base := rune(10)
	if isHex {
		base = 16
	}
	if len(digits) == 0 || len(digits) > 7 {
		return 0, false
	}
	var r rune
	for _, c := range digits {
		d, ok := digit(c)
		if !ok || d >= base {
			return 0, false
		}
		r = r*base + d
	}
	return r, legal(r)
}

func digit(c byte) (rune, bool) {
	switch {
	case isDigit(c):
		return rune(c - '0'), true
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10, true
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10, true
	}
	return 0, false
}

// checkCharacters reports whether the first n bytes of doc are UTF-8 of
// characters XML allows, and whether a carriage return, which XML reads as a line
// feed, is among them. It gets more of doc than it is asked about so that it can
// look at eight bytes at once up to the end: nearly always they are plain ASCII.
func checkCharacters(doc []byte, n int) (hasCR, ok bool) {
	for i := 0; ; {
		if i += plainASCII(doc[i:], n-i); i >= n {
			return hasCR, true
		}
		r, size := utf8.DecodeRune(doc[i:n])
		if r == utf8.RuneError && size == 1 || !legal(r) {
			return false, false
		}
		hasCR = hasCR || r == '\r'
		i += size
	}
}

// plainASCII counts the bytes from 0x20 to 0x7f among the first n of b up to one
// that is not.
func plainASCII(b []byte, n int) int {
	i := 0
	for ; i+32 <= n; i += 32 {
		p := b[i : i+32]
		if (unusual(p[0:])|unusual(p[8:])|unusual(p[16:])|unusual(p[24:]))&tops != 0 {
			break
		}
	}
	for ; i < n && len(b)-i >= 8; i += 8 {
		if u := unusual(b[i:]) & tops; u != 0 {
			return min(i+bits.TrailingZeros64(u)/8, n)
		}
	}
	for i < n && b[i] >= ' ' && b[i] < utf8.RuneSelf {
		i++
	}
	return min(i, n)
}

// unusual has the top bit set in the first of eight bytes that is not plain ASCII:
// below 0x20 it borrows, above 0x7f the bit is its own. A borrow may reach the
// bytes after the first; the other bits mean nothing.
func unusual(b []byte) uint64 {
	w := binary.LittleEndian.Uint64(b)
	return w - 0x20*ones | w
}

// In each of eight bytes.
const (
	ones = 0x0101010101010101
	tops = 0x80 * ones
)

// plainRun counts the plain ASCII without brackets that b begins with, but for the
// last few bytes of b. Most runs are a few words; longer ones take two quicker
// passes.
func plainRun(b []byte) int {
	i := 0
	for ; i < 32; i += 8 {
		if len(b)-i < 8 {
			return i
		}
		w := binary.LittleEndian.Uint64(b[i:])
		bracket := w ^ ']'*ones - ones // borrows where it is zero
		if u := (w - 0x20*ones | w | bracket) & tops; u != 0 {
			return i + bits.TrailingZeros64(u)/8
		}
	}
	n := bytes.IndexByte(b[i:], ']')
	if n < 0 {
		return i
	}
	return i + plainASCII(b[i:], n)
}

// legal says which characters XML 1.0 may contain.
func legal(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' ||
		r >= ' ' && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= utf8.MaxRune
}
