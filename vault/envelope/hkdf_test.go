package envelope

import (
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
)

// TestHKDFAllocatesNothing: what is on the heap, secret.Do cannot erase at once.
func TestHKDFAllocatesNothing(t *testing.T) {
	key, nonce, dst := make([]byte, keySize), make([]byte, nonceSize), make([]byte, keySize+commitmentSize)
	longest := slotContext(testVault, &Slot{Kind: KindKeyringPassphrase, KDF: KDFDefault, Salt: make([]byte, saltSize)})
	for _, aad := range [][]byte{longest, dekContext(testVault, ID{}, 1<<40, PartSignOnly, [32]byte{})} {
		if n := testing.AllocsPerRun(100, func() { secret.HKDF(dst, key, nonce, aad) }); n != 0 {
			t.Errorf("%v allocations with %d bytes of associated data", n, len(aad))
		}
	}
}
