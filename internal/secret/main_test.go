package secret

import (
	"crypto/sha256"
	"os"
	"strings"
	"testing"
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
	if required("memfd_secret") {
		t.Fatal(err)
	}
	return []Mode{ModeMlock}
}

// required reports whether NSAGENT_TEST_REQUIRE names a part or "all".
func required(part string) bool {
	for _, r := range strings.Split(os.Getenv("NSAGENT_TEST_REQUIRE"), ",") {
		if r == part || r == "all" {
			return true
		}
	}
	return false
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

// long reports whether the long form of sweeps was asked for.
func long() bool { return os.Getenv("NSAGENT_LONG") != "" }
