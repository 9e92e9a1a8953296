package envelope

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// Metadata is what a record says about itself, sealed under the CK of its
// sign-only part. Every DEK of the record is bound to the sealed bytes.
type Metadata struct {
	Name    string // 1 to 255 bytes of UTF-8
	Kind    string // 1 to 32 bytes of UTF-8
	Created uint64 // Unix seconds

	// Parts and Versions repeat what the record holds, so that a part or a version
	// cannot be taken away, even where no manifest covers the record.
	Parts    []Part
	Versions []Version // the newest, which is the current one, first

	Meta []byte // opaque, at most MaxMeta bytes
}

// Version says when a version of the secret came.
type Version struct {
	_       struct{} `cbor:",toarray"`
	Number  uint64
	Created uint64 // Unix seconds
}

type wireMetadata struct {
	_        struct{} `cbor:",toarray"`
	Name     string
	Kind     string
	Created  uint64
	Parts    []Part
	Versions []Version
	Meta     []byte
}

func (m *Metadata) encode() []byte {
	w := wireMetadata{Name: m.Name, Kind: m.Kind, Created: m.Created, Parts: m.Parts, Versions: m.Versions, Meta: m.Meta}
	return w.encode()
}

func (w *wireMetadata) encode() []byte {
	e := encoder{b: make([]byte, 0, len(w.Name)+len(w.Kind)+len(w.Meta)+96)}
	e.array(6).text(w.Name).text(w.Kind).uint(w.Created).array(len(w.Parts))
	for _, p := range w.Parts {
		e.text(string(p))
	}
	e.array(len(w.Versions))
	for _, v := range w.Versions {
		e.array(2).uint(v.Number).uint(v.Created)
	}
	return e.bytes(w.Meta).b
}

// decodeMetadata is the inverse of encode. b lies in locked memory; nothing of
// the result does.
func decodeMetadata(b []byte) (*Metadata, error) {
	var w wireMetadata
	if err := decode("metadata", b, MaxRecord, &w, w.encode); err != nil {
		return nil, err
	}
	m := &Metadata{Name: w.Name, Kind: w.Kind, Created: w.Created, Parts: w.Parts, Versions: w.Versions, Meta: w.Meta}
	if fault := m.fault(); fault != "" {
		return nil, fmt.Errorf("%w: metadata with %s", ErrFormat, fault)
	}
	return m, nil
}

// fault says what keeps m from being sealed, "" if nothing does.
func (m *Metadata) fault() string {
	switch {
	case len(m.Name) < 1 || len(m.Name) > MaxName:
		return fmt.Sprintf("name of %d bytes", len(m.Name))
	case len(m.Kind) < 1 || len(m.Kind) > MaxKind:
		return fmt.Sprintf("kind of %d bytes", len(m.Kind))
	case !utf8.ValidString(m.Name) || !utf8.ValidString(m.Kind):
		return "name or kind that is not UTF-8"
	case len(m.Versions) < 1 || len(m.Versions) > MaxVersions:
		return fmt.Sprintf("%d versions", len(m.Versions))
	}
	return ""
}

// describes reports whether r has the parts and versions that m says.
func (m *Metadata) describes(r *Record) bool {
	if !slices.EqualFunc(m.Parts, r.Parts, func(p Part, q RecordPart) bool { return p == q.Name }) {
		return false
	}
	for _, p := range r.Parts {
		if !slices.EqualFunc(m.Versions, p.Versions, func(v Version, s SealedVersion) bool { return v.Number == s.Number }) {
			return false
		}
	}
	return true
}

// Current returns the number of the version in use.
func (m *Metadata) Current() uint64 { return m.Versions[0].Number }
