package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func ledgerPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(privateDir(t), "ledger")
}

func mustOpen(t testing.TB, path string) *Ledger {
	t.Helper()
	l, err := OpenLedger(t.Context(), path, testVaultID(), testMAC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustAppend(t testing.TB, l *Ledger, entries ...Entry) {
	t.Helper()
	if err := l.Append(entries...); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t testing.TB, l *Ledger) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// subject returns a subject of n bytes, all b.
func subject(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }

func wantValue(t testing.TB, l *Ledger, kind Kind, subject []byte, want uint64) {
	t.Helper()
	if got, ok := l.Get(kind, subject); !ok || got != want {
		t.Errorf("(%d, %x): got %d, %v; want %d", kind, subject, got, ok, want)
	}
}

func TestLedgerKeepsTheNewestValue(t *testing.T) {
	path := ledgerPath(t)
	l := mustOpen(t, path)
	if l.Sequence() != 0 {
		t.Errorf("sequence of a new ledger: %d", l.Sequence())
	}
	mustAppend(t, l, Entry{1, subject(16, 1), 10})
	mustAppend(t, l)
	mustAppend(t, l, Entry{1, subject(16, 1), 11}, Entry{2, subject(16, 1), 1 << 63}, Entry{1, subject(32, 1), 12}, Entry{1 << 40, subject(32, 0), 0})
	check := func(l *Ledger) {
		t.Helper()
		wantValue(t, l, 1, subject(16, 1), 11)
		wantValue(t, l, 2, subject(16, 1), 1<<63)
		wantValue(t, l, 1, subject(32, 1), 12)
		wantValue(t, l, 1<<40, subject(32, 0), 0)
		for _, none := range []Entry{{3, subject(16, 1), 0}, {1, subject(16, 2), 0}, {1 << 40, subject(16, 0), 0}, {1, subject(15, 1), 0}, {1, nil, 0}} {
			if got, ok := l.Get(none.Kind, none.Subject); ok || got != 0 {
				t.Errorf("(%d, %x): got %d, %v; want none", none.Kind, none.Subject, got, ok)
			}
		}
	}
	check(l)
	if l.Sequence() != 5 {
		t.Errorf("sequence: got %d, want 5", l.Sequence())
	}
	mustClose(t, l)
	l = mustOpen(t, path)
	check(l)
	if err := l.Compact(); err != nil {
		t.Fatal(err)
	}
	check(l)
	if l.Sequence() != 9 || l.head.Count != 4 {
		t.Errorf("after compaction: sequence %d with %d entries, want 9 with 4", l.Sequence(), l.head.Count)
	}
	mustAppend(t, l, Entry{1, subject(16, 1), 99})
	mustClose(t, l)
	l = mustOpen(t, path)
	wantValue(t, l, 1, subject(16, 1), 99)
	wantValue(t, l, 2, subject(16, 1), 1<<63)
	if l.Sequence() != 10 {
		t.Errorf("sequence: got %d, want 10", l.Sequence())
	}
}

// TestLedgerIsWaitedFor: processes have the ledger for moments, and take turns.
func TestLedgerIsWaitedFor(t *testing.T) {
	path := ledgerPath(t)
	first := mustOpen(t, path)
	got := make(chan error, 1)
	go func() {
		second, err := OpenLedger(t.Context(), path, testVaultID(), testMAC)
		if err == nil {
			if value, _ := second.Get(1, subject(16, 1)); value != 7 {
				err = fmt.Errorf("value %d", value)
			}
			err = errors.Join(err, second.Close())
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Errorf("opened while somebody has it open: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	mustAppend(t, first, Entry{1, subject(16, 1), 7})
	mustClose(t, first)
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestLedgerRefuses(t *testing.T) {
	path := ledgerPath(t)
	l := mustOpen(t, path)
	for _, n := range []int{0, 15, 17, 31, 33, 64} {
		if err := l.Append(Entry{1, subject(16, 1), 1}, Entry{1, subject(n, 1), 1}); !errors.Is(err, ErrEntry) {
			t.Errorf("subject of %d bytes: got %v, want ErrEntry", n, err)
		}
	}
	if _, ok := l.Get(1, subject(16, 1)); ok {
		t.Error("one of two entries was appended")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenLedger(over, path, testVaultID(), testMAC); !errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Errorf("opened twice: got %v, want ErrBusy and that of the context", err)
	}
	mustClose(t, l)
	mustClose(t, l)
	if err := l.Append(Entry{1, subject(16, 1), 1}); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: got %v, want ErrClosed", err)
	}
	if err := l.Compact(); !errors.Is(err, ErrClosed) {
		t.Errorf("compaction after close: got %v, want ErrClosed", err)
	}
	if _, err := OpenLedger(t.Context(), path, []byte("another vault..."), testMAC); !errors.Is(err, ErrMAC) {
		t.Errorf("another vault: got %v, want ErrMAC", err)
	}
	if _, err := OpenLedger(t.Context(), path, nil, testMAC); err == nil {
		t.Error("no vault ID: no error")
	}
	otherKey := func(mac *[32]byte, msg []byte) error {
		_ = testMAC(mac, msg)
		mac[31] ^= 1
		return nil
	}
	if _, err := OpenLedger(t.Context(), path, testVaultID(), otherKey); !errors.Is(err, ErrMAC) {
		t.Errorf("another machine key: got %v, want ErrMAC", err)
	}
	broken := errors.New("arena closed")
	if _, err := OpenLedger(t.Context(), path, testVaultID(), func(*[32]byte, []byte) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a MAC that fails: got %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLedger(t.Context(), path, testVaultID(), testMAC); !errors.Is(err, ErrUnsafe) {
		t.Errorf("mode 0640: got %v, want ErrUnsafe", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path)
}

// smallLedger returns the file of a ledger of three entries, and the offsets at
// which they start.
func smallLedger(t testing.TB) (data []byte, starts []int) {
	t.Helper()
	path := ledgerPath(t)
	l := mustOpen(t, path)
	for i := range 3 {
		starts = append(starts, int(l.endLocked()))
		mustAppend(t, l, Entry{Kind(i), subject(16+16*(i%2), byte(i)), uint64(i) << 30})
	}
	mustClose(t, l)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data, starts
}

func isLedgerError(err error) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, ErrMAC)
}

// TestEveryFlipAndCutOfTheLedger goes through OpenLedger, file and all. Among the
// cuts are those between two entries.
func TestEveryFlipAndCutOfTheLedger(t *testing.T) {
	data, _ := smallLedger(t)
	path := ledgerPath(t)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	flipAndCut(t, path, func(what string, content []byte) {
		l, err := OpenLedger(t.Context(), path, testVaultID(), testMAC)
		if !isLedgerError(err) {
			l.Close()
			t.Fatalf("%s: got %v, want ErrDamaged or ErrMAC", what, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Fatalf("%s: opening changed the file, %v", what, err)
		}
	})
}

// TestLedgerEntriesCannotMove swaps, repeats and removes whole entries.
func TestLedgerEntriesCannotMove(t *testing.T) {
	data, starts := smallLedger(t)
	codec, err := newLedgerCodec(testVaultID(), testMAC)
	if err != nil {
		t.Fatal(err)
	}
	ends := append(starts[1:], len(data))
	entry := func(i int) []byte { return data[starts[i]:ends[i]] }
	for name, order := range map[string][]int{
		"as written": {0, 1, 2}, "swapped": {1, 0, 2}, "repeated": {0, 0, 2}, "removed": {0, 2}, "none": {}, "prolonged": {0, 1, 2, 2},
	} {
		file := bytes.Clone(data[:sectorSize])
		for _, i := range order {
			file = append(file, entry(i)...)
		}
		_, err := codec.decode(file, func(uint64, Entry) {})
		// What follows the entries that the head counts is a torn append.
		if want := name != "as written" && name != "prolonged"; isLedgerError(err) != want {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestLedgerOfAnotherTime puts the head and entries of two states together.
func TestLedgerOfAnotherTime(t *testing.T) {
	path := ledgerPath(t)
	l := mustOpen(t, path)
	mustAppend(t, l, Entry{1, subject(16, 1), 1}, Entry{1, subject(16, 2), 2})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Compact(); err != nil { // the same entries under other numbers
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	codec := l.codec
	for name, file := range map[string][]byte{
		"old head": append(bytes.Clone(before[:sectorSize]), after[sectorSize:]...),
		"new head": append(bytes.Clone(after[:sectorSize]), before[sectorSize:]...),
	} {
		if _, err := codec.decode(file, func(uint64, Entry) {}); !isLedgerError(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTornAppendIsDropped(t *testing.T) {
	data, _ := smallLedger(t)
	for name, tail := range map[string][]byte{
		"a byte":        {0x86},
		"zeros":         make([]byte, 4096),
		"half an entry": data[sectorSize : sectorSize+50],
		"a whole entry": data[sectorSize : sectorSize+110],
	} {
		t.Run(name, func(t *testing.T) {
			path := ledgerPath(t)
			if err := os.WriteFile(path, append(bytes.Clone(data), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			l := mustOpen(t, path)
			if l.Sequence() != 3 || len(l.values) != 3 {
				t.Errorf("sequence %d, %d values; want 3, 3", l.Sequence(), len(l.values))
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
				t.Errorf("the tail is still there, %v", err)
			}
			mustAppend(t, l, Entry{9, subject(16, 9), 9})
			mustClose(t, l)
			wantValue(t, mustOpen(t, path), 9, subject(16, 9), 9)
		})
	}
}

func TestLedgerCompactsItself(t *testing.T) {
	path := ledgerPath(t)
	l := mustOpen(t, path)
	batch := make([]Entry, 500)
	total := uint64(0)
	for total < 3*compactSlack {
		for i := range batch {
			total++
			batch[i] = Entry{1, subject(16, byte(i%2)), total}
		}
		mustAppend(t, l, batch...)
	}
	if l.head.Count > compactSlack+1000 {
		t.Errorf("%d entries of two subjects", l.head.Count)
	}
	if l.Sequence() < total {
		t.Errorf("sequence %d after %d entries", l.Sequence(), total)
	}
	mustClose(t, l)
	wantValue(t, mustOpen(t, path), 1, subject(16, 1), total)
}

// What is over is forgotten, and a ledger of nothing but new subjects stays small.
func TestLedgerForgets(t *testing.T) {
	path := ledgerPath(t)
	l := mustOpen(t, path)
	mustAppend(t, l, Entry{1, subject(16, 1), 10}, Entry{1, subject(16, 2), 20}, Entry{2, subject(16, 1), 5})
	l.Forget(1, 20)
	if _, ok := l.Get(1, subject(16, 1)); ok {
		t.Error("what is over still counts")
	}
	wantValue(t, l, 1, subject(16, 2), 20)
	wantValue(t, l, 2, subject(16, 1), 5)
	for n := range 3 * compactSlack {
		if n%512 == 0 {
			var batch []Entry
			for i := range 512 {
				id := subject(16, 3)
				binary.BigEndian.PutUint64(id, uint64(n+i))
				batch = append(batch, Entry{1, id, uint64(100 + n)})
			}
			mustAppend(t, l, batch...)
			l.Forget(1, uint64(100+n))
		}
	}
	if n := l.head.Count; n > 2*compactSlack {
		t.Errorf("%d entries are in the file", n)
	}
	mustClose(t, l)
	l = mustOpen(t, path)
	defer mustClose(t, l)
	wantValue(t, l, 2, subject(16, 1), 5)
	if _, ok := l.Get(1, subject(16, 1)); ok {
		t.Error("what is over came back after it was compacted away")
	}
}

func TestLedgerConcurrently(t *testing.T) {
	path := ledgerPath(t)
	l := mustOpen(t, path)
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range uint64(20) {
				if err := l.Append(Entry{Kind(w), subject(32, byte(w)), i}); err != nil {
					t.Error(err)
				}
				wantValue(t, l, Kind(w), subject(32, byte(w)), i)
				if i == 10 && w%2 == 0 {
					if err := l.Compact(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	mustClose(t, l)
	l = mustOpen(t, path)
	for w := range 8 {
		wantValue(t, l, Kind(w), subject(32, byte(w)), 19)
	}
}

// TestLedgerTooLarge pretends that the ledger is nearly full.
func TestLedgerTooLarge(t *testing.T) {
	l := mustOpen(t, ledgerPath(t))
	mustAppend(t, l, Entry{1, subject(16, 1), 1})
	length := l.head.Length
	l.head.Length = MaxLedger - sectorSize - 20
	if err := l.Append(Entry{1, subject(16, 2), 2}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	l.head.Length = length
	mustAppend(t, l, Entry{1, subject(16, 2), 2})
}
