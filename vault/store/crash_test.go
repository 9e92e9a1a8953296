package store

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/needs"
)

// killWriter starts a writing child, kills it (SIGKILL) at a random moment after
// its first acknowledgement, and returns how many it gave.
func killWriter(t *testing.T, task, path string, number int) (acknowledged uint32) {
	t.Helper()
	cmd := childCommand(t, task, path, number)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	var word [4]byte
	for {
		_, err := io.ReadFull(out, word[:])
		if errors.Is(err, io.EOF) {
			return acknowledged
		}
		if err != nil {
			t.Fatal(err)
		}
		if acknowledged == 0 {
			time.AfterFunc(time.Duration(rand.IntN(12_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		}
		if got := binary.BigEndian.Uint32(word[:]); got != acknowledged {
			t.Fatalf("acknowledgement %d after %d", got, acknowledged)
		}
		acknowledged++
	}
}

func kills() int {
	if needs.Long() {
		return 500
	}
	return 100
}

// TestKilledWritersLoseNothing kills a writer at 100 random moments, all on one
// vault: each time it must load and hold every acknowledged record and at most one
// more.
func TestKilledWritersLoseNothing(t *testing.T) {
	f := NewFile(filepath.Join(privateDir(t), "vault.nsv"))
	if err := f.Create(t.Context(), Change{Root: []byte("root")}); err != nil {
		t.Fatal(err)
	}
	want := map[ID][]byte{}
	unacknowledged := 0
	for k := range kills() {
		n := killWriter(t, "vault-writer", f.Path(), k)
		if n == 0 {
			t.Fatalf("kill %d: the writer died by itself", k)
		}
		for i := range n {
			id := numberID(uint32(k), i)
			want[id] = numberRecord(id)
		}
		s := mustLoad(t, f)
		last := numberID(uint32(k), n)
		if _, ok := s.Records[last]; ok {
			want[last] = numberRecord(last)
			unacknowledged++
		}
		if !reflect.DeepEqual(s.Records, want) {
			t.Fatalf("kill %d after %d acknowledgements: %d records, want %d", k, n, len(s.Records), len(want))
		}
		if s.Generation != uint64(len(want))+1 {
			t.Fatalf("kill %d: generation %d after %d commits", k, s.Generation, len(want))
		}
		if s, err := f.Previous(t.Context()); err != nil || len(s.Records) < len(want)-1 {
			t.Fatalf("kill %d: previous of %d records, %v", k, len(s.Records), err)
		}
	}
	t.Logf("%d records, %d of them never acknowledged", len(want), unacknowledged)
}

// TestKilledLedgerWritersLoseNothing does the same with the ledger.
func TestKilledLedgerWritersLoseNothing(t *testing.T) {
	path := filepath.Join(privateDir(t), "ledger")
	want := map[ID]uint64{}
	unacknowledged := 0
	sequence := uint64(0)
	for k := range kills() {
		n := killWriter(t, "ledger-writer", path, k)
		if n == 0 {
			t.Fatalf("kill %d: the writer died by itself", k)
		}
		for i := range n {
			want[numberID(uint32(k), i)] = uint64(i)
		}
		l, err := OpenLedger(t.Context(), path, testVaultID(), testMAC)
		if err != nil {
			t.Fatalf("kill %d: %v", k, err)
		}
		last := numberID(uint32(k), n)
		if _, ok := l.Get(1, last[:]); ok {
			want[last] = uint64(n)
			unacknowledged++
		}
		wantLedger(t, l, want)
		if l.Sequence() < sequence+uint64(n) {
			t.Fatalf("kill %d: sequence %d after %d", k, l.Sequence(), sequence)
		}
		sequence = l.Sequence()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d entries, %d of them never acknowledged", len(want), unacknowledged)
}

// wantLedger checks that l holds exactly want, all of kind 1.
func wantLedger(t testing.TB, l *Ledger, want map[ID]uint64) {
	t.Helper()
	if len(l.values) != len(want) {
		t.Fatalf("%d values, want %d", len(l.values), len(want))
	}
	for id, value := range want {
		if got, ok := l.Get(1, id[:]); !ok || got != value {
			t.Fatalf("%s: got %d, %v; want %d", id, got, ok, value)
		}
	}
}

// TestTwentyWritersLoseNoUpdate lets 20 processes add records and count them.
func TestTwentyWritersLoseNoUpdate(t *testing.T) {
	f := NewFile(filepath.Join(privateDir(t), "vault.nsv"))
	if err := f.Create(t.Context(), Change{Root: []byte("0")}); err != nil {
		t.Fatal(err)
	}
	const writers = 20
	done := make(chan error, writers)
	for w := range writers {
		cmd := childCommand(t, "vault-adder", f.Path(), w)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { done <- cmd.Wait() }()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s := mustLoad(t, f)
	const want = writers * additions
	if len(s.Records) != want || string(s.Root) != strconv.Itoa(want) || s.Generation != want+1 {
		t.Errorf("%d records, root %s, generation %d; want %d, %d, %d", len(s.Records), s.Root, s.Generation, want, want, want+1)
	}
	for w := range uint32(writers) {
		for i := range uint32(additions) {
			if id := numberID(w, i); !reflect.DeepEqual(s.Records[id], numberRecord(id)) {
				t.Errorf("record %s is %x", id, s.Records[id])
			}
		}
	}
}
