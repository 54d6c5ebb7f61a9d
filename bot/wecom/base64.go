package wecom

import "encoding/binary"

// decodeBase64 writes what src spells to dst and returns how much that is. Every
// value has one spelling only: a decoder that forgives line breaks, missing
// padding or stray bits in the last character lets others change a signed text
// without changing what it says. (The library's strict mode still skips line
// breaks.) dst must have three bytes for four of src.
func decodeBase64(dst, src []byte) (int, error) {
	if len(src) == 0 {
		return 0, nil
	}
	if len(src)%4 != 0 {
		return 0, errBase64
	}
	n, wrong := 0, uint32(0)
	for len(src) > 8 { // two at a time while what is written too much is written over later
		v, w := quad(src), quad(src[4:])
		wrong |= v | w
		binary.BigEndian.PutUint64(dst[n:], uint64(v)<<40|uint64(w)<<16)
		src, n = src[8:], n+6
	}
	if len(src) > 4 {
		v := quad(src)
		wrong |= v
		binary.BigEndian.PutUint32(dst[n:], v<<8)
		src, n = src[4:], n+3
	}
	end, size := [4]byte(src), 3
	for size > 1 && end[size] == '=' {
		end[size] = 'A'
		size--
	}
	v := quad(end[:])
	if (wrong|v)&notBase64 != 0 || v<<(8+8*size) != 0 {
		return 0, errBase64
	}
	for i := range size {
		dst[n+i] = byte(v >> (16 - 8*i))
	}
	return n + size, nil
}

const (
	base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	notBase64      = 1 << 31
)

// quad is the 24 bits of four characters, with notBase64 set if one is none.
func quad(s []byte) uint32 {
	_ = s[3]
	return sextets[0][s[0]] | sextets[1][s[1]] | sextets[2][s[2]] | sextets[3][s[3]]
}

// sextets has each character's six bits, already in place for each position.
var sextets = func() (t [4][256]uint32) {
	for at := range t {
		for c := range t[at] {
			t[at][c] = notBase64
		}
		for v, c := range []byte(base64Alphabet) {
			t[at][c] = uint32(v) << (18 - 6*at)
		}
	}
	return t
}()
