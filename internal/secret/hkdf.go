package secret

import (
	"crypto/sha256"
	"fmt"
)

// DeriveKey returns 32 bytes of HKDF-SHA256 (RFC 5869) of ikm, salt and info. ikm stays
// the caller's. The errors are ErrDestroyed and those of Alloc.
func (a *Arena) DeriveKey(ikm Bytes, salt, info []byte) (Bytes, error) {
	key, err := a.Alloc(sha256.Size)
	if err != nil {
		return Bytes{}, err
	}
	err = ikm.Use(func(p []byte) error {
		return key.Use(func(q []byte) error {
			Do(func() { HKDF(q, p, salt, info) })
			return nil
		})
	})
	if err != nil {
		key.Destroy()
		return Bytes{}, fmt.Errorf("deriving a key: %w", err)
	}
	return key, nil
}

// HKDF fills dst, at most 255 * 32 bytes, with HKDF-SHA256 (RFC 5869) of ikm, salt and
// info. It is called inside Do.
//
// crypto/hkdf would do the same with 20 allocations a call, half of which hold the
// key or what gives it away until the garbage collector comes by. Here every secret
// value lies on the stack, which Do erases on return; Wipe does the most of it
// where Do does nothing.
func HKDF(dst, ikm, salt, info []byte) {
	prk := hmacSHA256(salt, ikm, nil, nil)
	var t [sha256.Size]byte
	var previous []byte // T(0) is empty
	for i := byte(1); len(dst) > 0; i++ {
		t = hmacSHA256(prk[:], previous, info, []byte{i})
		previous = t[:]
		dst = dst[copy(dst, t[:]):]
	}
	Wipe(prk[:])
	Wipe(t[:])
}

// hmacSHA256 returns HMAC-SHA256 (RFC 2104) of a ‖ b ‖ c. Longer keys than a block
// are hashed first, as the RFC says; keys here are 16 to 32 bytes.
func hmacSHA256(key, a, b, c []byte) [sha256.Size]byte {
	var space [5 * sha256.BlockSize]byte // enough for all of ours; longer input goes to the heap
	if len(key) > sha256.BlockSize {
		short := sha256.Sum256(key)
		key = short[:]
	}
	inner := pad64(space[:0], key, 0x36)
	inner = append(append(append(inner, a...), b...), c...)
	digest := sha256.Sum256(inner)
	outer := append(pad64(space[:0], key, 0x5c), digest[:]...)
	mac := sha256.Sum256(outer)
	Wipe(space[:])
	return mac
}

// pad64 appends key, filled up to a block with zeros, each byte combined with x.
func pad64(dst, key []byte, x byte) []byte {
	for i := range sha256.BlockSize {
		b := x
		if i < len(key) {
			b ^= key[i]
		}
		dst = append(dst, b)
	}
	return dst
}
