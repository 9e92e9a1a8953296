package secret

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
)

// blocked returns the signal mask of this thread, signal 1 in bit 0.
func blocked(t *testing.T) uint64 {
	t.Helper()
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "SigBlk:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return mask
		}
	}
	t.Fatal("no SigBlk line")
	return 0
}

// Inside Do all signals are blocked but those of faults and the two that cannot
// be; afterwards, also after a panic, the mask is what it was.
func TestDoBlocksSignals(t *testing.T) {
	const kill, stop = 9, 19
	var want uint64
	for s := 1; s <= 64; s++ {
		switch s {
		case 4, 5, 7, 8, 11, 31, kill, stop: // SIGILL TRAP BUS FPE SEGV SYS
		default:
			want |= 1 << (s - 1)
		}
	}
	withoutSignals(func() { // keeps the goroutine on one thread
		before := blocked(t)
		if before != want {
			t.Errorf("inside: %#x, want %#x", before, want)
		}
		Do(func() {})
		if got := blocked(t); got != before {
			t.Errorf("after a nested Do: %#x, want %#x", got, before)
		}
	})
	done := make(chan uint64)
	go func() {
		defer func() {
			_ = recover()
			done <- blocked(t)
		}()
		Do(func() { panic("x") })
	}()
	if got := <-done; got&want != 0 {
		t.Errorf("after a panic: %#x is still blocked", got&want)
	}
}
