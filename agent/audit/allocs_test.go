//go:build !race

// The race detector allocates by itself.

package audit

import "testing"

func TestAppendAllocatesNothing(t *testing.T) {
	l := mustOpen(t, newDir(t))
	e := use(1)
	mustAppend(t, l, 10)
	if n := testing.AllocsPerRun(2000, func() {
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for an entry, want 0", n)
	}
}
