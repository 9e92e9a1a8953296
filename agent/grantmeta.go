package agent

import (
	"bytes"
	"fmt"

	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// grantMeta is what the vault keeps of a grant for its owner, sealed. Integer keys keep
// the form stable, as those of profile.
type grantMeta struct {
	// Chain is that of the grant, of one block.
	Chain []byte `cbor:"1,keyasint"`
	// Profiles are the names that its credentials had, in their order.
	Profiles []string `cbor:"2,keyasint"`
	// UID and Exe are of the process that asked for it, Proof is what was given for it.
	UID   uint32 `cbor:"3,keyasint"`
	Exe   string `cbor:"4,keyasint,omitempty"`
	Proof string `cbor:"5,keyasint"`
	// Listen is the path of the socket on which the grant applies to whoever connects; empty:
	// it has none.
	Listen string `cbor:"6,keyasint,omitempty"`
	// Certificates are the IDs of those that its bundle has, in the order of Profiles, ""
	// where there is none; nil: it has none at all.
	Certificates []string `cbor:"7,keyasint,omitempty"`
	// Revoked is when it was revoked, in Unix seconds; 0: it was not.
	Revoked int64 `cbor:"8,keyasint,omitempty"`
}

// decodeGrant reads what the vault keeps of a grant; anything but the canonical form is an
// error.
func (c profileCodec) decodeGrant(b []byte) (*grantMeta, *unlocktoken.Grant, error) {
	var m grantMeta
	if err := c.dec.Unmarshal(b, &m); err != nil {
		return nil, nil, fmt.Errorf("decoding a grant: %w", err)
	}
	if again, _ := c.enc.Marshal(&m); !bytes.Equal(again, b) {
		return nil, nil, fmt.Errorf("decoding a grant: %w: not canonical", ErrRequest)
	}
	chain, err := unlocktoken.DecodeChain(m.Chain)
	if err != nil {
		return nil, nil, fmt.Errorf("decoding a grant: %w", err)
	}
	g, err := chain.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("decoding a grant: %w", err)
	}
	if len(m.Profiles) != len(g.Caveats.Credentials) {
		return nil, nil, fmt.Errorf("decoding a grant: %w: %d names for %d credentials", ErrRequest, len(m.Profiles), len(g.Caveats.Credentials))
	}
	if len(m.Certificates) != 0 && len(m.Certificates) != len(m.Profiles) {
		return nil, nil, fmt.Errorf("decoding a grant: %w: %d certificates for %d profiles", ErrRequest, len(m.Certificates), len(m.Profiles))
	}
	return &m, g, nil
}
