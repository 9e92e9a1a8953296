package audit

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkAppend is the whole of an entry, with its write to the file system that
// holds the temporary directory, alone and from 64 callers.
func BenchmarkAppend(b *testing.B) {
	e := use(1)
	b.Run("callers=1", func(b *testing.B) {
		l := mustOpen(b, newDir(b))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := l.Append(e); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("callers=64", func(b *testing.B) {
		l := mustOpen(b, newDir(b))
		b.ReportAllocs()
		done := make(chan error)
		share := b.N/64 + 1
		for range 64 {
			go func() {
				for range share {
					if _, err := l.Append(e); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range 64 {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppendSync(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			l := mustOpen(b, newDir(b))
			done := make(chan error)
			for range callers {
				go func() {
					for range b.N/callers + 1 {
						if _, err := l.AppendSync(use(1)); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range callers {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLine is what an entry costs beside its write: formatting and hashing.
func BenchmarkLine(b *testing.B) {
	e := use(1)
	var body, line []byte
	head := Head{Seq: 1_000_000}
	b.ReportAllocs()
	for b.Loop() {
		body = appendBody(body[:0], &e)
		line, head = head.follow(line[:0], body)
	}
	b.SetBytes(int64(len(line)))
}

func BenchmarkVerify(b *testing.B) {
	log := sample(b, 2000)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		if res, err := Verify(bytes.NewReader(log)); err != nil || !res.OK {
			b.Fatal(res, err)
		}
	}
}

func BenchmarkLastUsed(b *testing.B) {
	log := sample(b, 2000)
	dir := place(b, log)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		if used, err := LastUsed(dir); err != nil || len(used) != 1 {
			b.Fatal(used, err)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	l := mustOpen(t, newDir(t))
	e := use(1)
	mustAppend(t, l, 10)
	if n := testing.AllocsPerRun(2000, func() {
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for an entry, want 0", n)
	}
}
