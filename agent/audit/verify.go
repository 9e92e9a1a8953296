package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Result is what was found of the lines.
type Result struct {
	// OK reports that every line is a right one and that all are chained.
	OK bool
	// Entries is how many entries, from the first on, are as they were written.
	Entries uint64
	// FirstBad is the number of the first entry that is not, or is missing; zero if OK.
	// Each entry before it is vouched for by the hash in the one that follows; the last
	// of them by nothing, if the line of FirstBad cannot be read at all.
	FirstBad uint64
	// Why says in plain words what is wrong with it; empty if OK.
	Why string
	// Torn is how many bytes stand behind the last newline. If they are all that is
	// wrong, they are the trace of a crash, or an entry that is being written just now.
	Torn int
	// Head is the last of Entries. Compare it with one that was kept elsewhere: a log
	// whose end was cut off is a right one, only shorter.
	Head Head
}

// verifier is the state between two lines.
type verifier struct {
	next     func() ([]byte, error) // the line after, to find out which of two was changed
	entries  uint64
	before   Head // the entry before last
	last     Head // the last entry that is right by itself and follows the one before
	lastPrev Hash
	view     view // of last
	torn     int
}

func (v *verifier) good() Result {
	return Result{OK: true, Entries: v.entries, Head: v.last}
}

// bad returns the result for a fault of the entry that follows last.
func (v *verifier) bad(seq uint64, why string) Result {
	return Result{FirstBad: seq, Why: why, Entries: v.entries, Head: v.last, Torn: v.torn}
}

// badLast returns the result for a fault of the entry last itself.
func (v *verifier) badLast(why string) Result {
	return Result{FirstBad: v.last.Seq, Why: why, Entries: v.entries - 1, Head: v.before}
}

// step checks one line. The result is not OK if the line is at fault.
func (v *verifier) step(line []byte) (Result, error) {
	want := v.last.Seq + 1
	e, err := parse(line)
	if err != nil {
		return v.bad(want, fmt.Sprintf("the line of entry %d cannot be read: %v", want, err)), nil
	}
	hash := Hash(sha256.Sum256(line))
	switch {
	case v.entries > 0 && e.seq == v.last.Seq && e.prev == v.lastPrev && hash != v.last.Hash:
		return v.badLast(fmt.Sprintf("there are two different entries %d", e.seq)), nil
	case e.seq > want:
		return v.bad(want, fmt.Sprintf("entry %d is missing: entry %d stands in its place", want, e.seq)), nil
	case e.seq < want:
		return v.bad(want, fmt.Sprintf("entry %d stands where entry %d should", e.seq, want)), nil
	case e.prev != v.last.before() && v.entries == 0:
		return v.bad(want, fmt.Sprintf("entry %d does not follow the start of the log", want)), nil
	case e.prev != v.last.before():
		return v.whichOfTwo(line, want)
	}
	v.before, v.last, v.lastPrev, v.view = v.last, Head{Seq: e.seq, Hash: hash}, e.prev, e
	v.entries++
	return Result{OK: true}, nil
}

// whichOfTwo decides which entry is named when line, entry seq, does not hold the hash
// of the one before. As a rule that one was changed. Only if the entry that follows
// holds the hash that line would have with the right prev is it proved that nothing but
// the prev of line was changed. Without that proof the earlier one is named: what counts
// as good must be beyond doubt.
func (v *verifier) whichOfTwo(line []byte, seq uint64) (Result, error) {
	right := v.last.Hash
	repaired := append([]byte(nil), line[:len(line)-len("\"}\n")-2*len(right)]...)
	repaired = hex.AppendEncode(repaired, right[:])
	repaired = append(repaired, "\"}\n"...)

	next, err := v.next()
	if err != nil && !errors.Is(err, io.EOF) {
		return Result{}, fmt.Errorf("audit: reading: %w", err)
	}
	if follow, err := parse(next); err == nil && follow.prev == sha256.Sum256(repaired) {
		return v.bad(seq, fmt.Sprintf("the prev of entry %d was changed", seq)), nil
	}
	return v.badLast(fmt.Sprintf("entry %d does not have the hash that entry %d holds of it", seq-1, seq)), nil
}
