package secret

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding"
	"hash"
	"testing"
)

// digests that must not be placed, or must not pass the self-test.
type (
	valueDigest   struct{ digest }
	pointerDigest struct {
		_ [8]uint32
		_ *byte
	}
	brokenDigest struct{ _ [8]uint32 }
)

func (*pointerDigest) Write(p []byte) (int, error)           { return len(p), nil }
func (*pointerDigest) Reset()                                {}
func (*pointerDigest) AppendBinary(b []byte) ([]byte, error) { return b, nil }
func (*pointerDigest) UnmarshalBinary([]byte) error          { return nil }

func (*brokenDigest) Write(p []byte) (int, error) { return len(p), nil }
func (*brokenDigest) Reset()                      {}
func (*brokenDigest) AppendBinary(b []byte) ([]byte, error) {
	return append(b, make([]byte, marshaledSize)...), nil
}
func (*brokenDigest) UnmarshalBinary([]byte) error { return nil }

func TestPlaceRefuses(t *testing.T) {
	mem := make([]byte, 1024)
	good := sha256.New().(digest)
	for name, c := range map[string]struct {
		d   digest
		mem []byte
	}{
		"not a pointer": {valueDigest{good}, mem}, "holds a pointer": {&pointerDigest{}, mem}, "holds an interface": {&valueDigest{good}, mem},
		"too small": {good, mem[:64]}, "misaligned": {good, mem[1:]},
	} {
		if d, err := place(c.d, c.mem); err == nil || d != nil {
			t.Errorf("%s: placed", name)
		}
	}
	d, err := place(good, mem)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = good.Write([]byte("not to the copy"))
	_, _ = d.Write([]byte("abc"))
	want := sha256.Sum256([]byte("abc"))
	if got := d.(hash.Hash).Sum(nil); string(got) != string(want[:]) {
		t.Errorf("placed digest: got %x, want %x", got, want)
	}
}

// A digest that does not resume, or not where it should, fails the self-test.
func TestSelfTest(t *testing.T) {
	mem := make([]byte, workerSize)
	for name, c := range map[string]struct {
		d      digest
		object []byte
		ok     bool
	}{
		"good":             {sha256.New().(digest), nil, true},
		"not where it was": {sha256.New().(digest), mem[:128], false},
		"broken":           {&brokenDigest{}, nil, false},
		"no state":         {&pointerDigest{}, nil, false},
		"other hash":       {sha512.New().(encoding.BinaryUnmarshaler).(digest), nil, false},
		"SHA-224":          {sha256.New224().(digest), nil, false},
	} {
		w := &worker{d: c.d}
		if err := w.selfTest(mem, c.object); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if !allZero(mem) {
			t.Errorf("%s: the test left something behind", name)
		}
	}
}
