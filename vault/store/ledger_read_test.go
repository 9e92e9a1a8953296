package store

import (
	"errors"
	"os"
	"slices"
	"testing"
)

// readAll returns the entries that ReadLedger gives.
func readAll(t testing.TB, path string) (all []Entry) {
	t.Helper()
	if err := ReadLedger(path, func(e Entry) { all = append(all, e) }); err != nil {
		t.Fatal(err)
	}
	return all
}

func sameEntries(a, b []Entry) bool {
	return slices.EqualFunc(a, b, func(a, b Entry) bool {
		return a.Kind == b.Kind && a.Value == b.Value && slices.Equal(a.Subject, b.Subject)
	})
}

// TestReadLedger: while somebody has the ledger open, anybody reads what was appended, in
// order; what is not counted yet, too.
func TestReadLedger(t *testing.T) {
	path := ledgerPath(t)
	if err := ReadLedger(path, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("without a file: got %v", err)
	}
	l := mustOpen(t, path)
	var want []Entry
	for i := range byte(3) {
		if got := readAll(t, path); !sameEntries(got, want) {
			t.Errorf("after %d: got %v, want %v", i, got, want)
		}
		e := []Entry{{1, subject(16, i), uint64(i)}, {2, subject(32, i), 1}}
		mustAppend(t, l, e...)
		want = append(want, e...)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	head := l.head
	next, err := l.codec.appendEntry(nil, &head, Entry{1, subject(16, 9), 9})
	if err != nil {
		t.Fatal(err)
	}
	write(slices.Concat(data, next))
	if got := readAll(t, path); !sameEntries(got, append(slices.Clone(want), Entry{1, subject(16, 9), 9})) {
		t.Errorf("before the head counts it: got %v", got)
	}
	write(slices.Concat(data, next[:len(next)-1]))
	if got := readAll(t, path); !sameEntries(got, want) {
		t.Errorf("with half an entry: got %v", got)
	}
}

// TestReadLedgerRefuses what cannot be read as one.
func TestReadLedgerRefuses(t *testing.T) {
	path := ledgerPath(t)
	mustClose(t, mustOpen(t, path))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newer := slices.Clone(data)
	newer[1+1+len(ledgerMagic)]++ // the version
	for _, c := range []struct {
		name string
		data []byte
		mode os.FileMode
		want error
	}{
		{"cut", data[:sectorSize-1], 0o600, ErrDamaged},
		{"another file", make([]byte, sectorSize), 0o600, ErrDamaged},
		{"newer", newer, 0o600, ErrNewer},
		{"of everybody", data, 0o666, ErrUnsafe},
		{"whole", data, 0o600, nil},
	} {
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if err := ReadLedger(path, func(Entry) {}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}
