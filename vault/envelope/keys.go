package envelope

import (
	"crypto/ed25519"
	"fmt"
	"io"

	"github.com/nsagent/nsagent/internal/secret"
)

// Keys does what the VRK allows: it opens and seals records and signs manifests.
// It is safe for concurrent use until Destroy.
type Keys struct {
	arena *secret.Arena
	rand  io.Reader
	vault ID
	vrk   secret.Bytes
}

// NewKeys takes ownership of vrk, the vault root key of that vault.
func NewKeys(a *secret.Arena, rand io.Reader, vault ID, vrk secret.Bytes) *Keys {
	return &Keys{arena: a, rand: rand, vault: vault, vrk: vrk}
}

// GenerateKeys returns the Keys of a new vault, under a VRK of 32 bytes from rand.
func GenerateKeys(a *secret.Arena, rand io.Reader, vault ID) (*Keys, error) {
	vrk, err := newKey(a, rand)
	if err != nil {
		return nil, err
	}
	return NewKeys(a, rand, vault, vrk), nil
}

// Destroy wipes the VRK.
func (k *Keys) Destroy() { k.vrk.Destroy() }

// SealSlot returns a slot that opens the VRK of k; see SealSlot.
func (k *Keys) SealSlot(kind Kind, kdf KDF, shares Shares) (*Slot, error) {
	return SealSlot(k.arena, k.rand, k.vault, k.vrk, kind, kdf, shares)
}

// PublicKey returns the Ed25519 key that verifies this vault's manifests.
func (k *Keys) PublicKey() (public [32]byte, err error) {
	return k.public(labelManifestKey)
}

// GrantKey returns the Ed25519 key that verifies the grants of this vault.
func (k *Keys) GrantKey() (public [32]byte, err error) { return k.public(labelGrantKey) }

// SignGrant signs what a grant says, in a form that is the caller's.
func (k *Keys) SignGrant(message []byte) (signature [64]byte, err error) {
	return k.sign(labelGrantKey, message)
}

// public returns the public half of the signing key of that label.
func (k *Keys) public(label string) (public [32]byte, err error) {
	err = k.withSigningKey(label, func(key ed25519.PrivateKey) {
		copy(public[:], key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
	})
	return public, err
}

// sign signs a message with the signing key of that label.
func (k *Keys) sign(label string, message []byte) (signature [64]byte, err error) {
	err = k.withSigningKey(label, func(key ed25519.PrivateKey) {
		copy(signature[:], ed25519.Sign(key, message))
	})
	return signature, err
}

// withSigningKey derives the signing key of that label and calls f with it inside
// secret.Do.
func (k *Keys) withSigningKey(label string, f func(ed25519.PrivateKey)) error {
	seed, err := k.arena.DeriveKey(k.vrk, k.vault[:], []byte(label))
	if err != nil {
		return err
	}
	defer seed.Destroy()
	return seed.Use(func(p []byte) error {
		secret.Do(func() {
			key := ed25519.NewKeyFromSeed(p)
			f(key)
			secret.Wipe(key)
		})
		return nil
	})
}

// newKey returns 32 random bytes in the arena.
func newKey(a *secret.Arena, rand io.Reader) (secret.Bytes, error) {
	key, err := a.Alloc(keySize)
	if err != nil {
		return secret.Bytes{}, err
	}
	err = key.Use(func(p []byte) error {
		var err error
		secret.Do(func() { _, err = io.ReadFull(rand, p) })
		return err
	})
	if err != nil {
		key.Destroy()
		return secret.Bytes{}, fmt.Errorf("drawing a key: %w", err)
	}
	return key, nil
}

// sealKey seals the key inner under outer.
func sealKey(rand io.Reader, outer secret.Bytes, aad []byte, inner secret.Bytes) (sealed []byte, err error) {
	err = outer.Use(func(k []byte) error {
		return inner.Use(func(p []byte) error {
			sealed, err = seal(rand, k, aad, p)
			return err
		})
	})
	return sealed, err
}

// openKey opens a sealed 32-byte key into the arena.
func openKey(a *secret.Arena, outer secret.Bytes, aad, sealed []byte) (secret.Bytes, error) {
	inner, err := a.Alloc(keySize)
	if err != nil {
		return secret.Bytes{}, err
	}
	err = outer.Use(func(k []byte) error {
		return inner.Use(func(q []byte) error { return open(q, k, aad, sealed) })
	})
	if err != nil {
		inner.Destroy()
		return secret.Bytes{}, err
	}
	return inner, nil
}
