package wecom

import (
	"bytes"
	"errors"
)

// Limits of a document. WeCom's deepest one (an approval) has 7 levels, its
// widest (a directory change) some 25 fields.
const (
	maxDepth  = 8 // the root is level 1
	maxFields = 64
)

// Both mean refusal. They are told apart because a body that is not XML may be
// called so to the caller's face, and one that plays tricks may not.
var (
	errSyntax    = errors.New("xml syntax")
	errConstruct = errors.New("xml construct")
)

// scanner walks <xml> and its children in order, once. It never searches for a
// name, so nothing inside a field can pose as another one.
//
// It reads less than XML: elements, text, CDATA, the five entities and numeric
// references. Declarations, DOCTYPE, comments, processing instructions,
// attributes and prefixed names are refused, as WeCom sends none of them and
// each has been a way to make two parsers disagree. What it does read, it reads
// like encoding/xml.
type scanner struct {
	doc    []byte
	at     int
	joined []byte   // values that are not one piece of doc
	names  [][]byte // fields outside the table, to refuse the second one
	seen   uint16   // fields of the table
	likely field    // not seen yet, and usually the next one
	fields fields
}

// scan reads a whole document into s.fields. Values are slices of the document
// where they can be.
func (s *scanner) scan(doc []byte) error {
	s.doc, s.at = doc, skipSpace(doc, 0)
	name, empty, err := s.open()
	if err != nil {
		return err
	}
	if string(name) != "xml" {
		return errSyntax
	}
	for !empty {
		s.at = skipSpace(doc, s.at)
		if s.next() == closing {
			if err := s.close(name); err != nil {
				return err
			}
			break
		}
		if s.plain() {
			continue
		}
		if err := s.child(); err != nil {
			return err
		}
	}
	if skipSpace(doc, s.at) != len(doc) {
		return errSyntax
	}
	return nil
}

// has reports whether the field was there, if only as an empty one.
func (s *scanner) has(f field) bool { return s.seen&(1<<f) != 0 }

// plain reads a child of the root that is as nearly all are: in the table, the
// first of its name, and one run of plain ASCII. It reads nothing of any other,
// which is child's. Both would read the same; this one never puts the position
// down on the way, and looks first for the field that usually comes next.
func (s *scanner) plain() bool {
	doc, f := s.doc[s.at:], s.likely
	if f == otherField || !startsWith(doc, tags[f].open) {
		n := bytes.IndexByte(doc, '>')
		if n < 1 || doc[0] != '<' {
			return false
		}
		if f = fieldNamed(doc[1:n]); f == otherField {
			return false
		}
	}
	if s.has(f) {
		return false
	}
	rest := doc[len(tags[f].open):]
	value, n := rest, 0
	if startsWith(rest, cdataOpen) {
		value = rest[len(cdataOpen):]
		n = plainRun(value)
		if !startsWith(value[n:], cdataClose) {
			return false
		}
		rest = value[n+len(cdataClose):]
	} else {
		for n < len(value) && plainText[value[n]] {
			n++
		}
		rest = value[n:]
	}
	if !startsWith(rest, tags[f].close) {
		return false
	}
	s.seen |= 1 << f
	s.fields[f] = value[:n]
	s.at = len(s.doc) - len(rest) + len(tags[f].close)
	for s.likely = f + 1; s.likely != otherField && s.has(s.likely); s.likely++ {
	}
	return true
}

// startsWith is bytes.HasPrefix without its call when the prefix is a constant.
func startsWith(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// child reads one child of the root.
func (s *scanner) child() error {
	name, empty, err := s.open()
	if err != nil {
		return err
	}
	f := fieldNamed(name)
	if f == otherField {
		if err = s.once(name); err == nil && !empty {
			_, err = s.value(name, 2, false)
		}
		return err
	}
	if s.has(f) {
		return errConstruct
	}
	s.seen |= 1 << f
	if !empty {
		s.fields[f], err = s.value(name, 2, true)
	}
	return err
}

// once refuses the second field of a name, also when nobody reads it.
func (s *scanner) once(name []byte) error {
	if len(s.names) == maxFields {
		return errConstruct
	}
	for _, n := range s.names {
		if bytes.Equal(n, name) {
			return errConstruct
		}
	}
	s.names = append(s.names, name)
	return nil
}

// value reads what is in the element just opened and its closing tag. Text and
// CDATA that follow each other are one value: that is how "]]>" is written. A
// field somebody reads is text only; elsewhere there may be elements, and what
// is said in them is checked and dropped.
func (s *scanner) value(name []byte, depth int, read bool) (value []byte, err error) {
	start, whole := len(s.joined), true // whole: value is one piece of doc, so far
	for first := true; ; first = false {
		var p piece
		switch s.next() {
		case closing:
			return value, s.close(name)
		case opening:
			if read {
				return nil, errConstruct
			}
			if err := s.skip(depth + 1); err != nil {
				return nil, err
			}
			continue
		case section:
			p, err = s.section()
		case text:
			p, err = s.text()
		}
		if err != nil {
			return nil, err
		}
		if first && !p.hasCR && !p.hasRef {
			value = p.raw
			continue
		}
		if whole {
			s.joined, whole = append(s.joined, value...), false
		}
		if err := s.join(p); err != nil {
			return nil, err
		}
		value = s.joined[start:]
		if !read {
			s.joined, value, whole = s.joined[:start], nil, true
		}
	}
}

// skip reads an element nobody wants.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return errConstruct
	}
	name, empty, err := s.open()
	if err == nil && !empty {
		_, err = s.value(name, depth, false)
	}
	return err
}

// What may come next, judged by two characters.
type token uint8

const (
	text    token = iota
	closing       // </
	section       // <!: CDATA, or what section will refuse
	opening       // <: a tag, or what open will refuse
)

func (s *scanner) next() token {
	doc, i := s.doc, s.at
	switch {
	case i == len(doc) || doc[i] != '<':
		return text
	case i+1 == len(doc):
		return opening
	case doc[i+1] == '/':
		return closing
	case doc[i+1] == '!':
		return section
	}
	return opening
}

// close reads the closing tag of name.
func (s *scanner) close(name []byte) error {
	start := s.at + len("</")
	end := start + len(name)
	if end >= len(s.doc) || s.doc[end] != '>' || string(s.doc[start:end]) != string(name) {
		return errSyntax
	}
	s.at = end + 1
	return nil
}

// open reads an opening tag; empty if it was of the kind that closes itself.
func (s *scanner) open() (name []byte, empty bool, err error) {
	doc, start := s.doc, s.at+1
	if start >= len(doc) || doc[s.at] != '<' {
		return nil, false, errSyntax
	}
	end := start
	for end < len(doc) && nameByte[doc[end]] {
		end++
	}
	if end == len(doc) {
		return nil, false, errSyntax
	}
	if c := doc[start]; !isLetter(c) && c != '_' {
		return nil, false, errConstruct // "<!", "<?", a prefix, or a name in another script
	}
	name = doc[start:end]
	if doc[end] == '/' && end+1 < len(doc) {
		end, empty = end+1, true
	}
	if doc[end] != '>' {
		return nil, false, errConstruct // an attribute or a prefix
	}
	s.at = end + 1
	return name, empty, nil
}

var nameByte = func() (t [256]bool) {
	for c := range len(t) {
		t[c] = isDigit(byte(c)) || isLetter(byte(c)) || c == '_' || c == '-' || c == '.'
	}
	return t
}()

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}
