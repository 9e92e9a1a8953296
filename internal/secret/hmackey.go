package secret

import (
	"errors"
	"fmt"
)

// MidstatesSize is the size in bytes of a pair of HMAC-SHA256 midstates.
const MidstatesSize = 2 * stateSize

// HMACKey signs with HMAC-SHA256. It holds not the key but the two SHA-256
// chaining values after the key's inner and outer pad: 64 bytes that sign as the
// key does and from which the key cannot be computed.
type HMACKey struct {
	arena *Arena
	mid   Bytes // inner then outer, big endian
}

// NewHMACKey computes the midstates of a key, which may have any length and stays
// the caller's. The errors are ErrDestroyed and those of Alloc.
func (a *Arena) NewHMACKey(key Bytes) (*HMACKey, error) {
	mid, err := a.Alloc(MidstatesSize)
	if err != nil {
		return nil, err
	}
	err = key.Use(func(k []byte) error {
		return mid.Use(func(m []byte) error { return a.expand(k, m) })
	})
	if err != nil {
		mid.Destroy()
		return nil, err
	}
	return &HMACKey{arena: a, mid: mid}, nil
}

func (a *Arena) expand(key, mid []byte) error {
	w, err := a.begin()
	if err != nil {
		return err
	}
	defer a.end(w)
	Do(func() { w.expand(key, mid) })
	return w.err
}

// ResumeHMACKey makes a key of its midstates, the inner one then the outer one,
// big endian, as UseMidstates gives them. It takes ownership of the 64 bytes. The
// error wraps ErrLength, and the bytes are destroyed, if there are not 64.
func (a *Arena) ResumeHMACKey(midstates Bytes) (*HMACKey, error) {
	if n := midstates.Len(); n != MidstatesSize {
		midstates.Destroy()
		return nil, fmt.Errorf("%w: midstates of %d bytes, want %d", ErrLength, n, MidstatesSize)
	}
	return &HMACKey{arena: a, mid: midstates}, nil
}

// UseMidstates calls f with the 64 bytes, under the rules of Bytes.Use; f must
// not write. They can sign as the key does.
func (k *HMACKey) UseMidstates(f func(p []byte) error) error { return k.mid.Use(f) }

// HMACSHA256 sets mac to the HMAC-SHA256 of msg. It allocates nothing, is safe
// for concurrent use, and waits while all workers of the arena are busy. The
// error is ErrDestroyed.
func (k *HMACKey) HMACSHA256(mac *[32]byte, msg []byte) error {
	mid, ok := k.mid.b.acquire()
	if !ok {
		return ErrDestroyed
	}
	defer k.mid.b.release()
	w, err := k.arena.begin()
	if err != nil {
		return err
	}
	defer k.arena.end(w)
	w.mid, w.msg = mid, msg
	Do(w.mac)
	if w.err != nil {
		return errors.Join(errSelfTest, w.err)
	}
	copy(mac[:], w.chaining())
	return nil
}

// Destroy wipes the midstates. A MAC that is running still ends.
func (k *HMACKey) Destroy() { k.mid.Destroy() }
