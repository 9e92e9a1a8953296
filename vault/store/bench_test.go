package store

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// manyRecords returns n records of about 1.2 KB, the size of a sealed profile.
func manyRecords(n int) map[ID][]byte {
	src := rand.NewChaCha8([32]byte{1})
	records := make(map[ID][]byte, n)
	for i := range n {
		var id ID
		src.Read(id[:])
		record := make([]byte, 1200)
		src.Read(record)
		binary.BigEndian.PutUint64(record, uint64(i))
		records[id] = record
	}
	return records
}

func benchFile(b *testing.B, n int) *File {
	f := NewFile(filepath.Join(privateDir(b), "vault.nsv"))
	if err := f.Create(context.Background(), Change{Root: make([]byte, 4096), Put: manyRecords(n)}); err != nil {
		b.Fatal(err)
	}
	return f
}

func BenchmarkLoad10k(b *testing.B) {
	f := benchFile(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Load(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommit10k(b *testing.B) {
	f := benchFile(b, 10_000)
	b.ReportAllocs()
	generation := uint64(1)
	for b.Loop() {
		var err error
		generation, err = f.Commit(context.Background(), generation, Change{Put: map[ID][]byte{{1}: make([]byte, 1200)}})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLedgerAppend(b *testing.B) {
	l := mustOpen(b, ledgerPath(b))
	b.ReportAllocs()
	for b.Loop() {
		mustAppend(b, l, Entry{1, subject(16, 1), 1})
	}
}

func BenchmarkLedgerOpen10k(b *testing.B) {
	path := ledgerPath(b)
	l := mustOpen(b, path)
	var entries []Entry
	for i := range uint32(10_000) {
		id := numberID(0, i)
		entries = append(entries, Entry{1, id[:], 1})
	}
	mustAppend(b, l, entries...)
	mustClose(b, l)
	b.ReportAllocs()
	for b.Loop() {
		mustClose(b, mustOpen(b, path))
	}
}
