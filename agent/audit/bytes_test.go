//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package audit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Every single byte is changed to several others. The line that holds it must be named.
// The end of the log is vouched for by its head alone.
func TestEveryByteChanged(t *testing.T) {
	log := sample(t, 4)
	good := verifyBytes(t, log)
	lines := splitLines(log)
	lastPrev := len(log) - len("\"}\n") - 64 // where the hash in the last line begins
	others := []byte{0, '\n', '"', '\\', '0', '1', '9', 'a', 'f', ' ', '}', 0x7f, 0xff}
	for i := range log {
		line := lineAt(log, i)
		for _, c := range append(others, log[i]^1, log[i]^0x20) {
			if c == log[i] {
				continue
			}
			bad := bytes.Clone(log)
			bad[i] = c
			what := fmt.Sprintf("byte %d (line %d) %q to %q", i, line, log[i], c)
			if line < uint64(len(lines)) {
				wantBad(t, what, bad, line)
				continue
			}
			res := verifyBytes(t, bad)
			switch {
			case res.OK:
				if res.Head == good.Head {
					t.Fatalf("%s: neither the chain nor the head shows it", what)
				}
			case res.FirstBad == line:
			case res.FirstBad == line-1 && i >= lastPrev && i < lastPrev+64:
				// Nothing follows that could prove which of the two was changed.
			default:
				t.Fatalf("%s: got %+v", what, res)
			}
		}
	}
}

// TestSecondImplementationOnAnyByte: wherever a byte is changed, both say the same. Only
// what the last line holds, which nothing covers, may be another.
func TestSecondImplementationOnAnyByte(t *testing.T) {
	python := startSecond(t)
	var export bytes.Buffer
	if err := Export(&export, goldenCopy(t), Range{}); err != nil {
		t.Fatal(err)
	}
	place := filepath.Join(t.TempDir(), "export.txt")
	trust := Trust{Keys: startsOf(mustCheckpoints(t, goldenCopy(t)))}
	lastLine := bytes.LastIndexByte(export.Bytes()[:export.Len()-1], '\n') + 1
	for n := range 300 {
		bad := bytes.Clone(export.Bytes())
		i := rand.IntN(len(bad))
		if n == 0 {
			bad = bad[:i]
		} else {
			bad[i] ^= 1 << rand.IntN(8)
		}
		if err := os.WriteFile(place, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := python.both(t, place, trust); t.Failed() || n > 0 && r.OK && i < lastLine {
			t.Fatalf("byte %d of %d: %+v", i, len(bad), r)
		}
	}
}
