package audit

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkAppend is the whole of an entry, with its write to the file system that
// holds the temporary directory, alone and from 64 callers.
func BenchmarkAppend(b *testing.B) {
	benchCallers(b, func(b *testing.B) *Log { return mustOpen(b, newDir(b)) })
}

// BenchmarkAppendSigned is BenchmarkAppend while checkpoints are made.
func BenchmarkAppendSigned(b *testing.B) {
	benchCallers(b, func(b *testing.B) *Log {
		l := mustOpen(b, newDir(b))
		l.StartCheckpoints(newKeys())
		return l
	})
}

// BenchmarkStrict is BenchmarkAppend where each entry is fsynced before it is
// acknowledged.
func BenchmarkStrict(b *testing.B) {
	var d *faultyDisk // counts fsyncs
	benchCallers(b, func(b *testing.B) (l *Log) {
		l, d, _ = openFaulty(b)
		l.opts.Strict = true
		b.Cleanup(func() { b.ReportMetric(float64(d.syncs.Load())/float64(b.N), "fsyncs/op") })
		return l
	})
}

// benchCallers measures Append by 1 caller and by 64.
func benchCallers(b *testing.B, open func(*testing.B) *Log) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			l := open(b)
			e := use(1)
			done := make(chan error, callers)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range callers {
				go func() {
					for n := i; n < b.N; n += callers {
						if _, err := l.Append(e); err != nil {
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
			b.StopTimer()
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
		if res, err := verifyLines(bytes.NewReader(log)); err != nil || !res.OK {
			b.Fatal(res, err)
		}
	}
}

func BenchmarkRecall(b *testing.B) {
	log := sample(b, 2000)
	dir := place(b, log)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		if past, err := Recall(dir); err != nil || len(past.Used) != 1 {
			b.Fatal(past, err)
		}
	}
}
