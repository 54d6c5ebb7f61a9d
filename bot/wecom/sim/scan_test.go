package sim

import (
	"bytes"
	"image/png"
	"strings"
	"testing"

	"github.com/pquerna/otp"
)

// What the library that draws the codes puts in is read out again, in every
// version there is room for.
func TestScan(t *testing.T) {
	for n := 1; n < 300; n += 7 {
		want := "otpauth://totp/x?a=" + strings.Repeat("Az%09/", n)[:n]
		key, err := otp.NewKeyFromURL(strings.ReplaceAll(want, "%", "-"))
		if err != nil {
			t.Fatal(err)
		}
		picture, err := key.Image(400, 400)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, picture); err != nil {
			t.Fatal(err)
		}
		if got, err := Scan(b.Bytes()); err != nil || got != key.String() {
			t.Fatalf("%d bytes: %q, %v", n, got, err)
		}
	}
	for _, picture := range [][]byte{nil, []byte("GIF89a")} {
		if _, err := Scan(picture); err == nil {
			t.Errorf("%q was read", picture)
		}
	}
}
