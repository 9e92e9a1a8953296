package audit

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"
	"time"
)

// An attacker who has the whole state of the process after some checkpoint, key and files,
// cannot change what was before: whoever holds nothing but the first public key sees it.
func TestHistoryCannotBeSignedAgain(t *testing.T) {
	dir := signedLog(t, 2, 300)
	key, all := firstKey(t, dir), mustCheckpoints(t, dir)
	state, err := readKeyState(dir)
	if err != nil {
		t.Fatal(err)
	}
	var export bytes.Buffer
	if err := Export(&export, dir, Range{}); err != nil {
		t.Fatal(err)
	}
	var lines [][]byte
	for line := range bytes.Lines(export.Bytes()) {
		if line[0] == '{' {
			lines = append(lines, line)
		}
	}
	check := func(what string, lines [][]byte, list []Checkpoint, want bool) {
		t.Helper()
		var b []byte
		n := 0
		for i, line := range lines {
			b = append(b, line...)
			for n < len(list) && list[n].Size == uint64(i+1) {
				b = append(list[n].AppendNote(b), '\n')
				n++
			}
		}
		r, err := Check(bytes.NewReader(b), Trust{Keys: []string{key}})
		if err != nil || r.OK != want {
			t.Errorf("%s: got %+v, %v, want %v", what, r, err, want)
		}
	}
	check("as it is", lines, all, true)

	// The past is written anew, and every hash with it.
	forged := slices.Clone(lines)
	forged[9] = bytes.Replace(forged[9], []byte(`"GET"`), []byte(`"PUT"`), 1)
	var head Head
	var trees []tree
	var grown tree
	for i := range forged {
		e, err := ParseLine(forged[i])
		if err != nil {
			t.Fatal(err)
		}
		e.Prev = head.before()
		forged[i] = e.AppendLine(nil)
		head = Head{e.Seq, sha256.Sum256(forged[i])}
		grown.add(forged[i])
		trees = append(trees, grown.clone())
	}
	check("old checkpoints over it", forged, all, false)
	check("no checkpoint over it", forged, nil, false)

	stolen := func() *plainKeys {
		k := newKeys()
		if err := k.Restore(state.sealed); err != nil {
			t.Fatal(err)
		}
		return k
	}
	sign := func(keys *plainKeys, size uint64, start string) Checkpoint {
		next, err := keys.Next()
		if err != nil {
			t.Fatal(err)
		}
		tree := trees[size-1]
		p := Checkpoint{
			Origin: all[0].Origin, Size: size, Root: tree.root(), Head: sha256.Sum256(forged[size-1]), Peaks: tree.peaks,
			Time: time.Now().UTC(), Start: start, Next: verifierKey(all[0].Origin, next),
		}
		if start != "" {
			public, _ := keys.Public()
			p.Origin = originOf(public)
			p.Start, p.Next = verifierKey(p.Origin, public), verifierKey(p.Origin, next)
		}
		if err := p.sign(keys); err != nil {
			t.Fatal(err)
		}
		return p
	}
	end := uint64(len(forged))
	check("one checkpoint by the stolen key", forged, []Checkpoint{sign(stolen(), end, "")}, false)
	check("a chain that the stolen key starts", forged, []Checkpoint{sign(stolen(), end, "new")}, false)
	resigned := slices.Clone(all)
	keys := stolen()
	for i := range resigned {
		resigned[i] = sign(keys, all[i].Size, "")
	}
	check("every checkpoint signed again", forged, resigned, false)
	for i := range all {
		replaced := slices.Clone(all)
		replaced[i] = sign(stolen(), all[i].Size, "")
		check("one of them replaced", forged, replaced, false)
		check("one of them replaced, over the right lines", lines, replaced, false)
		check("one taken out", lines, slices.Delete(slices.Clone(all), i, i+1), i == len(all)-1)
		if i > 0 {
			swapped := slices.Clone(all)
			swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
			check("two swapped", lines, swapped, false)
		}
	}
}
