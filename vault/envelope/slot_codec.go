package envelope

import (
	"fmt"

	"golang.org/x/crypto/argon2"
)

// Names of key derivation algorithms.
const (
	argonName    = "argon2id"
	argonVersion = argon2.Version // 0x13
	noneName     = "none"         // version and costs are then 0
)

// wireSlot and wireKDF are a slot as it is encoded.
type wireSlot struct {
	_    struct{} `cbor:",toarray"`
	ID   ID
	Kind string
	KDF  wireKDF
	Salt []byte
	VRK  []byte
}

type wireKDF struct {
	_         struct{} `cbor:",toarray"`
	Algorithm string
	Version   uint64
	MemoryKiB uint32
	Time      uint32
	Threads   uint8
}

func (w *wireSlot) encode(e *encoder) {
	e.array(5).bytes(w.ID[:]).text(w.Kind)
	w.KDF.encode(e)
	e.bytes(w.Salt).bytes(w.VRK)
}

func (w wireKDF) encode(e *encoder) *encoder {
	return e.array(5).text(w.Algorithm).uint(w.Version).
		uint(uint64(w.MemoryKiB)).uint(uint64(w.Time)).uint(uint64(w.Threads))
}

func (k KDF) wire() wireKDF {
	if k == (KDF{}) {
		return wireKDF{Algorithm: noneName}
	}
	return wireKDF{Algorithm: argonName, Version: argonVersion, MemoryKiB: k.MemoryKiB, Time: k.Time, Threads: k.Threads}
}

func (s *Slot) wire() *wireSlot {
	return &wireSlot{ID: s.ID, Kind: string(s.Kind), KDF: s.KDF.wire(), Salt: s.Salt, VRK: s.VRK}
}

// Encode returns the slot's bytes.
func (s *Slot) Encode() []byte {
	var e encoder
	s.wire().encode(&e)
	return e.b
}

// DecodeSlot is the inverse of Encode and accepts nothing else. Errors: ErrFormat;
// ErrNewer for a kind or algorithm that is not known here; ErrKDF.
func DecodeSlot(b []byte) (*Slot, error) {
	var w wireSlot
	err := decode("key slot", b, MaxRoot, &w, func() []byte {
		var e encoder
		w.encode(&e)
		return e.b
	})
	if err != nil {
		return nil, err
	}
	return w.slot()
}

// slot checks what the encoding does not show.
func (w *wireSlot) slot() (*Slot, error) {
	kind := Kind(w.Kind)
	k := KDF{MemoryKiB: w.KDF.MemoryKiB, Time: w.KDF.Time, Threads: w.KDF.Threads}
	s := &Slot{ID: w.ID, Kind: kind, KDF: k, Salt: w.Salt, VRK: w.VRK}
	switch w.KDF.Algorithm {
	case noneName, argonName:
	default:
		return nil, fmt.Errorf("%w: key slot with another key derivation", ErrNewer)
	}
	switch {
	case !kind.known():
		return nil, fmt.Errorf("%w: key slot of another kind", ErrNewer)
	case len(s.VRK) != sealedKeySize:
		return nil, fmt.Errorf("%w: sealed VRK of %d bytes", ErrFormat, len(s.VRK))
	case !kind.NeedsPassphrase() && (w.KDF != wireKDF{Algorithm: noneName} || len(s.Salt) != 0):
		return nil, fmt.Errorf("%w: key slot with a cost that it does not use", ErrFormat)
	case !kind.NeedsPassphrase():
		return s, nil
	case w.KDF.Algorithm != argonName || len(s.Salt) != saltSize:
		return nil, fmt.Errorf("%w: key slot without cost or salt", ErrFormat)
	case w.KDF.Version != argonVersion:
		return nil, fmt.Errorf("%w: key slot with version %d of %s", ErrNewer, w.KDF.Version, argonName)
	}
	if err := k.Check(); err != nil {
		return nil, err
	}
	return s, nil
}
