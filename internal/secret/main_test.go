package secret

import (
	"crypto/sha256"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

func newArena(t testing.TB, cfg ArenaConfig) *Arena {
	t.Helper()
	a, err := NewArena(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// modes returns the memory modes of this machine. memfd_secret may be missing
// from the kernel; NSAGENT_TEST_REQUIRE makes that a failure.
func modes(t testing.TB) []Mode {
	t.Helper()
	a, err := NewArena(ArenaConfig{Mode: ModeMemfdSecret, Size: minSize})
	if err == nil {
		_ = a.Close()
		return []Mode{ModeMemfdSecret, ModeMlock}
	}
	if needs.Required("memfd_secret") {
		t.Fatal(err)
	}
	return []Mode{ModeMlock}
}

// useHeapDigests turns a's workers into the fallback for a Go whose SHA-256 does
// not run inside the arena.
func useHeapDigests(t *testing.T, a *Arena) {
	t.Helper()
	a.inPlace = false
	for range cap(a.workers) {
		w := <-a.workers
		w.d, w.placed = sha256.New().(digest), false
		a.workers <- w
	}
}

func allZero(p []byte) bool {
	for _, c := range p {
		if c != 0 {
			return false
		}
	}
	return true
}
