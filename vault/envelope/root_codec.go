package envelope

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

const (
	magic = "nsagent vault"
	// FormatVersion is the version of the format. Another one is another format:
	// this nsagent neither reads nor writes it.
	FormatVersion = 1
)

type wireHeader struct {
	_         struct{} `cbor:",toarray"`
	Magic     string
	Version   uint64
	Suite     uint64
	Vault     ID
	PublicKey [32]byte
	Created   uint64
}

type wireHistory struct {
	_     struct{} `cbor:",toarray"`
	Base  [32]byte
	Links []byte
}

type wireRoot struct {
	_         struct{} `cbor:",toarray"`
	Header    wireHeader
	Slots     []wireSlot
	Manifest  []byte
	Signature [64]byte
	History   wireHistory
}

func (w wireHeader) encode() []byte {
	var e encoder
	w.encodeTo(&e)
	return e.b
}

func (w *wireHeader) encodeTo(e *encoder) {
	e.array(6).text(w.Magic).uint(w.Version).uint(w.Suite).bytes(w.Vault[:]).bytes(w.PublicKey[:]).uint(w.Created)
}

func (w *wireRoot) encode() []byte {
	e := encoder{b: make([]byte, 0, len(w.History.Links)+len(w.Slots)*256+512)}
	e.array(5)
	w.Header.encodeTo(&e)
	e.array(len(w.Slots))
	for i := range w.Slots {
		w.Slots[i].encode(&e)
	}
	e.bytes(w.Manifest).bytes(w.Signature[:])
	return e.array(2).bytes(w.History.Base[:]).bytes(w.History.Links).b
}

func (r *Root) header() wireHeader {
	return wireHeader{Magic: magic, Version: FormatVersion, Suite: Suite1, Vault: r.Vault, PublicKey: r.PublicKey, Created: r.Created}
}

// Encode returns the bytes of a root that Next made or DecodeRoot read.
func (r *Root) Encode() []byte {
	w := wireRoot{Header: r.header(), Manifest: r.manifest.Encode(), Signature: r.signature}
	for _, s := range r.Slots {
		w.Slots = append(w.Slots, *s.wire())
	}
	w.History.Base = r.history.base
	for _, l := range r.history.links {
		w.History.Links = append(w.History.Links, l[:]...)
	}
	return w.encode()
}

// DecodeRoot is the inverse of Encode and accepts nothing else. It verifies the
// signature with the public key that the root itself names and follows the
// earlier manifests; that key still has to be compared with Keys.PublicKey.
// Errors: ErrFormat, ErrNewer, ErrKDF, ErrSignature, ErrManifest.
func DecodeRoot(b []byte) (*Root, error) {
	var w wireRoot
	if err := decode("root", b, MaxRoot, &w, w.encode); err != nil {
		if v, ok := rootVersion(b); ok && v > FormatVersion {
			return nil, errVersion(v)
		}
		return nil, err
	}
	if w.Header.Magic != magic {
		return nil, fmt.Errorf("%w: not the root of a vault", ErrFormat)
	}
	if w.Header.Version > FormatVersion || w.Header.Suite > Suite1 {
		return nil, errVersion(max(w.Header.Version, w.Header.Suite))
	}
	r, err := w.root()
	if err != nil {
		return nil, err
	}
	if r.header() != w.Header {
		return nil, fmt.Errorf("%w: header of the root", ErrFormat)
	}
	if err := r.verify(w.Manifest); err != nil {
		return nil, err
	}
	return r, nil
}

func errVersion(v uint64) error {
	return fmt.Errorf("%w: format or suite %d, at most %d known", ErrNewer, v, FormatVersion)
}

// rootVersion returns the version of anything that starts like a root.
func rootVersion(b []byte) (version uint64, ok bool) {
	var items, header []cbor.RawMessage
	var m string
	if len(b) > MaxRoot || decMode.Unmarshal(b, &items) != nil || len(items) < 1 {
		return 0, false
	}
	if decMode.Unmarshal(items[0], &header) != nil || len(header) < 2 {
		return 0, false
	}
	ok = decMode.Unmarshal(header[0], &m) == nil && m == magic && decMode.Unmarshal(header[1], &version) == nil
	return version, ok
}

func (w *wireRoot) root() (*Root, error) {
	r := &Root{Vault: w.Header.Vault, PublicKey: w.Header.PublicKey, Created: w.Header.Created, signature: w.Signature}
	if len(w.Slots) < 1 || len(w.Slots) > MaxSlots {
		return nil, fmt.Errorf("%w: %d key slots", ErrFormat, len(w.Slots))
	}
	for i := range w.Slots {
		s, err := w.Slots[i].slot()
		if err != nil {
			return nil, err
		}
		if i > 0 && bytes.Compare(s.ID[:], w.Slots[i-1].ID[:]) <= 0 {
			return nil, fmt.Errorf("%w: key slots out of order", ErrFormat)
		}
		r.Slots = append(r.Slots, s)
	}
	var err error
	if r.manifest, err = DecodeManifest(w.Manifest); err != nil {
		return nil, err
	}
	if len(w.History.Links) != 32*historyLen(r.manifest.Generation) {
		return nil, fmt.Errorf("%w: history of %d bytes at generation %d", ErrFormat, len(w.History.Links), r.manifest.Generation)
	}
	r.history.base = w.History.Base
	for l := w.History.Links; len(l) > 0; l = l[32:] {
		r.history.links = append(r.history.links, [32]byte(l))
	}
	return r, nil
}
