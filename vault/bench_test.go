package vault

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/store"
)

const benchRecords = 10_000

// BenchmarkUnlock measures what design.md section 11 bounds by 0.5 s: from a locked
// vault of 10,000 records to their sign-only parts in locked memory, KDF aside (the
// key slot is a keyring's).
func BenchmarkUnlock(b *testing.B) {
	f := benchVault(b)
	cpu(b)
	for b.Loop() {
		g := f.anotherHeld()
		if err := g.unlock(""); err != nil {
			b.Fatal(err)
		}
		var n atomic.Int64
		if err := g.Each(func(_ Record, s secret.Bytes) error { n.Add(1); s.Destroy(); return nil }); err != nil || n.Load() != benchRecords {
			b.Fatal(n.Load(), err)
		}
		g.Lock()
	}
}

// BenchmarkOpen, BenchmarkUnlockOnly, BenchmarkEach and BenchmarkAdd are its parts,
// and what one change of a vault of that size costs.
func BenchmarkOpen(b *testing.B) {
	f := benchVault(b)
	cpu(b)
	for b.Loop() {
		f.another()
	}
}

func BenchmarkUnlockOnly(b *testing.B) {
	g := benchVault(b).another()
	cpu(b)
	for b.Loop() {
		if err := g.unlock(""); err != nil {
			b.Fatal(err)
		}
		g.Lock()
	}
}

func BenchmarkEach(b *testing.B) {
	f := benchVault(b)
	cpu(b)
	for b.Loop() {
		if err := f.Each(func(_ Record, s secret.Bytes) error { s.Destroy(); return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	f := benchVault(b)
	i := 0
	cpu(b)
	for b.Loop() {
		i++
		f.add(fmt.Sprintf("more-%d", i))
	}
}

// cpu reports the processor time of an operation beside the elapsed time, which on a
// machine with other work says little.
func cpu(b *testing.B) {
	used := func() time.Duration {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	start := used()
	b.Cleanup(func() { b.ReportMetric(float64((used()-start).Milliseconds())/float64(b.N), "cpu-ms/op") })
}

func benchVault(b *testing.B) *fixture {
	b.Helper()
	f := newVault(b, store.NewFile(filepath.Join(b.TempDir(), "vault.nsv")))
	mid, err := f.cfg.Arena.Random(64)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := f.cfg.Arena.Random(129)
	if err != nil {
		b.Fatal(err)
	}
	records := make([]NewRecord, benchRecords)
	for i := range records {
		records[i] = NewRecord{Name: fmt.Sprintf("client-%05d-sb1", i), Kind: "tba", Meta: make([]byte, 200), SignOnly: mid, Raw: raw}
	}
	if _, err := f.AddAll(context.Background(), records); err != nil {
		b.Fatal(err)
	}
	return f
}
