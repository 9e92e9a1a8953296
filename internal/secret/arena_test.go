package secret

import (
	"strings"
	"testing"
)

func TestInfo(t *testing.T) {
	for _, mode := range modes(t) {
		a := newArena(t, ArenaConfig{Mode: mode, Size: 100_000})
		i := a.Info()
		if i.Mode != mode || i.Size != 102_400 || i.Why != "asked for" || !i.DigestInArena || i.RuntimeSecret != runtimeSecret {
			t.Errorf("got %+v", i)
		}
		for _, part := range []string{string(mode), map[bool]string{true: "runtime/secret"}[runtimeSecret]} {
			if !strings.Contains(i.Grade, part) {
				t.Errorf("grade %q does not name %q", i.Grade, part)
			}
		}
		b, err := a.Alloc(33)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Info().Used - i.Used; got != 64 {
			t.Errorf("33 bytes take %d", got)
		}
		b.Destroy()
	}
}

func BenchmarkNewArena(b *testing.B) {
	for _, mode := range modes(b) {
		b.Run(string(mode), func(b *testing.B) {
			for b.Loop() {
				a, err := NewArena(ArenaConfig{Mode: mode})
				if err != nil {
					b.Fatal(err)
				}
				_ = a.Close()
			}
		})
	}
}
