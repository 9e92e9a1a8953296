package envelope

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"testing"

	"pgregory.net/rapid"
)

// TestHKDF compares with the standard library.
func TestHKDF(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfN(rapid.Byte(), 0, 300)
		ikm, salt, info := some.Draw(t, "ikm"), some.Draw(t, "salt"), some.Draw(t, "info")
		got := make([]byte, rapid.IntRange(1, 255*sha256.Size).Draw(t, "n"))
		hkdfSHA256(got, ikm, salt, info)
		want, err := hkdf.Key(sha256.New, ikm, salt, string(info), len(got))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

// TestHKDFAllocatesNothing: what is on the heap, secret.Do cannot erase at once.
func TestHKDFAllocatesNothing(t *testing.T) {
	key, nonce, dst := make([]byte, keySize), make([]byte, nonceSize), make([]byte, keySize+commitmentSize)
	longest := slotContext(testVault, &Slot{Kind: KindKeyringPassphrase, KDF: KDFDefault, Salt: make([]byte, saltSize)})
	for _, aad := range [][]byte{longest, dekContext(testVault, ID{}, 1<<40, PartSignOnly, [32]byte{})} {
		if n := testing.AllocsPerRun(100, func() { hkdfSHA256(dst, key, nonce, aad) }); n != 0 {
			t.Errorf("%v allocations with %d bytes of associated data", n, len(aad))
		}
	}
}
