package envelope

import (
	"fmt"
	"slices"

	"github.com/nsagent/nsagent/internal/secret"
)

// SealGrant returns a grant of that id that opens nothing yet. meta is opaque. Errors:
// ErrTooLarge, those of the arena and of rand.
func (k *Keys) SealGrant(id ID, meta []byte) (*Grant, error) {
	if len(meta) > MaxGrantMeta {
		return nil, fmt.Errorf("%w: grant with metadata of %d bytes, at most %d", ErrTooLarge, len(meta), MaxGrantMeta)
	}
	g := &Grant{ID: id}
	err := k.withGrantMetaKey(func(key secret.Bytes) (err error) {
		g.Meta, err = sealText(k.rand, key, grantMetaContext(k.vault, id), meta)
		return err
	})
	if err != nil {
		return nil, err
	}
	g.Issuer, err = k.GrantKey()
	return g, err
}

// AddWrap lets whoever has the wrap key, 32 bytes that stay the caller's, open the
// sign-only part of r, and its metadata. Errors: ErrInput for a key of another length, a
// record that g opens already and one too many; ErrOpen, those of the arena and of rand.
func (k *Keys) AddWrap(g *Grant, r *Record, key secret.Bytes) error {
	switch {
	case key.Len() != keySize:
		return fmt.Errorf("%w: wrap key of %d bytes instead of %d", ErrInput, key.Len(), keySize)
	case len(g.Wraps) == MaxWraps:
		return fmt.Errorf("%w: a grant of more than %d records", ErrInput, MaxWraps)
	case g.wrap(r.ID) != nil:
		return fmt.Errorf("%w: a record twice in one grant", ErrInput)
	}
	part := r.part(PartSignOnly)
	ck, err := openKey(k.arena, k.vrk, ckContext(k.vault, r.ID, part.Name), part.CK)
	if err != nil {
		return err
	}
	defer ck.Destroy()
	public, err := k.PublicKey()
	if err != nil {
		return err
	}
	sealed, err := sealKey(k.rand, key, grantCKContext(k.vault, public, g.ID, r.ID), ck)
	if err != nil {
		return err
	}
	w := Wrap{r.ID, sealed}
	i, _ := slices.BinarySearchFunc(g.Wraps, w, compareWraps)
	g.Wraps = slices.Insert(g.Wraps, i, w)
	return nil
}

// GrantMeta opens what g says of itself, and checks that g is of this vault. The error is
// ErrOpen, or the arena's.
func (k *Keys) GrantMeta(g *Grant) (meta []byte, err error) {
	issuer, err := k.GrantKey()
	if err != nil {
		return nil, err
	}
	if issuer != g.Issuer {
		return nil, ErrOpen
	}
	err = k.withGrantMetaKey(func(key secret.Bytes) error {
		meta, err = openText(key, grantMetaContext(k.vault, g.ID), g.Meta)
		return err
	})
	return meta, err
}

func (k *Keys) withGrantMetaKey(f func(key secret.Bytes) error) error {
	key, err := k.arena.DeriveKey(k.vrk, k.vault[:], []byte(labelGrantMetaKey))
	if err != nil {
		return err
	}
	defer key.Destroy()
	return f(key)
}

// NewOpener returns an Opener of what g wraps under a wrap key: metadata and sign-only
// part of a record, and nothing else. It needs no VRK. What opens proves that the key in
// root, which signs the manifests, is the vault's own. The key is borrowed for as long as
// the Opener is used; the caller closes it.
func (g *Grant) NewOpener(a *secret.Arena, root *Root, key secret.Bytes) (*Opener, error) {
	return newOpener(a, root.Vault, func(dst secret.Bytes, r *Record, name Part) error {
		w := g.wrap(r.ID)
		if w == nil || name != PartSignOnly {
			return ErrOpen
		}
		return openInto(dst, key, grantCKContext(root.Vault, root.PublicKey, g.ID, r.ID), w.CK)
	})
}
