package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestCheckpointEveryByteChanged(t *testing.T) {
	dir := signedLog(t, 1, 300)
	all := mustCheckpoints(t, dir)
	msg := all[0].AppendNote(nil)
	if p, err := ParseCheckpoint(msg); err != nil || !p.signedBy(all[0].Start) {
		t.Fatal(err)
	}
	for i := range msg {
		for _, c := range []byte{msg[i] ^ 1, msg[i] ^ 0x20, '\n', ' ', '0', 'A', 0} {
			if c == msg[i] {
				continue
			}
			bad := slices.Clone(msg)
			bad[i] = c
			if p, err := ParseCheckpoint(bad); err == nil && p.signedBy(all[0].Start) {
				t.Fatalf("byte %d, %q to %q: taken", i, msg[i], c)
			} else if err != nil && !errors.Is(err, ErrCheckpoint) {
				t.Fatal(err)
			}
		}
		if _, err := ParseCheckpoint(msg[:i]); !errors.Is(err, ErrCheckpoint) {
			t.Fatalf("cut to %d bytes: got %v", i, err)
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	dir := signedLog(f, 1, 300)
	for _, p := range mustCheckpoints(f, dir) {
		f.Add(p.AppendNote(nil))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		p, err := ParseCheckpoint(msg)
		if err == nil && !bytes.Equal(p.AppendNote(nil), msg) {
			t.Errorf("%q comes out as %q", msg, p.AppendNote(nil))
		}
		if err != nil && p.Size != 0 {
			t.Error("an error came with a checkpoint")
		}
	})
}

func FuzzParseKeyState(f *testing.F) {
	dir := signedLog(f, 1, 300)
	b, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(keyFileHead + "AAAA\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseKeyState(b)
		if err == nil && !bytes.Equal(k.encode(), b) {
			t.Errorf("%q comes out as %q", b, k.encode())
		}
		if err != nil && k.sealed != nil {
			t.Error("an error came with a key")
		}
	})
}

// FuzzCheck gives a verifier any stream. It must end, and what it counts as good must be
// vouched for by the one key that it was given.
func FuzzCheck(f *testing.F) {
	dir := signedLog(f, 1, 300)
	key := firstKey(f, dir)
	var b bytes.Buffer
	if err := Export(&b, dir, Range{}); err != nil {
		f.Fatal(err)
	}
	whole := b.Bytes()
	f.Add([]byte{}, uint32(0), uint32(0))
	f.Add([]byte("n"), uint32(len(whole)/2), uint32(1))
	f.Add([]byte("{}\n"), uint32(len(whole)-500), uint32(400))
	f.Fuzz(func(t *testing.T, put []byte, at, drop uint32) {
		from := min(int(at), len(whole))
		to := min(from+int(drop), len(whole))
		bad := slices.Concat(whole[:from], put, whole[to:])
		r, err := Check(bytes.NewReader(bad), Trust{Keys: []string{key}})
		if err != nil {
			t.Fatal(err)
		}
		if r.OK != (r.FirstBad == 0) || r.OK != (r.Why == "") {
			t.Fatalf("contradicts itself: %+v", r)
		}
		if c := r.Covered(); r.OK && c > 0 {
			i := bytes.Index(whole, fmt.Appendf(nil, "%s\n%d\n", r.Last.Origin, c))
			if i < 0 || !bytes.HasPrefix(bad, whole[:i]) {
				t.Fatalf("covered up to %d, and changed before", c)
			}
		}
	})
}
