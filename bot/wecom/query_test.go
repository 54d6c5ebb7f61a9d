package wecom

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// The quick way through a query string takes what the careful one takes, and
// reads the same in it.
func TestUsualQueryIsAnyQuery(t *testing.T) {
	good := []byte("msg_signature=0123456789abcdef0123456789abcdef01234567&timestamp=1760000000&nonce=1372623149")
	var q parameters
	if !q.usual(good) {
		t.Fatal("WeCom's own query string is not the usual one")
	}
	rapid.Check(t, func(t *rapid.T) {
		raw := bytes.Clone(good)
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			at := rapid.IntRange(0, len(raw)-1).Draw(t, "at")
			piece := rapid.OneOf(
				rapid.SampledFrom([]string{"", "&", "=", "%30", "+", "&nonce=1", "&timestamp=1760000000", "F", "\x00", "é", "&x=1"}),
				rapid.StringN(0, 3, 8),
			).Draw(t, "piece")
			end := min(len(raw), at+rapid.IntRange(0, 3).Draw(t, "instead of"))
			raw = bytes.Join([][]byte{raw[:at], raw[end:]}, []byte(piece))
			if len(raw) == 0 {
				return
			}
		}
		var quick, careful parameters
		if !quick.usual(raw) {
			return
		}
		if !careful.any(raw, false) {
			t.Fatalf("only the quick way takes %q", raw)
		}
		if quick.signature != careful.signature || quick.sent != careful.sent ||
			!bytes.Equal(quick.timestamp, careful.timestamp) || !bytes.Equal(quick.nonce, careful.nonce) {
			t.Fatalf("%q: %+v is not %+v", raw, quick, careful)
		}
	})
}
