package store

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// faultyFile fails one operation and counts the calls of Sync after a failed one.
type faultyFile struct {
	ledgerFile
	failAt   int // the operation that fails, from 0
	failure  error
	partial  bool // a failing write writes its first half
	n        int
	failed   bool
	closed   bool
	misused  bool // used after a failed Sync
	syncDown bool
}

func (f *faultyFile) fails() bool {
	f.misused = f.misused || f.syncDown || f.closed
	f.n++
	f.failed = f.failed || f.n-1 == f.failAt
	return f.n-1 == f.failAt
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if f.fails() {
		n := 0
		if f.partial {
			n, _ = f.ledgerFile.WriteAt(p[:len(p)/2], off)
		}
		return n, f.failure
	}
	return f.ledgerFile.WriteAt(p, off)
}

func (f *faultyFile) Sync() error {
	if f.fails() {
		f.syncDown = true
		return f.failure
	}
	return f.ledgerFile.Sync()
}

func (f *faultyFile) Close() error {
	f.closed = true
	return f.ledgerFile.Close()
}

// TestLedgerAppendMayFail lets each step of an append fail. The entry does not
// count then, the next append succeeds, and no descriptor is used after a failed
// fsync.
func TestLedgerAppendMayFail(t *testing.T) {
	for _, failure := range []error{unix.EIO, unix.ENOSPC} {
		for _, partial := range []bool{false, true} {
			for failAt := range 4 {
				t.Run(fmt.Sprintf("%v at %d, partial %v", failure, failAt, partial), func(t *testing.T) {
					path := ledgerPath(t)
					l := mustOpen(t, path)
					mustAppend(t, l, Entry{1, subject(16, 1), 1})
					faulty := &faultyFile{ledgerFile: l.file, failAt: failAt, failure: failure, partial: partial && failAt != 2}
					l.file = faulty
					if err := l.Append(Entry{1, subject(16, 1), 2}, Entry{1, subject(16, 2), 2}); !errors.Is(err, failure) || !faulty.failed {
						t.Fatalf("got %v, want %v", err, failure)
					}
					wantValue(t, l, 1, subject(16, 1), 1)
					if _, ok := l.Get(1, subject(16, 2)); ok {
						t.Error("an entry counts that was not appended")
					}
					crashed := ledgerPath(t) // what another process would find
					copyFile(t, path, crashed)
					other := mustOpen(t, crashed)
					if got, ok := other.Get(1, subject(16, 1)); !ok || got != 1 && (got != 2 || failAt < 3) {
						t.Errorf("after a crash: %d, %v", got, ok)
					}
					mustAppend(t, l, Entry{1, subject(16, 3), 3})
					if faulty.misused {
						t.Error("the descriptor was used after a failed fsync")
					}
					mustClose(t, l)
					l = mustOpen(t, path)
					wantValue(t, l, 1, subject(16, 1), 1)
					wantValue(t, l, 1, subject(16, 3), 3)
					if len(l.values) != 2 {
						t.Errorf("%d values, want 2", len(l.values))
					}
				})
			}
		}
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
