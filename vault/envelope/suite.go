package envelope

import (
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/nsagent/nsagent/internal/secret"
)

// Suite1 is the only suite so far: XChaCha20-Poly1305 under a key and a 32-byte
// commitment that HKDF-SHA256 derives from the key, a random nonce and the
// associated data.
//
// The AEAD alone commits to nothing: a ciphertext can be made that opens under two
// keys, and a file that opens differently for two users, or that tests many
// passphrases at once, follows from that. The commitment binds key, nonce and
// associated data before the AEAD sees a byte. Deriving a key for each nonce also
// takes away every bound on the number of messages under one key.
const Suite1 = 1

const (
	keySize        = chacha20poly1305.KeySize
	nonceSize      = chacha20poly1305.NonceSizeX
	commitmentSize = 32
	headSize       = 1 + nonceSize + commitmentSize

	// Overhead is how many bytes longer sealed data are than their plaintext.
	Overhead = headSize + chacha20poly1305.Overhead

	sealedKeySize = keySize + Overhead
)

// seal returns plaintext sealed under key with a nonce from rand. key and
// plaintext lie in locked memory; the result is the caller's.
func seal(rand io.Reader, key, aad, plaintext []byte) ([]byte, error) {
	out := make([]byte, headSize, len(plaintext)+Overhead)
	out[0] = Suite1
	nonce := out[1 : 1+nonceSize]
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	var err error
	secret.Do(func() {
		var okm [keySize + commitmentSize]byte
		secret.HKDF(okm[:], key, nonce, aad)
		defer secret.Wipe(okm[:])
		copy(out[1+nonceSize:], okm[keySize:])
		var aead cipher.AEAD
		if aead, err = chacha20poly1305.NewX(okm[:keySize]); err != nil {
			return
		}
		out = aead.Seal(out, nonce, plaintext, aad)
	})
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return out, nil
}

// open opens sealed into dst, which lies in locked memory and has exactly the
// length of the plaintext. The error is ErrOpen, whatever was wrong; dst then
// holds nothing of use.
func open(dst, key, aad, sealed []byte) error {
	return openSeen(func() {}, dst, key, aad, sealed)
}

// openSeen is open that calls committed once the commitment is found right, so that a test
// sees it. The AEAD is made by a direct call, past which okm does not outlive the stack.
func openSeen(committed func(), dst, key, aad, sealed []byte) error {
	if len(sealed) < Overhead || len(dst) != len(sealed)-Overhead || sealed[0] != Suite1 {
		return ErrOpen
	}
	nonce := sealed[1 : 1+nonceSize]
	commitment := sealed[1+nonceSize : headSize]
	ok := false
	secret.Do(func() {
		var okm [keySize + commitmentSize]byte
		secret.HKDF(okm[:], key, nonce, aad)
		defer secret.Wipe(okm[:])
		if subtle.ConstantTimeCompare(okm[keySize:], commitment) != 1 {
			return
		}
		committed()
		aead, err := chacha20poly1305.NewX(okm[:keySize])
		if err != nil {
			return
		}
		_, err = aead.Open(dst[:0], nonce, sealed[headSize:], aad)
		ok = err == nil
	})
	if !ok {
		return ErrOpen
	}
	return nil
}
