//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package audit

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func mustProve(t testing.TB, dir string, seq uint64, held *Checkpoint) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Prove(&b, dir, seq, held); err != nil {
		t.Fatalf("entry %d: %v", seq, err)
	}
	return b.Bytes()
}

func checkText(t testing.TB, text []byte, trust Trust) Report {
	t.Helper()
	r, err := Check(bytes.NewReader(text), trust)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every entry can be proved, by the first key under the checkpoint that covers it and by
// each checkpoint that somebody holds and that covers it; and the proof has no other entry.
func TestProveEveryEntry(t *testing.T) {
	dir := signedLog(t, 3, 300)
	all := mustCheckpoints(t, dir)
	key := all[0].Start
	log, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, e := range entries(t, log) {
		if e.Seq%3 != 0 && e.Seq > 20 {
			continue
		}
		text := mustProve(t, dir, e.Seq, nil)
		if n := bytes.Count(text, []byte("{")); n != 0 {
			t.Fatalf("entry %d: the proof shows %d entries in clear", e.Seq, n)
		}
		r := checkText(t, text, Trust{Keys: []string{key}})
		if !r.OK || r.Proved == nil || *r.Proved != e || r.Last.Size < e.Seq {
			t.Fatalf("entry %d: got %+v, %+v", e.Seq, r, r.Proved)
		}
		if e.Seq%41 != 0 {
			continue
		}
		for i := range all {
			err := Prove(&bytes.Buffer{}, dir, e.Seq, &all[i])
			if all[i].Size < e.Seq {
				if !errors.Is(err, ErrNotCovered) {
					t.Errorf("entry %d under %d: got %v, want ErrNotCovered", e.Seq, all[i].Size, err)
				}
				continue
			}
			text := mustProve(t, dir, e.Seq, &all[i])
			if !bytes.HasPrefix(text, []byte(proofHead)) {
				t.Errorf("something stands before the proof: %.60q", text)
			}
			if r := checkText(t, text, Trust{Held: all}); !r.OK || *r.Proved != e {
				t.Errorf("entry %d under %d: got %+v", e.Seq, all[i].Size, r)
			}
			if r := checkText(t, text, Trust{}); r.OK != (i == 0) { // the first has its key with it
				t.Errorf("entry %d under %d, no trust: got %+v", e.Seq, all[i].Size, r)
			}
		}
	}
}

func TestProveRefuses(t *testing.T) {
	dir := signedLog(t, 2, 300)
	all := mustCheckpoints(t, dir)
	otherDir := newDir(t)
	l := openSmall(t, otherDir)
	mustAppendSync(t, l)
	mustAppend(t, l, 300)
	l.StartCheckpoints(newKeys())
	mustClose(t, l)
	other := mustCheckpoints(t, otherDir)
	l = openSmall(t, dir)
	mustAppendSync(t, l)
	mustClose(t, l)
	w := &bytes.Buffer{}
	for _, c := range []struct {
		name string
		got  error
		want error
	}{
		{"not covered yet", Prove(w, dir, all[len(all)-1].Size+1, nil), ErrNotCovered},
		{"not there", Prove(w, dir, 1_000_000, nil), ErrNotCovered},
		{"no log", Prove(w, newDir(t), 1, &all[0]), fs.ErrNotExist},
		{"a checkpoint of another log", Prove(w, dir, 7, &other[len(other)-1]), ErrCheckpoint},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
	if err := os.Remove(filepath.Join(dir, segmentName(1))); err != nil {
		t.Fatal(err)
	}
	if err := Prove(w, dir, 1, nil); !errors.Is(err, ErrNoEntry) {
		t.Errorf("deleted: got %v, want ErrNoEntry", err)
	}
	if w.Len() > 0 {
		t.Errorf("a refused proof has %d bytes", w.Len())
	}
	mustProve(t, dir, all[len(all)-1].Size, nil) // what it needs is there
}

// A proof in which anything was changed proves nothing.
func TestProofEveryByteChanged(t *testing.T) {
	dir := signedLog(t, 1, 300)
	all := mustCheckpoints(t, dir)
	for _, seq := range []uint64{1, 256, 270} {
		text := mustProve(t, dir, seq, nil)
		trust := Trust{Keys: []string{all[0].Start}}
		for i := range text {
			for _, c := range []byte{text[i] ^ 1, '\n'} {
				if c == text[i] {
					continue
				}
				bad := slices.Clone(text)
				bad[i] = c
				if r := checkText(t, bad, trust); r.OK {
					t.Fatalf("entry %d, byte %d, %q to %q: taken", seq, i, text[i], c)
				}
			}
		}
		for _, bad := range []string{string(text) + "\n", string(text) + string(text), "{}\n" + string(text), strings.Replace(string(text), "index ", "index 0", 1)} {
			if r := checkText(t, []byte(bad), trust); r.OK {
				t.Errorf("taken: %q", bad)
			}
		}
	}
}

// The second implementation says the same of proofs, good and bad.
func TestSecondImplementationOnProofs(t *testing.T) {
	python := startSecond(t)
	dir := goldenCopy(t)
	all := mustCheckpoints(t, dir)
	keys := Trust{Keys: startsOf(all)}
	place := filepath.Join(t.TempDir(), "proof.txt")
	say := func(text []byte, trust Trust) Report {
		if err := os.WriteFile(place, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return python.both(t, place, trust)
	}
	last := len(all) - 1
	for _, seq := range []uint64{1, 7, 8, 20, 53, all[last].Size} {
		text := mustProve(t, dir, seq, nil)
		if r := say(text, keys); !r.OK {
			t.Errorf("entry %d: %+v", seq, r)
		}
		under := mustProve(t, dir, seq, &all[last])
		if r := say(under, Trust{Held: all[last:]}); !r.OK {
			t.Errorf("entry %d under the last: %+v", seq, r)
		}
		if r := say(under, Trust{Held: all[:1]}); r.OK {
			t.Errorf("entry %d under one that is not held: %+v", seq, r)
		}
		bad := slices.Clone(text)
		bad[rand.IntN(len(bad))] ^= 2
		if r := say(bad, keys); r.OK {
			t.Errorf("entry %d, changed: %+v", seq, r)
		}
	}
}

func FuzzParseProof(f *testing.F) {
	dir := signedLog(f, 1, 300)
	for _, seq := range []uint64{1, 200} {
		text := mustProve(f, dir, seq, nil)
		f.Add(text[bytes.Index(text, []byte(proofHead)):])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parseProof(text)
		if err == nil && !bytes.Equal(p.AppendText(nil), text) {
			t.Errorf("%q comes out as %q", text, p.AppendText(nil))
		}
		if err == nil {
			_, _ = p.entry()
		}
	})
}
