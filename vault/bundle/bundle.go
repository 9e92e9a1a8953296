package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
)

const (
	magic  = "nsagent bundle"
	format = 1
	label  = "nsagent/v1 bundle\x00"

	keySize = 32

	// MaxEntries is the most credentials of a bundle.
	MaxEntries = 64
	// MaxPublic is the most bytes of Head.Public, MaxMeta those of Source.Meta.
	MaxPublic = 256 << 10
	MaxMeta   = envelope.MaxMeta
)

// Head says whose bundle it is.
type Head struct {
	Vault [16]byte
	Grant [16]byte
	// Issuer is the Ed25519 key that signs the grants of the vault.
	Issuer [32]byte
	// Authority is the SHA-256 of the first block of the grant's chain.
	Authority [32]byte
	// Public is what the issuer says to whoever reads the file; opaque, at most MaxPublic
	// bytes.
	Public []byte
}

// Source is a credential to be sealed. Its secrets are borrowed.
type Source struct {
	Credential [16]byte
	// Name and Kind are the record's, and Meta is opaque, at most MaxMeta bytes.
	Name, Kind string
	Meta       []byte
	SignOnly   secret.Bytes
	// Key is the wrap key of this credential, 32 bytes.
	Key secret.Bytes
}

// Opened is what a key opens of a bundle. The caller owns SignOnly.
type Opened struct {
	Name, Kind string
	Meta       []byte
	SignOnly   secret.Bytes
}

// Bundle is a bundle that its issuer signed.
type Bundle struct {
	Head
	records map[[16]byte]*envelope.Record
}

// body is what is signed.
type body struct {
	_         struct{} `cbor:",toarray"`
	Magic     string
	Format    uint64
	Vault     [16]byte
	Grant     [16]byte
	Issuer    [32]byte
	Authority [32]byte
	Public    []byte
	Entries   []entry
}

type entry struct {
	_          struct{} `cbor:",toarray"`
	Credential [16]byte
	Record     []byte
}

// Seal returns a bundle as text, made at created (Unix seconds). sign signs with the key
// of which h.Issuer is the public half. Errors: those of vault/envelope's SealRecord, of
// sign, and ErrFormat for no source, too many, one twice, or a key of another length.
func Seal(a *secret.Arena, rand io.Reader, h Head, created uint64, sources []Source, sign func(message []byte) ([]byte, error)) ([]byte, error) {
	b := body{Magic: magic, Format: format, Vault: h.Vault, Grant: h.Grant, Issuer: h.Issuer, Authority: h.Authority, Public: h.Public}
	defer a.ReleaseMemory()
	for _, s := range sources {
		r, err := s.seal(a, rand, h.Vault, created)
		if err != nil {
			return nil, fmt.Errorf("sealing %q: %w", s.Name, err)
		}
		b.Entries = append(b.Entries, entry{Credential: s.Credential, Record: r.Encode()})
	}
	slices.SortFunc(b.Entries, func(x, y entry) int { return bytes.Compare(x.Credential[:], y.Credential[:]) })
	encoded := encode(b)
	if err := b.check(encoded); err != nil {
		return nil, err
	}
	signature, err := sign(append([]byte(label), encoded...))
	if err != nil {
		return nil, fmt.Errorf("signing the bundle: %w", err)
	}
	return armour(append(encoded, signature...)), nil
}

// seal seals s under keys that nothing else has: a record whose root key is the wrap key.
func (s Source) seal(a *secret.Arena, rand io.Reader, vault [16]byte, created uint64) (*envelope.Record, error) {
	if n := s.Key.Len(); n != keySize {
		return nil, fmt.Errorf("%w: a wrap key of %d bytes", ErrFormat, n)
	}
	keys, err := rootOf(a, rand, vault, s.Key)
	if err != nil {
		return nil, err
	}
	defer keys.Destroy()
	return keys.SealRecord(&envelope.Metadata{Name: s.Name, Kind: s.Kind, Created: created, Meta: s.Meta}, envelope.Secret{SignOnly: s.SignOnly})
}

// rootOf returns keys whose root is a copy of key.
func rootOf(a *secret.Arena, rand io.Reader, vault [16]byte, key secret.Bytes) (*envelope.Keys, error) {
	root, err := a.Clone(key)
	if err != nil {
		return nil, err
	}
	return envelope.NewKeys(a, rand, vault, root), nil
}

// Parse reads a bundle that was signed by the key of which issuer is the SHA-256. That
// comes from the token: what the file says of itself proves nothing. Errors: ErrFormat,
// ErrNewer, ErrIssuer, ErrSignature.
func Parse(text []byte, issuer [32]byte) (*Bundle, error) {
	b, encoded, signature, err := read(text)
	if err != nil {
		return nil, err
	}
	switch {
	case b.Magic == magic && b.Format > format:
		return nil, ErrNewer
	case sha256.Sum256(b.Issuer[:]) != issuer:
		return nil, ErrIssuer
	case !ed25519.Verify(b.Issuer[:], append([]byte(label), encoded...), signature):
		return nil, ErrSignature
	}
	if err := b.check(encoded); err != nil {
		return nil, err
	}
	out := &Bundle{Head: Head{b.Vault, b.Grant, b.Issuer, b.Authority, b.Public}, records: make(map[[16]byte]*envelope.Record)}
	for _, e := range b.Entries {
		if out.records[e.Credential], err = envelope.DecodeRecord(e.Record); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
	}
	return out, nil
}

// GrantOf returns the grant of which a file says that it is the bundle. Nobody vouches for
// that. The error wraps ErrFormat.
func GrantOf(text []byte) (grant [16]byte, err error) {
	b, encoded, _, err := read(text)
	if err == nil {
		err = b.check(encoded)
	}
	return b.Grant, err
}

// read takes a bundle apart, and looks at nothing of it but its form.
func read(text []byte) (b body, encoded, signature []byte, err error) {
	all, err := unarmour(text)
	if err != nil {
		return b, nil, nil, err
	}
	if len(all) <= ed25519.SignatureSize {
		return b, nil, nil, fmt.Errorf("%w: too short", ErrFormat)
	}
	encoded, signature = all[:len(all)-ed25519.SignatureSize], all[len(all)-ed25519.SignatureSize:]
	err = decode(encoded, &b)
	return b, encoded, signature, err
}

// check looks at what the encoding does not show.
func (b *body) check(encoded []byte) error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrFormat, what) }
	switch {
	case b.Magic != magic || b.Format != format:
		return bad("no bundle")
	case len(b.Entries) == 0 || len(b.Entries) > MaxEntries:
		return bad(fmt.Sprintf("%d credentials, from 1 to %d allowed", len(b.Entries), MaxEntries))
	case len(b.Public) > MaxPublic || len(encoded) > MaxText/2:
		return bad("too long")
	}
	for i := 1; i < len(b.Entries); i++ {
		if bytes.Compare(b.Entries[i-1].Credential[:], b.Entries[i].Credential[:]) >= 0 {
			return bad("credentials out of order, or one twice")
		}
	}
	return nil
}

// Has reports whether the bundle holds a credential.
func (b *Bundle) Has(credential [16]byte) bool { return b.records[credential] != nil }

// Open opens a credential with its wrap key, 32 bytes, which stays the caller's. The error
// is ErrOpen, or the arena's.
func (b *Bundle) Open(a *secret.Arena, credential [16]byte, key secret.Bytes) (*Opened, error) {
	r := b.records[credential]
	if r == nil {
		return nil, ErrOpen
	}
	keys, err := rootOf(a, nil, b.Vault, key)
	if err != nil {
		return nil, err
	}
	defer keys.Destroy()
	defer a.ReleaseMemory()
	o, err := keys.NewOpener()
	if err != nil {
		return nil, err
	}
	defer o.Close()
	m, err := o.Metadata(r)
	if err != nil {
		return nil, opening(err)
	}
	signOnly, err := o.Content(r, envelope.PartSignOnly, m.Current())
	if err != nil {
		return nil, opening(err)
	}
	return &Opened{Name: m.Name, Kind: m.Kind, Meta: m.Meta, SignOnly: signOnly}, nil
}

// opening gives the error of vault/envelope about what is sealed its name here.
func opening(err error) error {
	if errors.Is(err, envelope.ErrOpen) {
		return ErrOpen
	}
	return err
}
