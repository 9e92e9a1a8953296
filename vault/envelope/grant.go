package envelope

import (
	"bytes"
	"fmt"
	"slices"
)

// Limits of a grant.
const (
	MaxWraps     = 64       // records that it opens
	MaxGrantMeta = 64 << 10 // bytes

	grantFormat = 1
	wrapSize    = idSize + sealedKeySize
	idSize      = 16
)

// Grant is one grant of the vault, sealed: what it says of itself, and keys for whoever
// holds its wrap keys. What it allows is the business of who made it.
type Grant struct {
	ID     ID
	Issuer [32]byte // Keys.GrantKey, readable without the VRK
	Meta   []byte   // sealed under a key derived from the VRK, padded
	Wraps  []Wrap   // in ascending order of the records; none are left where all records went
}

// Wrap is the CK of the sign-only part of a record, sealed under a wrap key, which
// neither the vault nor the VRK gives.
type Wrap struct {
	Record ID
	CK     []byte
}

// wireGrant holds the wraps end to end, as the root does its links: there may be more of
// them than an array of the format has room for.
type wireGrant struct {
	_      struct{} `cbor:",toarray"`
	Type   Type
	Format uint64
	ID     ID
	Issuer [32]byte
	Meta   []byte
	Wraps  []byte
}

// Encode returns the grant's bytes, as the store keeps them.
func (g *Grant) Encode() []byte {
	w := wireGrant{Type: TypeGrant, Format: grantFormat, ID: g.ID, Issuer: g.Issuer, Meta: g.Meta, Wraps: make([]byte, 0, len(g.Wraps)*wrapSize)}
	for _, wrap := range g.Wraps {
		w.Wraps = append(append(w.Wraps, wrap.Record[:]...), wrap.CK...)
	}
	return w.encode()
}

func (w *wireGrant) encode() []byte {
	e := encoder{b: make([]byte, 0, len(w.Meta)+len(w.Wraps)+96)}
	return e.array(6).uint(uint64(w.Type)).uint(w.Format).bytes(w.ID[:]).bytes(w.Issuer[:]).bytes(w.Meta).bytes(w.Wraps).b
}

// DecodeGrant is the inverse of Encode and accepts nothing else. It opens nothing.
// Errors: ErrFormat; ErrNewer for an object of a later type or format.
func DecodeGrant(b []byte) (*Grant, error) {
	var w wireGrant
	if err := decode("grant", b, MaxRecord, &w, w.encode); err != nil {
		return nil, notDecoded(b, TypeGrant, grantFormat, err)
	}
	if err := checkHead("grant", w.Type, w.Format, TypeGrant, grantFormat); err != nil {
		return nil, err
	}
	if len(w.Wraps)%wrapSize != 0 {
		return nil, fmt.Errorf("%w: grant with a part of a wrap", ErrFormat)
	}
	g := &Grant{ID: w.ID, Issuer: w.Issuer, Meta: w.Meta}
	for p := w.Wraps; len(p) > 0; p = p[wrapSize:] {
		g.Wraps = append(g.Wraps, Wrap{ID(p[:idSize]), p[idSize:wrapSize:wrapSize]})
	}
	if err := g.check(); err != nil {
		return nil, err
	}
	return g, nil
}

// check looks at what the encoding does not show.
func (g *Grant) check() error {
	switch {
	case !paddedSealed(len(g.Meta)) || len(g.Meta) > paddedLen(MaxGrantMeta)+Overhead:
		return fmt.Errorf("%w: grant with metadata of odd length", ErrFormat)
	case len(g.Wraps) > MaxWraps:
		return fmt.Errorf("%w: grant with %d wraps, at most %d", ErrFormat, len(g.Wraps), MaxWraps)
	}
	for i := 1; i < len(g.Wraps); i++ {
		if compareWraps(g.Wraps[i-1], g.Wraps[i]) >= 0 {
			return fmt.Errorf("%w: grant with wraps out of order", ErrFormat)
		}
	}
	return nil
}

// Records returns the ids of the records that g opens, in ascending order.
func (g *Grant) Records() []ID {
	ids := make([]ID, len(g.Wraps))
	for i, w := range g.Wraps {
		ids[i] = w.Record
	}
	return ids
}

// Without returns g without the wraps of some records, and whether it had any of them.
func (g *Grant) Without(gone func(record ID) bool) (*Grant, bool) {
	next := *g
	next.Wraps = slices.DeleteFunc(slices.Clone(g.Wraps), func(w Wrap) bool { return gone(w.Record) })
	return &next, len(next.Wraps) != len(g.Wraps)
}

// wrap returns the wrap of a record, or nil.
func (g *Grant) wrap(record ID) *Wrap {
	i, ok := slices.BinarySearchFunc(g.Wraps, Wrap{Record: record}, compareWraps)
	if !ok {
		return nil
	}
	return &g.Wraps[i]
}

func compareWraps(a, b Wrap) int { return bytes.Compare(a.Record[:], b.Record[:]) }
