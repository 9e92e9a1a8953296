package envelope

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestSealOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), keySize, keySize).Draw(t, "key")
		aad := rapid.SliceOf(rapid.Byte()).Draw(t, "aad")
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "plaintext")
		sealed, err := seal(rand.Reader, key, aad, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) != len(plaintext)+Overhead {
			t.Fatalf("sealed to %d bytes, want %d", len(sealed), len(plaintext)+Overhead)
		}
		got := make([]byte, len(plaintext))
		if err := open(got, key, aad, sealed); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, plaintext) {
			t.Fatalf("opened %x, want %x", got, plaintext)
		}
		again, err := seal(rand.Reader, key, aad, plaintext)
		if err != nil || bytes.Equal(again, sealed) {
			t.Fatalf("two seals of the same gave the same bytes, or %v", err)
		}
	})
}

func TestOpenRefusesEveryChange(t *testing.T) {
	key, aad, plaintext := bytes.Repeat([]byte{7}, keySize), []byte("where it belongs"), []byte("a secret of some length")
	sealed, err := seal(rand.Reader, key, aad, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, key, aad, sealed []byte) {
		t.Helper()
		dst := make([]byte, max(0, len(sealed)-Overhead))
		if err := open(dst, key, aad, sealed); err != ErrOpen { //nolint:errorlint // exactly this value: no oracle
			t.Errorf("%s: got %v, want ErrOpen itself", what, err)
		}
		if bytes.Contains(dst, plaintext[:8]) {
			t.Errorf("%s: plaintext in the buffer after a refusal", what)
		}
	}
	for i := range sealed {
		for bit := range 8 {
			refused("flipped bit", key, aad, flip(sealed, i, bit))
		}
	}
	for n := range sealed {
		refused("truncated", key, aad, sealed[:n])
	}
	refused("longer", key, aad, append(bytes.Clone(sealed), 0))
	for i := range aad {
		refused("other associated data", key, flip(aad, i, 0), sealed)
	}
	refused("no associated data", key, nil, sealed)
	for i := range key {
		refused("other key", flip(key, i, 3), aad, sealed)
	}
}

// TestCommitmentComesFirst shows V-04: with a wrong commitment the AEAD is not
// even made, whether or not it would open.
func TestCommitmentComesFirst(t *testing.T) {
	key, aad := bytes.Repeat([]byte{7}, keySize), []byte("aad")
	sealed, err := seal(rand.Reader, key, aad, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	count := func() { made++ }
	dst := make([]byte, 6)
	for _, c := range []struct {
		name   string
		sealed []byte
		key    []byte
		aad    []byte
		made   int
		err    error
	}{
		{"as sealed", sealed, key, aad, 1, nil},
		{"tag changed", flip(sealed, len(sealed)-1, 0), key, aad, 1, ErrOpen},
		{"commitment changed, tag right", flip(sealed, 1+nonceSize, 0), key, aad, 0, ErrOpen},
		{"last byte of the commitment", flip(sealed, headSize-1, 7), key, aad, 0, ErrOpen},
		{"nonce changed", flip(sealed, 1, 0), key, aad, 0, ErrOpen},
		{"wrong key", sealed, flip(key, 0, 0), aad, 0, ErrOpen},
		{"wrong place", sealed, key, []byte("other"), 0, ErrOpen},
	} {
		made = 0
		if err := openSeen(count, dst, c.key, c.aad, c.sealed); !errors.Is(err, c.err) || made != c.made {
			t.Errorf("%s: error %v and %d AEADs made, want %v and %d", c.name, err, made, c.err, c.made)
		}
	}
}

// TestSuiteVector pins the bytes of suite 1. docs/vault-format.md shows the same
// values.
func TestSuiteVector(t *testing.T) {
	key := make([]byte, keySize)
	for i := range key {
		key[i] = byte(i)
	}
	aad := contentContext(ID{1}, ID{2}, 1, PartSignOnly)
	sealed, err := seal(bytes.NewReader(bytes.Repeat([]byte{0x42}, nonceSize)), key, aad, []byte("nsagent"))
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sealed); got != suiteVector {
		t.Errorf("got  %s\nwant %s", got, suiteVector)
	}
}

func flip(b []byte, i, bit int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 1 << bit
	return b
}

// suiteVector was computed by an independent program from the format page.
const suiteVector = "01424242424242424242424242424242424242424242424242d191efd0015655e423347935e707ca1d0b786e2ef8344fd5229f60d96a5f57062e4b04d6dea6e3d6cde4167b34dfb3365324874b55cac5"

// TestOpenLeavesNoKeyOnTheHeap: opening allocates the AEAD and nothing else, so that the
// key and the commitment that it derives lie on the stack alone, which secret.Do erases.
func TestOpenLeavesNoKeyOnTheHeap(t *testing.T) {
	key, plaintext := make([]byte, keySize), make([]byte, 6)
	sealed, err := seal(rand.Reader, key, nil, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(100, func() {
		if err := open(plaintext, key, nil, sealed); err != nil {
			t.Error(err)
		}
	})
	if n > 1 {
		t.Errorf("%v allocations, want that of the AEAD", n)
	}
}
