package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// lineAt returns the number of the line that holds the byte at offset i.
func lineAt(log []byte, i int) uint64 {
	return uint64(bytes.Count(log[:i], []byte("\n"))) + 1
}

// wantBad fails the test unless the log is found bad from entry seq on, with all before
// it good.
func wantBad(t testing.TB, what string, log []byte, seq uint64) {
	t.Helper()
	res := verifyBytes(t, log)
	if res.OK || res.FirstBad != seq || res.Entries != seq-1 || res.Head.Seq != seq-1 || res.Why == "" {
		t.Fatalf("%s: got %+v, want first bad %d", what, res, seq)
	}
}

func TestVerifyEmpty(t *testing.T) {
	if res := verifyBytes(t, nil); !res.OK || res.Entries != 0 || res.Head != (Head{}) {
		t.Errorf("got %+v", res)
	}
}

func TestLinesRemovedSwappedInsertedRepeated(t *testing.T) {
	lines := splitLines(sample(t, 12))
	join := func(l [][]byte) []byte { return bytes.Join(l, nil) }
	for i := range lines {
		seq := uint64(i + 1)
		without := slices.Delete(slices.Clone(lines), i, i+1)
		if i == len(lines)-1 {
			if res := verifyBytes(t, join(without)); !res.OK || res.Entries != seq-1 {
				t.Errorf("without the last line: got %+v, want a shorter good log", res)
			}
		} else {
			wantBad(t, fmt.Sprint("without ", seq), join(without), seq)
		}
		for j := i + 1; j < len(lines); j++ {
			swapped := slices.Clone(lines)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			wantBad(t, fmt.Sprintf("%d and %d swapped", i+1, j+1), join(swapped), seq)
		}
		for j := range lines {
			// A copy of line j before line i: every entry before i is as it was.
			repeated := slices.Insert(slices.Clone(lines), i, lines[j])
			at := seq
			if i == j {
				at++ // the copy cannot be told from the line itself
			}
			wantBad(t, fmt.Sprintf("copy of %d before %d", j+1, i+1), join(repeated), at)
		}
		wantBad(t, "rubbish", join(slices.Insert(slices.Clone(lines), i, []byte("{}\n"))), seq)
		wantBad(t, "empty line", join(slices.Insert(slices.Clone(lines), i, []byte("\n"))), seq)
		wantBad(t, "long line", join(slices.Insert(slices.Clone(lines), i, append(bytes.Repeat([]byte("x"), 200_000), '\n'))), seq)
	}
}

// forge returns the line with another detail, chained to prev.
func forge(t testing.TB, line []byte, prev Hash, detail string) []byte {
	t.Helper()
	e, err := ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	e.Detail, e.Prev = detail, prev
	return e.AppendLine(nil)
}

func TestForgedEntries(t *testing.T) {
	lines := splitLines(sample(t, 8))
	prevOf := func(i int) Hash {
		e, err := ParseLine(lines[i])
		if err != nil {
			t.Fatal(err)
		}
		return e.Prev
	}
	for i := range lines[:7] {
		seq := uint64(i + 1)
		forged := forge(t, lines[i], prevOf(i), "forged")

		replaced := slices.Clone(lines)
		replaced[i] = forged
		wantBad(t, fmt.Sprintf("%d replaced", seq), bytes.Join(replaced, nil), seq)

		inserted := slices.Insert(slices.Clone(lines), i, forged)
		wantBad(t, fmt.Sprintf("another %d inserted before it", seq), bytes.Join(inserted, nil), seq)

		// A forger who chains what follows to the forgery must do so up to the end.
		for upTo := i + 1; upTo < 7; upTo++ {
			rechained := slices.Clone(replaced)
			for j := i + 1; j <= upTo; j++ {
				rechained[j] = forge(t, lines[j], sha256.Sum256(rechained[j-1]), "")
			}
			wantBad(t, fmt.Sprintf("%d replaced, chained up to %d", seq, upTo+1), bytes.Join(rechained, nil), uint64(upTo+1))
		}

		// Two neighbours changed, each with the prev it had: nothing from the first on is proved.
		if i < 6 {
			both := slices.Clone(replaced)
			both[i+1] = forge(t, lines[i+1], prevOf(i+1), "forged")
			wantBad(t, fmt.Sprintf("%d and the next replaced", seq), bytes.Join(both, nil), seq)
		}
	}
	for i := 1; i < 7; i++ {
		other := slices.Clone(lines)
		other[i] = forge(t, lines[i], Hash{1}, "")
		wantBad(t, fmt.Sprintf("prev of %d changed", i+1), bytes.Join(other, nil), uint64(i+1))
	}
}

func TestFirstPrevBindsTheFormat(t *testing.T) {
	sum := sha256.Sum256([]byte("nsagent/audit/v1\n"))
	if line := splitLines(sample(t, 1))[0]; !bytes.HasSuffix(line, []byte(`,"prev":"`+hex.EncodeToString(sum[:])+"\"}\n")) {
		t.Errorf("entry 1: %s", line)
	}
	wantBad(t, "the start of another format", forge(t, splitLines(sample(t, 1))[0], Hash{}, ""), 1)
}

func TestVerifyReportsReadErrors(t *testing.T) {
	log := sample(t, 3)
	boom := errors.New("boom")
	for n := range len(log) {
		r := iotest.DataErrReader(bytes.NewReader(log[:n]))
		res, err := verifyLines(&failAfter{r, boom})
		if !errors.Is(err, boom) || res != (Result{}) {
			t.Fatalf("after %d bytes: got %+v, %v, want the read error", n, res, err)
		}
	}
}

type failAfter struct {
	r   interface{ Read([]byte) (int, error) }
	err error
}

func (f *failAfter) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil {
		err = f.err
	}
	return n, err
}

func TestVerifyReadsInSmallPieces(t *testing.T) {
	res, err := verifyLines(iotest.OneByteReader(bytes.NewReader(sample(t, 20))))
	if err != nil || !res.OK || res.Entries != 20 {
		t.Errorf("got %+v, %v", res, err)
	}
}

// FuzzVerify edits a log as the input says. Whatever it does, what counts as good must
// be as it was in the original.
func FuzzVerify(f *testing.F) {
	log := sample(f, 5)
	f.Add([]byte{}, uint16(0), uint16(0))
	f.Add([]byte("x"), uint16(10), uint16(1))
	f.Add([]byte(strings.Repeat("a", 40)), uint16(500), uint16(900))
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		at := r.IntN(len(log))
		f.Add(log[at:min(len(log), at+r.IntN(400))], uint16(r.IntN(len(log))), uint16(r.IntN(400)))
	}
	f.Fuzz(func(t *testing.T, put []byte, at, drop uint16) {
		from := min(int(at), len(log))
		to := min(from+int(drop), len(log))
		bad := slices.Concat(log[:from], put, log[to:])
		res := verifyBytes(t, bad)
		if res.OK != (res.FirstBad == 0) || res.OK != (res.Why == "") {
			t.Fatalf("contradicts itself: %+v", res)
		}
		if !res.OK && res.FirstBad != res.Entries+1 {
			t.Fatalf("entries and first bad do not meet: %+v", res)
		}
		// The last good entry has nothing behind it that vouches for it.
		got, want := splitLines(append(bad, '\n')), splitLines(log)
		for i := range int(min(res.Entries, uint64(len(want)))) - 1 {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("entry %d counts as good and was changed: %s", i+1, got[i])
			}
		}
	})
}
