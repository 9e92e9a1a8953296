package envelope

import (
	"bytes"
	"testing"
)

func TestPaddedLen(t *testing.T) {
	for _, c := range []struct{ n, want int }{
		{0, 256}, {64, 256}, {129, 256}, {138, 256}, {255, 256},
		{256, 512}, {511, 512}, {512, 1024}, {1217, 2048}, {2047, 2048}, {2048, 4096}, {4095, 4096},
		{4096, 4352}, {65535, 65536}, {65536, 67584}, {1_000_000, 1_015_808},
	} {
		if got := paddedLen(c.n); got != c.want {
			t.Errorf("paddedLen(%d) = %d, want %d", c.n, got, c.want)
		}
	}
	for n, last := 0, 0; n <= MaxContent+1; n++ {
		p := paddedLen(n)
		if p <= n || p < last || n > 4096 && float64(p) > 1.07*float64(n) {
			t.Fatalf("paddedLen(%d) = %d after %d", n, p, last)
		}
		last = p
	}
}

func TestPadUnpad(t *testing.T) {
	for _, n := range []int{0, 1, 64, 255, 256, 4095, 4096, 5000, MaxContent} {
		content := bytes.Repeat([]byte{0x80}, n)
		p := bytes.Repeat([]byte{0xff}, paddedLen(n))
		pad(p, copy(p, content))
		if got := unpad(p); got != n {
			t.Errorf("unpad of %d bytes padded = %d", n, got)
		}
	}
}

func TestUnpadRefuses(t *testing.T) {
	marked := func(n, mark int) []byte {
		p := make([]byte, n)
		p[mark] = 0x80
		return p
	}
	for _, c := range []struct {
		name string
		p    []byte
	}{
		{"empty", nil},
		{"zeros alone", make([]byte, 256)},
		{"other mark", append(make([]byte, 255), 0x81)},
		{"longer than needed", marked(512, 100)},
		{"no length of ours", marked(300, 299)},
		{"shorter than the least", marked(64, 63)},
	} {
		if got := unpad(c.p); got != -1 {
			t.Errorf("%s: unpad = %d, want -1", c.name, got)
		}
	}
}
