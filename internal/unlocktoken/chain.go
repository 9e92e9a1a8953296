package unlocktoken

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Limits of a chain.
const (
	MaxBlocks = 8
	MaxChain  = 32 << 10 // bytes, encoded
)

// Modes of a grant.
const (
	// Attached means that the token works with the agent that issued it.
	Attached = "attached"
	// Detached means that it opens a bundle, without that agent.
	Detached = "detached"
)

// Authority is what the issuer signs: the first block.
type Authority struct {
	_        struct{} `cbor:",toarray"`
	Label    string   // set by NewChain
	Vault    ID
	Grant    ID
	Mode     string // Attached or Detached
	IssuedAt int64  // Unix seconds
	Caveats  Caveats
}

// narrowing is any further block.
type narrowing struct {
	_       struct{} `cbor:",toarray"`
	Label   string
	Caveats Caveats
}

// Block is a signed block.
type Block struct {
	_         struct{} `cbor:",toarray"`
	Payload   []byte   // Authority or a narrowing, encoded
	Next      []byte   // Ed25519 public key that signs what follows
	Signature []byte   // by the key of the block before, or the issuer's
}

// Chain is the public half of a token: the authority block and what narrows it.
type Chain []Block

// Labels keep signatures of one kind from being taken for another. They name the version.
const (
	labelAuthority = "nsagent/v1 grant"
	labelNarrowing = "nsagent/v1 narrowing"
	labelBlock     = "nsagent/v1 unlock token block"
	labelProof     = "nsagent/v1 unlock token proof"
)

// signedBlock is what the signature of a block covers. Previous is the signature of the
// block before, so that no block can be moved to another chain or place.
type signedBlock struct {
	_        struct{} `cbor:",toarray"`
	Label    string
	Previous []byte
	Payload  []byte
	Next     []byte
}

// signedProof is what a presentation signs: the last signature stands for the chain.
type signedProof struct {
	_         struct{} `cbor:",toarray"`
	Label     string
	Last      []byte
	Challenge []byte
}

// Signer signs a message with an Ed25519 key that stays where it is.
type Signer func(message []byte) (signature []byte, err error)

// NewChain returns a chain of one block: a, signed by the issuer. next is the public key
// of whoever may narrow it. Errors wrap ErrCaveats, or come from sign.
func NewChain(a Authority, next ed25519.PublicKey, sign Signer) (Chain, error) {
	a.Label = labelAuthority
	if err := a.Check(); err != nil {
		return nil, err
	}
	b, err := newBlock(nil, encode(a), next, sign)
	if err != nil {
		return nil, err
	}
	return Chain{b}, nil
}

// Check returns nil for what a chain can begin with. The error wraps ErrCaveats and says
// what it has to be.
func (a Authority) Check() error {
	a.Label = labelAuthority
	if err := a.check(); err != nil {
		return err
	}
	b := Block{Payload: encode(a), Next: make([]byte, ed25519.PublicKeySize), Signature: make([]byte, ed25519.SignatureSize)}
	if n := len(Chain{b}.Encode()); n > MaxChain {
		return fmt.Errorf("%w: they take %d bytes in all, and a token holds %d", ErrCaveats, n, MaxChain)
	}
	return nil
}

// check demands what every grant has: an end, and credentials.
func (a Authority) check() error {
	if _, err := a.Caveats.ready(); err != nil {
		return err
	}
	switch {
	case a.Caveats.NotAfter == 0:
		return fmt.Errorf("%w: a grant without an end", ErrCaveats)
	case len(a.Caveats.Credentials) == 0:
		return fmt.Errorf("%w: a grant without a credential", ErrCaveats)
	case a.Mode != Attached && a.Mode != Detached:
		return fmt.Errorf("%w: a grant is attached or detached", ErrCaveats)
	case a.IssuedAt <= 0 || a.IssuedAt > a.Caveats.NotAfter:
		return fmt.Errorf("%w: a grant that ends before it was issued", ErrCaveats)
	}
	return nil
}

func newBlock(previous, payload []byte, next ed25519.PublicKey, sign Signer) (Block, error) {
	signature, err := sign(encode(signedBlock{Label: labelBlock, Previous: previous, Payload: payload, Next: next}))
	if err != nil {
		return Block{}, fmt.Errorf("signing a block: %w", err)
	}
	return Block{Payload: payload, Next: next, Signature: signature}, nil
}

// Encode returns the chain as bytes, which are public.
func (c Chain) Encode() []byte { return encode([]Block(c)) }

// DecodeChain is the inverse of Encode and accepts nothing else. It verifies nothing.
// The error wraps ErrFormat.
func DecodeChain(b []byte) (Chain, error) {
	var c []Block
	if err := decode(b, MaxChain, &c); err != nil {
		return nil, err
	}
	if len(c) == 0 || len(c) > MaxBlocks {
		return nil, fmt.Errorf("%w: %d blocks, from 1 to %d allowed", ErrFormat, len(c), MaxBlocks)
	}
	for _, block := range c {
		if len(block.Next) != ed25519.PublicKeySize || len(block.Signature) != ed25519.SignatureSize {
			return nil, fmt.Errorf("%w: a key or a signature of wrong length", ErrFormat)
		}
	}
	return c, nil
}

// Grant is what a verified chain says.
type Grant struct {
	Authority
	// AuthorityHash is the SHA-256 of the authority block's payload, which binds the
	// wraps of credentials to it.
	AuthorityHash [32]byte
	limits        []limit
	subjects      [][32]byte
}

// Verify returns the grant of a chain that issuer began, whose last block is presented
// by who may narrow it: proof is Token.Prove of the challenge. All signatures are
// checked before anything of the chain is believed.
//
// Errors wrap ErrToken and one of ErrSignature, ErrFormat, ErrUnknownCaveat, ErrCaveats.
func (c Chain) Verify(issuer ed25519.PublicKey, challenge, proof []byte) (*Grant, error) {
	g, err := c.verify(issuer, challenge, proof)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return g, nil
}

func (c Chain) verify(issuer ed25519.PublicKey, challenge, proof []byte) (*Grant, error) {
	if len(c) == 0 || len(c) > MaxBlocks || len(issuer) != ed25519.PublicKeySize {
		return nil, ErrFormat
	}
	key, previous := issuer, []byte(nil)
	for _, b := range c {
		if !verifies(key, signedBlock{Label: labelBlock, Previous: previous, Payload: b.Payload, Next: b.Next}, b.Signature) {
			return nil, ErrSignature
		}
		key, previous = b.Next, b.Signature
	}
	if !verifies(key, signedProof{Label: labelProof, Last: previous, Challenge: challenge}, proof) {
		return nil, ErrSignature
	}
	return c.read()
}

// verifies reports whether key signed the message.
func verifies(key ed25519.PublicKey, message any, signature []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, encode(message), signature)
}

// read parses the blocks, whose signatures hold or are not asked for.
func (c Chain) read() (*Grant, error) {
	g := &Grant{AuthorityHash: sha256.Sum256(c[0].Payload)}
	for i, b := range c {
		caveats, err := g.readBlock(i, b.Payload)
		if err != nil {
			return nil, err
		}
		l, err := caveats.ready()
		if err != nil {
			return nil, err
		}
		g.limits = append(g.limits, l)
		g.subjects = append(g.subjects, sha256.Sum256(b.Signature))
	}
	return g, nil
}

func (g *Grant) readBlock(i int, payload []byte) (Caveats, error) {
	if i == 0 {
		if err := decode(payload, MaxChain, &g.Authority); err != nil {
			return Caveats{}, err
		}
		if g.Label != labelAuthority {
			return Caveats{}, fmt.Errorf("%w: the first block is no grant", ErrFormat)
		}
		return g.Caveats, g.check()
	}
	var n narrowing
	if err := decode(payload, MaxChain, &n); err != nil {
		return Caveats{}, err
	}
	if n.Label != labelNarrowing {
		return Caveats{}, fmt.Errorf("%w: block %d does not narrow", ErrFormat, i)
	}
	return n.Caveats, nil
}

// Read returns what a chain says without looking at a signature: for its holder.
// Errors wrap ErrToken.
func (c Chain) Read() (*Grant, error) {
	if len(c) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrToken, ErrFormat)
	}
	g, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return g, nil
}

// Blocks returns the caveats of each block, the authority's first.
func (g *Grant) Blocks() []Caveats {
	all := make([]Caveats, len(g.limits))
	for i, l := range g.limits {
		all[i] = l.Caveats
	}
	return all
}

// encMode is core deterministic encoding (RFC 8949 section 4.2.1). What is empty has one
// encoding, and null does not occur.
var encMode = func() cbor.EncMode {
	options := cbor.CoreDetEncOptions()
	options.NilContainers = cbor.NilContainerAsEmpty
	mode, err := options.EncMode()
	if err != nil {
		panic("unlocktoken: encoder options: " + err.Error()) // a mistake in the lines above
	}
	return mode
}()

// decMode is fxamacker/cbor at its strictest.
var decMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: 8, MaxArrayElements: MaxList, MaxMapPairs: MaxList,
		IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8: cbor.UTF8RejectInvalid, BignumTag: cbor.BignumTagForbidden, BinaryUnmarshaler: cbor.BinaryUnmarshalerNone,
	}.DecMode()
	if err != nil {
		panic("unlocktoken: decoder options: " + err.Error()) // a mistake in the lines above
	}
	return mode
}()

func encode(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic("unlocktoken: encoding: " + err.Error()) // these types always encode
	}
	return b
}

// decode parses all of b into v and demands that v encodes to b again, so that exactly
// one byte string stands for each value. Errors: ErrUnknownCaveat, ErrFormat.
func decode(b []byte, limit int, v any) error {
	if len(b) > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrFormat, len(b), limit)
	}
	if err := decMode.Unmarshal(b, v); err != nil {
		if unknown := (*cbor.UnknownFieldError)(nil); errors.As(err, &unknown) {
			return ErrUnknownCaveat
		}
		return ErrFormat
	}
	if !bytes.Equal(encode(v), b) {
		return fmt.Errorf("%w: not in core deterministic encoding", ErrFormat)
	}
	return nil
}
