package secret

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/binary"
	"fmt"
	"math"
)

// sealLabel starts the info of every sealed message and names the protocol.
const sealLabel = "nsagent/v1 seal"

// x25519Size is the size of a public key and of an encapsulated key.
const x25519Size = 32

// SealContext says where a sealed secret belongs. A message opens only under the
// context it was sealed under. No part is secret.
type SealContext struct {
	VaultID  []byte // of the vault it is for
	Instance []byte // of the agent process it is for
	Method   string // the RPC that carries it
	Profile  string // the profile it is for, or ""
	Field    string // the field of the request it stands in
}

// info is the protocol label, vault ID and instance; aad the method, profile and
// field. Each part is preceded by its length in two bytes, big endian, so that
// no two contexts have the same encoding.
func (c SealContext) encode() (info, aad []byte, err error) {
	if info, err = lengthPrefixed([]byte(sealLabel), c.VaultID, c.Instance); err != nil {
		return nil, nil, err
	}
	aad, err = lengthPrefixed([]byte(c.Method), []byte(c.Profile), []byte(c.Field))
	return info, aad, err
}

func lengthPrefixed(parts ...[]byte) ([]byte, error) {
	var out []byte
	for _, p := range parts {
		if len(p) > math.MaxUint16 {
			return nil, fmt.Errorf("%w: a part of %d bytes", ErrContext, len(p))
		}
		out = binary.BigEndian.AppendUint16(out, uint16(len(p)))
		out = append(out, p...)
	}
	return out, nil
}

// Receiver is a one-time key to which a client seals one secret: HPKE base mode
// (RFC 9180) with X25519, HKDF-SHA256 and ChaCha20-Poly1305.
type Receiver struct {
	arena *Arena
	key   Bytes
	pub   []byte
}

// NewReceiver makes a key pair whose private half lies in the arena. The errors
// are those of Alloc.
func (a *Arena) NewReceiver() (*Receiver, error) {
	key, err := a.Random(x25519Size)
	if err != nil {
		return nil, err
	}
	pub := make([]byte, x25519Size)
	err = key.Use(func(p []byte) error {
		var err error
		Do(func() {
			var k *ecdh.PrivateKey
			if k, err = ecdh.X25519().NewPrivateKey(p); err == nil {
				copy(pub, k.PublicKey().Bytes())
			}
		})
		return err
	})
	if err != nil {
		key.Destroy()
		return nil, fmt.Errorf("making a receiver key: %w", err)
	}
	return &Receiver{arena: a, key: key, pub: pub}, nil
}

// PublicKey returns a copy of the 32 bytes to seal to.
func (r *Receiver) PublicKey() []byte { return bytes.Clone(r.pub) }

// Open opens what SealTo made for this key and context, into the arena. It works
// once: the key is destroyed whatever comes out. The error is ErrOpen for every
// message that does not open, ErrDestroyed at the second call, ErrContext, or one
// of Alloc's.
func (r *Receiver) Open(sealed []byte, c SealContext) (Bytes, error) {
	once, ok := r.key.b.claim()
	if !ok {
		return Bytes{}, ErrDestroyed
	}
	defer r.key.b.release()
	defer r.arena.ReleaseMemory()
	info, aad, err := c.encode()
	if err != nil {
		return Bytes{}, err
	}
	if len(sealed) < x25519Size {
		return Bytes{}, ErrOpen
	}
	var out Bytes
	Do(func() { out, err = r.arena.open(once, sealed, info, aad) })
	return out, err
}

// open runs inside Do.
func (a *Arena) open(key, sealed, info, aad []byte) (Bytes, error) {
	k, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(key)
	if err != nil {
		return Bytes{}, ErrOpen
	}
	from, err := hpke.NewRecipient(sealed[:x25519Size], k, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info)
	if err != nil {
		return Bytes{}, ErrOpen
	}
	plain, err := from.Open(aad, sealed[x25519Size:])
	if err != nil {
		return Bytes{}, ErrOpen
	}
	return a.Take(plain)
}

// Opening opens a long message piece by piece, in the order in which they were
// sealed.
type Opening struct {
	arena *Arena
	from  *hpke.Recipient
	aad   []byte
}

// Begin begins to open what SealPieces made for this key and context; enc is the
// first piece, which holds the encapsulated key. Like Open it works once. The errors
// are those of Open.
func (r *Receiver) Begin(enc []byte, c SealContext) (*Opening, error) {
	once, ok := r.key.b.claim()
	if !ok {
		return nil, ErrDestroyed
	}
	defer r.key.b.release()
	info, aad, err := c.encode()
	if err != nil {
		return nil, err
	}
	o := &Opening{arena: r.arena, aad: aad}
	Do(func() {
		var k hpke.PrivateKey
		if k, err = hpke.DHKEM(ecdh.X25519()).NewPrivateKey(once); err == nil {
			o.from, err = hpke.NewRecipient(enc, k, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info)
		}
	})
	if err != nil {
		return nil, ErrOpen
	}
	return o, nil
}

// Next opens the next piece, into the arena. The error is ErrOpen, also for a piece
// that is left out, repeated or out of order, or one of Alloc's.
func (o *Opening) Next(sealed []byte) (Bytes, error) {
	var out Bytes
	var err error
	Do(func() {
		var plain []byte
		if plain, err = o.from.Open(o.aad, sealed); err != nil {
			err = ErrOpen
			return
		}
		out, err = o.arena.Take(plain)
	})
	return out, err
}

// Destroy wipes the private key, if Open has not.
func (r *Receiver) Destroy() { r.key.Destroy() }

// SealPieces seals plaintext to a Receiver's public key under a context, for
// Receiver.Begin: it calls emit with the encapsulated key and then with one sealed
// piece of at most size bytes after the other. plaintext stays the caller's. The
// error is emit's, or as of SealTo.
func SealPieces(publicKey []byte, c SealContext, plaintext Bytes, size int, emit func(piece []byte) error) error {
	info, aad, err := c.encode()
	if err != nil {
		return err
	}
	pub, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(publicKey)
	if err != nil {
		return ErrPublicKey
	}
	return plaintext.Use(func(p []byte) error {
		var to *hpke.Sender
		var enc []byte
		Do(func() { enc, to, err = hpke.NewSender(pub, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info) })
		if err != nil {
			return ErrPublicKey // the shared point is zero
		}
		if err := emit(bytes.Clone(enc)); err != nil {
			return err
		}
		for len(p) > 0 {
			n := min(size, len(p))
			var ct []byte
			Do(func() { ct, err = to.Seal(aad, p[:n]) })
			if err != nil {
				return err
			}
			if err := emit(bytes.Clone(ct)); err != nil {
				return err
			}
			p = p[n:]
		}
		return nil
	})
}

// SealTo seals plaintext to a Receiver's public key under a context: the
// encapsulated key, 32 bytes, followed by the ciphertext, which is 16 bytes
// longer than the plaintext. plaintext stays the caller's.
//
// The error is ErrPublicKey, ErrContext or ErrDestroyed.
func SealTo(publicKey []byte, c SealContext, plaintext Bytes) (sealed []byte, err error) {
	err = plaintext.Use(func(p []byte) error {
		sealed, err = SealSlice(publicKey, c, p)
		return err
	})
	return sealed, err
}

// SealSlice is SealTo for bytes that are in no arena, such as those of an answer that a
// process without one has just read from the network.
func SealSlice(publicKey []byte, c SealContext, plaintext []byte) ([]byte, error) {
	info, aad, err := c.encode()
	if err != nil {
		return nil, err
	}
	pub, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(publicKey)
	if err != nil {
		return nil, ErrPublicKey
	}
	var enc, ct []byte
	Do(func() {
		var to *hpke.Sender
		if enc, to, err = hpke.NewSender(pub, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info); err != nil {
			err = ErrPublicKey // the shared point is zero
			return
		}
		ct, err = to.Seal(aad, plaintext)
	})
	if err != nil {
		return nil, err
	}
	return append(bytes.Clone(enc), ct...), nil
}
