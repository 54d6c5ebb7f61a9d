package sim

import (
	"bytes"
	"errors"
	"fmt"
	"image"
)

// Scan reads a QR code as the camera of a person's authenticator does, from a
// picture without noise: a model 2 symbol up to version 13, error correction
// level M, holding bytes. It mends nothing: a wrong bit is a wrong answer.
func Scan(picture []byte) (string, error) {
	img, _, err := image.Decode(bytes.NewReader(picture))
	if err != nil {
		return "", fmt.Errorf("scan: %w", err)
	}
	q, err := findSymbol(img)
	if err != nil {
		return "", fmt.Errorf("scan: %w", err)
	}
	return q.text()
}

// symbol is the modules of a QR code, true for dark ones.
type symbol struct {
	version int
	dark    [][]bool
}

// findSymbol measures where the symbol is and how large a module: three of its
// corners are dark, and its first seven modules are.
func findSymbol(img image.Image) (*symbol, error) {
	dark := func(x, y int) bool {
		r, g, b, _ := img.At(x, y).RGBA()
		return r+g+b < 3*0x8000
	}
	var box image.Rectangle
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y++ {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x++ {
			if dark(x, y) {
				box = box.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	run := 0
	for run < box.Dx() && dark(box.Min.X+run, box.Min.Y) {
		run++
	}
	if run < 7 || run%7 != 0 || box.Dx() != box.Dy() || box.Dx()%(run/7) != 0 {
		return nil, errors.New("no QR code")
	}
	module := run / 7
	n := box.Dx() / module
	q := &symbol{version: (n - 17) / 4, dark: make([][]bool, n)}
	if (n-17)%4 != 0 || q.version < 1 || q.version > len(blocksM) {
		return nil, fmt.Errorf("a QR code of %d modules", n)
	}
	for y := range q.dark {
		q.dark[y] = make([]bool, n)
		for x := range q.dark[y] {
			q.dark[y][x] = dark(box.Min.X+x*module+module/2, box.Min.Y+y*module+module/2)
		}
	}
	return q, nil
}

// blocksM says, by version, how many blocks of how many data bytes level M has:
// the short ones, then the ones a byte longer.
var blocksM = [...]struct{ short, size, long int }{
	{1, 16, 0}, {1, 28, 0}, {1, 44, 0}, {2, 32, 0}, {2, 43, 0}, {4, 27, 0}, {4, 31, 0},
	{2, 38, 2}, {3, 36, 2}, {4, 43, 1}, {1, 50, 4}, {6, 36, 2}, {8, 37, 1},
}

// text undoes what made the symbol, last step first.
func (q *symbol) text() (string, error) {
	level, mask := q.format()
	if level != 0 {
		return "", fmt.Errorf("scan: error correction level %02b, want M", level)
	}
	data := join(q.bytes(mask), q.version)
	bits := bitReader{data: data}
	if mode := bits.take(4); mode != 4 {
		return "", fmt.Errorf("scan: mode %04b, want bytes", mode)
	}
	width := 8
	if q.version > 9 {
		width = 16
	}
	out := make([]byte, bits.take(width))
	if (4+width)/8+len(out) >= len(data) {
		return "", errors.New("scan: longer than the symbol")
	}
	for i := range out {
		out[i] = byte(bits.take(8))
	}
	return string(out), nil
}

// format reads the level and the mask beside the upper left corner.
func (q *symbol) format() (level, mask int) {
	bits := 0
	for _, x := range []int{0, 1, 2, 3, 4} { // the five that matter of fifteen
		bits <<= 1
		if q.dark[8][x] {
			bits |= 1
		}
	}
	bits ^= 0b10101
	return bits >> 3, bits & 7
}

// bytes walks the symbol in columns of two, up and down, from the lower right.
func (q *symbol) bytes(mask int) (out []byte) {
	n, up, count, current := len(q.dark), true, 0, byte(0)
	for right := n - 1; right > 0; right -= 2 {
		if right == 6 { // the timing pattern takes a column of its own
			right--
		}
		for i := range n {
			y := i
			if up {
				y = n - 1 - i
			}
			for _, x := range []int{right, right - 1} {
				if q.fixed(x, y) {
					continue
				}
				current <<= 1
				if q.dark[y][x] != masked(mask, x, y) {
					current |= 1
				}
				if count++; count%8 == 0 {
					out = append(out, current)
				}
			}
		}
		up = !up
	}
	return out
}

// fixed reports whether a module belongs to the patterns that carry no data.
func (q *symbol) fixed(x, y int) bool {
	n := len(q.dark)
	switch {
	case x < 9 && y < 9, x < 9 && y >= n-8, x >= n-8 && y < 9: // corners and format
		return true
	case x == 6 || y == 6:
		return true
	case q.version >= 7 && (x < 6 && y >= n-11 || y < 6 && x >= n-11): // version
		return true
	case q.version == 1:
		return false
	}
	centres := []int{6, 4*q.version + 10}
	if q.version >= 7 {
		centres = []int{6, 2*q.version + 8, 4*q.version + 10}
	}
	last := len(centres) - 1
	for i, cx := range centres {
		for j, cy := range centres {
			if i == 0 && j == 0 || i == 0 && j == last || i == last && j == 0 {
				continue // a corner is there already
			}
			if abs(x-cx) <= 2 && abs(y-cy) <= 2 {
				return true
			}
		}
	}
	return false
}

func abs(n int) int { return max(n, -n) }

func masked(mask, x, y int) bool {
	switch mask {
	case 0:
		return (x+y)%2 == 0
	case 1:
		return y%2 == 0
	case 2:
		return x%3 == 0
	case 3:
		return (x+y)%3 == 0
	case 4:
		return (x/3+y/2)%2 == 0
	case 5:
		return x*y%2+x*y%3 == 0
	case 6:
		return (x*y%2+x*y%3)%2 == 0
	}
	return ((x+y)%2+x*y%3)%2 == 0
}

// join puts the data of the blocks, a byte of each in turn, back in line.
func join(all []byte, version int) (out []byte) {
	b := blocksM[version-1]
	blocks := make([][]byte, b.short+b.long)
	for i := range b.size + 1 {
		for k := range blocks {
			if i == b.size && k < b.short {
				continue
			}
			blocks[k] = append(blocks[k], all[0])
			all = all[1:]
		}
	}
	for _, block := range blocks {
		out = append(out, block...)
	}
	return out
}

type bitReader struct {
	data []byte
	at   int
}

func (r *bitReader) take(n int) (v int) {
	for range n {
		v = v<<1 | int(r.data[r.at/8]>>(7-r.at%8)&1)
		r.at++
	}
	return v
}
