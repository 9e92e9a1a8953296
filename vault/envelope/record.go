package envelope

import "fmt"

const (
	recordFormat = 1
	blobFormat   = 2 // of a record that names a blob: a content of 32 bytes is the blob's hash
)

// Limits of a record, in bytes unless said otherwise.
const (
	MaxContent  = 64 << 10 // of one part of a secret
	MaxName     = 255
	MaxKind     = 32
	MaxMeta     = 32 << 10
	MaxVersions = 4 // count: current and previous, with room
)

// Record is one entry of the vault, sealed.
type Record struct {
	ID       ID
	Metadata []byte // sealed under the CK of the sign-only part
	Parts    []RecordPart
}

// RecordPart is one part of a record: PartSignOnly first and always, then perhaps
// PartRaw.
type RecordPart struct {
	_        struct{} `cbor:",toarray"`
	Name     Part
	CK       []byte          // sealed under the VRK
	Versions []SealedVersion // the newest first; the same numbers in each part
}

// SealedVersion is one secret of a part.
type SealedVersion struct {
	_       struct{} `cbor:",toarray"`
	Number  uint64   // from 1 on
	DEK     []byte   // sealed under the CK, bound to the sealed metadata
	Content []byte   // sealed under the DEK, padded; or the 32 bytes of a blob's hash
}

// blob reports whether the secret is in a blob.
func (v *SealedVersion) blob() bool { return len(v.Content) == hashSize }

// Blobs returns the hashes of the blobs that r names, nil for most records.
func (r *Record) Blobs() []BlobHash {
	var all []BlobHash
	for i := range r.Parts {
		for j := range r.Parts[i].Versions {
			if v := &r.Parts[i].Versions[j]; v.blob() {
				all = append(all, BlobHash(v.Content))
			}
		}
	}
	return all
}

// CurrentBlobs returns those of Blobs that hold a version in use.
func (r *Record) CurrentBlobs() []BlobHash {
	var all []BlobHash
	for i := range r.Parts {
		if l := r.Parts[i].Versions; len(l) > 0 && l[0].blob() {
			all = append(all, BlobHash(l[0].Content))
		}
	}
	return all
}

// format returns the format that r has to be encoded in.
func (r *Record) format() uint64 {
	if len(r.Blobs()) > 0 {
		return blobFormat
	}
	return recordFormat
}

type wireRecord struct {
	_        struct{} `cbor:",toarray"`
	Type     Type
	Format   uint64
	ID       ID
	Metadata []byte
	Parts    []RecordPart
}

// Encode returns the record's bytes, as the store keeps them.
func (r *Record) Encode() []byte {
	w := wireRecord{Type: TypeRecord, Format: r.format(), ID: r.ID, Metadata: r.Metadata, Parts: r.Parts}
	return w.encode()
}

func (w *wireRecord) encode() []byte {
	n := len(w.Metadata) + 64
	for _, p := range w.Parts {
		n += len(p.CK) + 32
		for _, v := range p.Versions {
			n += len(v.DEK) + len(v.Content) + 32
		}
	}
	e := encoder{b: make([]byte, 0, n)}
	e.array(5).uint(uint64(w.Type)).uint(w.Format).bytes(w.ID[:]).bytes(w.Metadata).array(len(w.Parts))
	for _, p := range w.Parts {
		e.array(3).text(string(p.Name)).bytes(p.CK).array(len(p.Versions))
		for _, v := range p.Versions {
			e.array(3).uint(v.Number).bytes(v.DEK).bytes(v.Content)
		}
	}
	return e.b
}

// DecodeRecord is the inverse of Encode and accepts nothing else. It opens
// nothing. Errors: ErrFormat; ErrNewer for an object of another type or format.
func DecodeRecord(b []byte) (*Record, error) {
	var w wireRecord
	if err := decode("record", b, MaxRecord, &w, w.encode); err != nil {
		return nil, notDecoded(b, TypeRecord, blobFormat, err)
	}
	if err := checkHead("record", w.Type, w.Format, TypeRecord, blobFormat); err != nil {
		return nil, err
	}
	r := &Record{ID: w.ID, Metadata: w.Metadata, Parts: w.Parts}
	if err := r.check(); err != nil {
		return nil, err
	}
	if r.format() != w.Format {
		return nil, fmt.Errorf("%w: record of format %d that should have %d", ErrFormat, w.Format, r.format())
	}
	return r, nil
}

// check looks at what the encoding does not show: names and order of the parts,
// numbers and order of the versions, and the lengths of what is sealed.
func (r *Record) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: record with %s", ErrFormat, what) }
	if len(r.Parts) < 1 || len(r.Parts) > 2 || r.Parts[0].Name != PartSignOnly {
		return bad("parts out of order")
	}
	if len(r.Parts) == 2 && r.Parts[1].Name != PartRaw {
		return bad("a part of unknown name")
	}
	if !paddedSealed(len(r.Metadata)) {
		return bad("metadata of odd length")
	}
	for i, p := range r.Parts {
		if len(p.CK) != sealedKeySize {
			return bad("a sealed key of wrong length")
		}
		if len(p.Versions) < 1 || len(p.Versions) > MaxVersions || len(p.Versions) != len(r.Parts[0].Versions) {
			return bad("a wrong number of versions")
		}
		for j, v := range p.Versions {
			switch {
			case v.Number == 0 || j > 0 && v.Number >= p.Versions[j-1].Number:
				return bad("versions out of order")
			case i > 0 && v.Number != r.Parts[0].Versions[j].Number:
				return bad("versions that differ between its parts")
			case v.blob() && p.Name != PartRaw:
				return bad("a blob in a part that has none")
			case len(v.DEK) != sealedKeySize || !v.blob() && !paddedSealed(len(v.Content)):
				return bad("a sealed field of wrong length")
			}
		}
	}
	return nil
}

// paddedSealed reports whether n is the length of something sealed with padding.
func paddedSealed(n int) bool {
	n -= Overhead
	return n >= smallest && paddedLen(n-1) == n
}

// part returns the part of that name, or nil.
func (r *Record) part(p Part) *RecordPart {
	for i := range r.Parts {
		if r.Parts[i].Name == p {
			return &r.Parts[i]
		}
	}
	return nil
}

// version returns the version of that number, or nil.
func (p *RecordPart) version(number uint64) *SealedVersion {
	for i := range p.Versions {
		if p.Versions[i].Number == number {
			return &p.Versions[i]
		}
	}
	return nil
}
