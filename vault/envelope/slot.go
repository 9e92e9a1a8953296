package envelope

import (
	"fmt"
	"io"

	"github.com/nsagent/nsagent/internal/secret"
)

// Kind says what opens a key slot.
type Kind string

const (
	// KindKeyring opens with the share in the OS keyring alone.
	KindKeyring Kind = "keyring"
	// KindPassphrase opens with a passphrase alone.
	KindPassphrase Kind = "passphrase"
	// KindKeyringPassphrase opens with both; neither alone says anything.
	KindKeyringPassphrase Kind = "keyring+passphrase"
	// KindRecovery opens with a recovery code, which a person keeps on paper.
	KindRecovery Kind = "recovery"
	// KindKeyFile opens with the key in a file of its own.
	KindKeyFile Kind = "key-file"
)

// Lengths in bytes of what opens a slot beside a passphrase. All are random, so that
// none needs stretching.
const (
	ShareSize    = 32 // a keyring share
	RecoverySize = 16 // a recovery code, without its check
	KeyFileSize  = 32 // the key in a key file
)

const (
	saltSize = 32
	// MaxSlots is the most key slots of a vault.
	MaxSlots = 8
)

// NeedsPassphrase reports whether opening a slot of kind k takes a passphrase.
func (k Kind) NeedsPassphrase() bool { return k == KindPassphrase || k == KindKeyringPassphrase }

// NeedsShare reports whether opening a slot of kind k takes the keyring share.
func (k Kind) NeedsShare() bool { return k == KindKeyring || k == KindKeyringPassphrase }

// KeySize returns how long the key is that a slot of kind k takes; 0 if it takes none.
func (k Kind) KeySize() int {
	switch k {
	case KindRecovery:
		return RecoverySize
	case KindKeyFile:
		return KeyFileSize
	default:
		return 0
	}
}

func (k Kind) known() bool { return k.NeedsPassphrase() || k.NeedsShare() || k.KeySize() > 0 }

// Slot is the VRK sealed under one way to unlock. Slots are an OR: the weakest
// decides what a thief of the file needs.
type Slot struct {
	ID   ID
	Kind Kind
	KDF  KDF    // zero unless Kind needs a passphrase
	Salt []byte // of the KDF, 32 bytes; empty unless Kind needs a passphrase
	VRK  []byte // sealed
}

// Shares is what opens a slot. What its kind does not need may be the zero Bytes.
// Passphrases are taken as the bytes they are, without Unicode normalisation and
// without removing anything.
type Shares struct {
	Passphrase secret.Bytes
	Keyring    secret.Bytes // 32 bytes
	Key        secret.Bytes // a recovery code or the key of a key file; Kind.KeySize bytes
}

// SealSlot returns a new slot that opens vrk with shares. kdf counts only if kind
// needs a passphrase. Errors: ErrInput if a share is missing or kind is unknown,
// ErrKDF, those of the arena and of rand.
func SealSlot(a *secret.Arena, rand io.Reader, vault ID, vrk secret.Bytes, kind Kind, kdf KDF, shares Shares) (*Slot, error) {
	s := &Slot{Kind: kind}
	if !kind.known() {
		return nil, fmt.Errorf("%w: key slot of unknown kind", ErrInput)
	}
	if _, err := io.ReadFull(rand, s.ID[:]); err != nil {
		return nil, fmt.Errorf("drawing a slot id: %w", err)
	}
	if kind.NeedsPassphrase() {
		if err := kdf.Check(); err != nil {
			return nil, err
		}
		s.KDF, s.Salt = kdf, make([]byte, saltSize)
		if _, err := io.ReadFull(rand, s.Salt); err != nil {
			return nil, fmt.Errorf("drawing a salt: %w", err)
		}
	}
	if !shares.fit(kind) {
		return nil, fmt.Errorf("%w: key slot without what opens it", ErrInput)
	}
	kek, err := s.kek(a, shares)
	if err != nil {
		return nil, err
	}
	defer kek.Destroy()
	if s.VRK, err = sealKey(rand, kek, slotContext(vault, s), vrk); err != nil {
		return nil, err
	}
	return s, nil
}

// Open returns the VRK, which the caller owns. The error is ErrOpen for a wrong,
// missing or misshapen share and for a changed slot alike; it wraps ErrKDF for a
// cost out of bounds, before anything is computed.
func (s *Slot) Open(a *secret.Arena, vault ID, shares Shares) (secret.Bytes, error) {
	if !shares.fit(s.Kind) {
		return secret.Bytes{}, ErrOpen
	}
	kek, err := s.kek(a, shares)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer kek.Destroy()
	return openKey(a, kek, slotContext(vault, s), s.VRK)
}

func (h Shares) fit(k Kind) bool {
	return (!k.NeedsPassphrase() || h.Passphrase.Len() > 0) && (!k.NeedsShare() || h.Keyring.Len() == ShareSize) &&
		(k.KeySize() == 0 || h.Key.Len() == k.KeySize())
}

// kek derives the key that seals the VRK: HKDF-SHA256 (RFC 5869) with the slot's id as
// salt and its kind as info. Its input is the key of a recovery code or key file, or
// the stretched passphrase followed by the keyring share, each where the kind has it.
func (s *Slot) kek(a *secret.Arena, shares Shares) (secret.Bytes, error) {
	if s.Kind.KeySize() > 0 {
		return a.DeriveKey(shares.Key, s.ID[:], []byte(s.Kind))
	}
	ikm, err := a.Alloc(2 * keySize)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer ikm.Destroy()
	n := 0
	err = ikm.Use(func(q []byte) error {
		if s.Kind.NeedsPassphrase() {
			n += keySize
			if err := shares.Passphrase.Use(func(p []byte) error { return s.KDF.stretch(q[:keySize], p, s.Salt) }); err != nil {
				return err
			}
		}
		if s.Kind.NeedsShare() {
			n += ShareSize
			return shares.Keyring.Use(func(p []byte) error {
				secret.Copy(q[n-ShareSize:n], p)
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return secret.Bytes{}, err
	}
	if err := ikm.Truncate(n); err != nil {
		return secret.Bytes{}, err
	}
	return a.DeriveKey(ikm, s.ID[:], []byte(s.Kind))
}
