package unlocktoken

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

const (
	// Prefix starts every token, for people and for secret scanners.
	Prefix = "nst1_"
	// MaxText is the most bytes of a token as text.
	MaxText = 64 << 10
	// MaxShares is the most credentials that a token opens.
	MaxShares = MaxList

	version      = 1
	checksumSize = 6 // base62 digits of a CRC-32
	shareSize    = 16 + 32
	headSize     = 1 + 32 + 32 + 1
)

// Share opens one credential, together with what the agent or the bundle holds.
type Share struct {
	Credential ID
	Key        [32]byte // secret
}

// Token is what its holder has. It is secret; Wipe it.
type Token struct {
	// Issuer is the SHA-256 of the issuer's public key: where trust comes from when the
	// chain is checked against a file that anybody may have written.
	Issuer [32]byte
	// Shares are in ascending order of credentials.
	Shares []Share
	Chain  Chain
	// seed is of the Ed25519 key that the last block names.
	seed [32]byte
}

// New returns a token of chain, whose last block names the key of that seed. It keeps
// copies. The error wraps ErrFormat.
func New(issuer [32]byte, shares []Share, chain Chain, seed [32]byte) (*Token, error) {
	t := &Token{Issuer: issuer, Shares: slices.Clone(shares), Chain: chain, seed: seed}
	slices.SortFunc(t.Shares, func(a, b Share) int { return bytes.Compare(a.Credential[:], b.Credential[:]) })
	if err := t.check(); err != nil {
		t.Wipe()
		return nil, err
	}
	return t, nil
}

func (t *Token) check() error {
	if len(t.Shares) > MaxShares || len(t.Chain) == 0 {
		return fmt.Errorf("%w: %d shares, at most %d", ErrFormat, len(t.Shares), MaxShares)
	}
	for i := 1; i < len(t.Shares); i++ {
		if bytes.Compare(t.Shares[i-1].Credential[:], t.Shares[i].Credential[:]) >= 0 {
			return fmt.Errorf("%w: shares out of order", ErrFormat)
		}
	}
	key := ed25519.NewKeyFromSeed(t.seed[:])
	defer clear(key)
	if !bytes.Equal(key[ed25519.SeedSize:], t.Chain[len(t.Chain)-1].Next) {
		return fmt.Errorf("%w: the last block is missing", ErrFormat)
	}
	return nil
}

// Wipe overwrites what is secret. A nil token has nothing.
func (t *Token) Wipe() {
	if t == nil {
		return
	}
	clear(t.seed[:])
	clear(t.Shares)
}

// Clone returns a copy, which is wiped on its own; nil of nil.
func (t *Token) Clone() *Token {
	if t == nil {
		return nil
	}
	c := *t
	c.Shares = slices.Clone(t.Shares)
	return &c
}

// Parse reads the text of a token. It wipes nothing of text. Errors wrap ErrToken.
func Parse(text []byte) (*Token, error) {
	t, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return t, nil
}

func parse(text []byte) (*Token, error) {
	rest, found := bytes.CutPrefix(text, []byte(Prefix))
	switch {
	case !found:
		return nil, fmt.Errorf("%w: it does not start with %s", ErrFormat, Prefix)
	case len(text) > MaxText || len(rest) <= checksumSize:
		return nil, fmt.Errorf("%w: too long or too short", ErrFormat)
	}
	end := len(text) - checksumSize
	if sum := checksum(text[:end]); !bytes.Equal(sum[:], text[end:]) {
		return nil, fmt.Errorf("%w: its checksum is wrong: a part is missing, or a character", ErrFormat)
	}
	b := make([]byte, base64.RawURLEncoding.DecodedLen(len(rest)-checksumSize))
	defer clear(b)
	n, err := base64.RawURLEncoding.Strict().Decode(b, rest[:len(rest)-checksumSize])
	if err != nil || bytes.ContainsAny(rest, "\r\n") { // which the decoder passes over
		return nil, fmt.Errorf("%w: a character that does not belong there", ErrFormat)
	}
	return fromBytes(b[:n])
}

// fromBytes reads what the text encodes: the version, the hash of the issuer, the seed,
// the count of shares, each share, and the chain.
func fromBytes(b []byte) (*Token, error) {
	if len(b) < headSize || b[0] != version {
		return nil, fmt.Errorf("%w: not of version %d", ErrFormat, version)
	}
	t := &Token{Issuer: [32]byte(b[1:33]), seed: [32]byte(b[33:65])}
	count := int(b[65])
	b = b[headSize:]
	if count > MaxShares || len(b) < count*shareSize {
		t.Wipe()
		return nil, fmt.Errorf("%w: its shares are cut", ErrFormat)
	}
	t.Shares = make([]Share, 0, count) // one that grows leaves arrays behind that nobody wipes
	for range count {
		t.Shares = append(t.Shares, Share{ID(b[:16]), [32]byte(b[16:shareSize])})
		b = b[shareSize:]
	}
	var err error
	if t.Chain, err = DecodeChain(b); err == nil {
		err = t.check()
	}
	if err != nil {
		t.Wipe()
		return nil, err
	}
	return t, nil
}

// Text returns the token as text. The caller wipes it.
func (t *Token) Text() []byte {
	chain := t.Chain.Encode()
	b := make([]byte, 0, headSize+len(t.Shares)*shareSize+len(chain))
	b = append(b, version)
	b = append(b, t.Issuer[:]...)
	b = append(b, t.seed[:]...)
	b = append(b, byte(len(t.Shares))) // #nosec G115 -- at most MaxShares
	for _, s := range t.Shares {
		b = append(append(b, s.Credential[:]...), s.Key[:]...)
	}
	b = append(b, chain...)
	defer clear(b)
	text := make([]byte, 0, len(Prefix)+base64.RawURLEncoding.EncodedLen(len(b))+checksumSize)
	text = base64.RawURLEncoding.AppendEncode(append(text, Prefix...), b)
	sum := checksum(text)
	return append(text, sum[:]...)
}

// checksum returns the CRC-32 (IEEE) of the text so far, in six base62 digits, so that a
// scanner tells a token from what only looks like one.
func checksum(text []byte) (digits [checksumSize]byte) {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	n := crc32.ChecksumIEEE(text)
	for i := checksumSize - 1; i >= 0; i-- {
		digits[i] = alphabet[n%62]
		n /= 62
	}
	return digits
}

// Narrow returns a token that can do less: c holds in addition, and of the shares only
// those that keep names are left; nil keeps all. It needs no agent. Errors wrap
// ErrCaveats, or ErrFormat where the chain has no room.
func (t *Token) Narrow(c Caveats, keep []ID, rand io.Reader) (*Token, error) {
	if _, err := c.ready(); err != nil {
		return nil, err
	}
	if len(t.Chain) >= MaxBlocks {
		return nil, fmt.Errorf("%w: it was narrowed %d times already", ErrFormat, MaxBlocks-1)
	}
	var seed [32]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("drawing a key: %w", err)
	}
	next := ed25519.NewKeyFromSeed(seed[:])
	defer clear(next)
	payload := encode(narrowing{Label: labelNarrowing, Caveats: c})
	last := t.Chain[len(t.Chain)-1]
	b, err := newBlock(last.Signature, payload, ed25519.PublicKey(slices.Clone(next[ed25519.SeedSize:])), t.sign)
	if err != nil {
		return nil, err
	}
	chain := append(slices.Clone(t.Chain), b)
	if n := len(chain.Encode()); n > MaxChain {
		return nil, fmt.Errorf("%w: its chain would have %d bytes, at most %d", ErrFormat, n, MaxChain)
	}
	shares := make([]Share, 0, len(t.Shares)) // as in fromBytes
	for _, s := range t.Shares {
		if keep == nil || slices.Contains(keep, s.Credential) {
			shares = append(shares, s)
		}
	}
	defer clear(shares)
	return New(t.Issuer, shares, chain, seed)
}

// Prove signs a challenge of the verifier, which thereby knows that the presenter holds
// the whole token, and that it does now.
func (t *Token) Prove(challenge []byte) []byte {
	last := t.Chain[len(t.Chain)-1].Signature
	signature, _ := t.sign(encode(signedProof{Label: labelProof, Last: last, Challenge: challenge}))
	return signature
}

func (t *Token) sign(message []byte) ([]byte, error) {
	key := ed25519.NewKeyFromSeed(t.seed[:])
	defer clear(key)
	return ed25519.Sign(key, message), nil
}

// IssuerHash returns what a token says of its issuer's key.
func IssuerHash(issuer ed25519.PublicKey) [32]byte { return sha256.Sum256(issuer) }

// wrapInfo is what the wrap key of a credential is bound to; see WrapInfo.
type wrapInfo struct {
	_          struct{} `cbor:",toarray"`
	Label      string
	Vault      ID
	Credential ID
	Mode       string
	Issuer     []byte
	Authority  []byte
}

// WrapInfo returns the info of the HKDF that gives the wrap key of a credential: version,
// vault, credential, whether the agent has a share in it, the issuer's key and the
// authority block. The salt is the grant, the input the share and then the agent's.
func (g *Grant) WrapInfo(credential ID, issuer [32]byte) []byte {
	return encode(wrapInfo{
		Label: "nsagent/v1 grant wrap", Vault: g.Vault, Credential: credential, Mode: g.Mode, Issuer: issuer[:], Authority: g.AuthorityHash[:],
	})
}
