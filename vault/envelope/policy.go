package envelope

import (
	"fmt"
	"io"

	"github.com/nsagent/nsagent/internal/secret"
)

const (
	// MaxPolicy is the most bytes of the text of a policy.
	MaxPolicy = 256 << 10

	policyFormat = 1
)

// Policy is the policy of the vault, sealed: text that is opaque here. It is filed under
// the id of the vault, so that there is at most one.
type Policy struct {
	ID   ID
	Text []byte // sealed under a key of its own, padded
	Key  []byte // sealed under the VRK
	// MachineKey is Key, sealed under a key that is derived from the machine key; empty
	// if only the VRK opens the policy.
	MachineKey []byte
}

type wirePolicy struct {
	_          struct{} `cbor:",toarray"`
	Type       Type
	Format     uint64
	ID         ID
	Key        []byte
	MachineKey []byte
	Text       []byte
}

// Encode returns the policy's bytes, as the store keeps them.
func (p *Policy) Encode() []byte {
	w := wirePolicy{Type: TypePolicy, Format: policyFormat, ID: p.ID, Key: p.Key, MachineKey: p.MachineKey, Text: p.Text}
	return w.encode()
}

func (w *wirePolicy) encode() []byte {
	e := encoder{b: make([]byte, 0, len(w.Text)+2*sealedKeySize+64)}
	return e.array(6).uint(uint64(w.Type)).uint(w.Format).bytes(w.ID[:]).bytes(w.Key).bytes(w.MachineKey).bytes(w.Text).b
}

// DecodePolicy is the inverse of Encode and accepts nothing else. It opens nothing.
// Errors: ErrFormat; ErrNewer for an object of a later type or format.
func DecodePolicy(b []byte) (*Policy, error) {
	var w wirePolicy
	if err := decode("policy", b, MaxRecord, &w, w.encode); err != nil {
		return nil, notDecoded(b, TypePolicy, policyFormat, err)
	}
	if err := checkHead("policy", w.Type, w.Format, TypePolicy, policyFormat); err != nil {
		return nil, err
	}
	machine := len(w.MachineKey)
	if len(w.Key) != sealedKeySize || machine != 0 && machine != sealedKeySize ||
		!paddedSealed(len(w.Text)) || len(w.Text) > paddedLen(MaxPolicy)+Overhead {
		return nil, fmt.Errorf("%w: policy with a sealed field of wrong length", ErrFormat)
	}
	return &Policy{ID: w.ID, Key: w.Key, MachineKey: w.MachineKey, Text: w.Text}, nil
}

// SealPolicy seals the text of a policy. With a machine key, which is borrowed, that
// opens it as well as the VRK does. Errors: ErrInput for no text, ErrTooLarge, those of
// the arena and of rand.
func (k *Keys) SealPolicy(text []byte, machine *secret.HMACKey) (*Policy, error) {
	switch n := len(text); {
	case n == 0:
		return nil, fmt.Errorf("%w: an empty policy", ErrInput)
	case n > MaxPolicy:
		return nil, fmt.Errorf("%w: policy of %d bytes, at most %d", ErrTooLarge, n, MaxPolicy)
	}
	key, err := newKey(k.arena, k.rand)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	p := &Policy{ID: k.vault}
	if p.Key, err = sealKey(k.rand, k.vrk, policyKeyContext(k.vault), key); err != nil {
		return nil, err
	}
	if machine != nil {
		if p.MachineKey, err = k.sealForMachine(machine, key); err != nil {
			return nil, err
		}
	}
	p.Text, err = sealText(k.rand, key, policyContext(k.vault), text)
	return p, err
}

func (k *Keys) sealForMachine(machine *secret.HMACKey, key secret.Bytes) ([]byte, error) {
	outer, err := policyMachineKey(k.arena, k.vault, machine)
	if err != nil {
		return nil, err
	}
	defer outer.Destroy()
	public, err := k.PublicKey()
	if err != nil {
		return nil, err
	}
	return sealKey(k.rand, outer, policyMachineContext(k.vault, public), key)
}

// OpenPolicy opens the text of p. The error is ErrOpen, or the arena's.
func (k *Keys) OpenPolicy(p *Policy) ([]byte, error) {
	key, err := openKey(k.arena, k.vrk, policyKeyContext(k.vault), p.Key)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	return openText(key, policyContext(k.vault), p.Text)
}

// OpenBy opens the text of p without the VRK, by the machine key that it was sealed for.
// That it opens proves that the key in root, which signs the manifests, is the vault's
// own. The error is ErrOpen, or the arena's.
func (p *Policy) OpenBy(a *secret.Arena, root *Root, machine *secret.HMACKey) ([]byte, error) {
	outer, err := policyMachineKey(a, root.Vault, machine)
	if err != nil {
		return nil, err
	}
	defer outer.Destroy()
	key, err := openKey(a, outer, policyMachineContext(root.Vault, root.PublicKey), p.MachineKey)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	return openText(key, policyContext(root.Vault), p.Text)
}

// policyMachineKey derives a key from the machine key. No other message that is
// authenticated under the machine key starts like this one.
func policyMachineKey(a *secret.Arena, vault ID, machine *secret.HMACKey) (secret.Bytes, error) {
	var e encoder
	message := e.array(2).text(labelPolicyMachine).bytes(vault[:]).b
	key, err := a.Alloc(keySize)
	if err != nil {
		return secret.Bytes{}, err
	}
	err = key.Use(func(p []byte) error { return machine.HMACSHA256((*[keySize]byte)(p), message) })
	if err != nil {
		key.Destroy()
		return secret.Bytes{}, fmt.Errorf("deriving a key: %w", err)
	}
	return key, nil
}

// sealText seals, padded, what need not lie in locked memory.
func sealText(rand io.Reader, key secret.Bytes, aad, text []byte) (sealed []byte, err error) {
	padded := make([]byte, paddedLen(len(text)))
	pad(padded, copy(padded, text))
	err = key.Use(func(k []byte) error {
		sealed, err = seal(rand, k, aad, padded)
		return err
	})
	return sealed, err
}

// openText opens what sealText sealed. The error is ErrOpen, or ErrDestroyed of the key.
func openText(key secret.Bytes, aad, sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, ErrOpen
	}
	padded := make([]byte, len(sealed)-Overhead)
	if err := key.Use(func(k []byte) error { return open(padded, k, aad, sealed) }); err != nil {
		return nil, err
	}
	n := unpad(padded)
	if n < 0 {
		return nil, ErrOpen
	}
	return padded[:n:n], nil
}
