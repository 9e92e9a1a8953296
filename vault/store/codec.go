package store

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// The snapshot file is one CBOR map in core deterministic encoding (RFC 8949
// section 4.2.1), so that a content has exactly one form:
//
//	{
//	   0: "nsagent vault",          magic
//	   1: 1,                        version of the format
//	   2: generation,               uint, from 1
//	   3: root,                     bytes
//	   4: {id: record, ...},        bytes of length 16 to bytes
//	  23: checksum                  SHA-256 of all bytes of the file before it
//	}
//
// In every version the file starts with a map head of one byte and pairs 0 and 1,
// and ends with pair 23: the last 32 bytes are the checksum. So damage is told
// from a newer version, whatever else that changes.
const (
	fileMagic   = "nsagent vault"
	fileVersion = 1
)

// document is the file. The checksum's key is the last that sorts within one byte.
type document struct {
	Magic      string            `cbor:"0,keyasint"`
	Version    uint64            `cbor:"1,keyasint"`
	Generation uint64            `cbor:"2,keyasint"`
	Root       []byte            `cbor:"3,keyasint"`
	Records    map[ID][]byte     `cbor:"4,keyasint"`
	Checksum   [sha256.Size]byte `cbor:"23,keyasint"`
}

// fileHead is how every version of the file starts after its map head: key 0, the
// magic as text of 13 bytes, key 1.
const fileHead = "\x00\x6d" + fileMagic + "\x01"

// encodeFile returns the file of s. Errors: ErrTooLarge.
func encodeFile(s Snapshot) ([]byte, error) {
	if err := checkLimits(s); err != nil {
		return nil, err
	}
	mode, err := encMode()
	if err != nil {
		return nil, err
	}
	doc := document{Magic: fileMagic, Version: fileVersion, Generation: s.Generation, Root: s.Root, Records: s.Records}
	if doc.Root == nil {
		doc.Root = []byte{}
	}
	if doc.Records == nil {
		doc.Records = map[ID][]byte{}
	}
	data, err := mode.Marshal(&doc)
	if err != nil {
		return nil, fmt.Errorf("encoding the vault file: %w", err)
	}
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%w: a file of %d bytes, at most %d allowed", ErrTooLarge, len(data), MaxFile)
	}
	sum := sha256.Sum256(data[:len(data)-sha256.Size])
	copy(data[len(data)-sha256.Size:], sum[:])
	return data, nil
}

// decodeFile is the inverse of encodeFile and accepts nothing else: what it
// accepts, encodeFile turns into the same bytes. Errors: ErrDamaged, ErrNewer,
// ErrTooLarge.
func decodeFile(data []byte) (Snapshot, error) {
	if len(data) > MaxFile {
		return Snapshot{}, fmt.Errorf("%w: a file of %d bytes, at most %d allowed", ErrTooLarge, len(data), MaxFile)
	}
	if err := checkEnvelope(data); err != nil {
		return Snapshot{}, err
	}
	mode, err := decMode()
	if err != nil {
		return Snapshot{}, err
	}
	var doc document
	if err := mode.Unmarshal(data, &doc); err != nil {
		return Snapshot{}, damaged("%v", err)
	}
	s := Snapshot{Generation: doc.Generation, Root: doc.Root, Records: doc.Records}
	if s.Generation == 0 || s.Root == nil || s.Records == nil {
		return Snapshot{}, damaged("a part is missing")
	}
	again, err := encodeFile(s)
	switch {
	case err != nil:
		return Snapshot{}, err
	case !bytes.Equal(again, data):
		return Snapshot{}, damaged("not in canonical form")
	}
	return s, nil
}

// checkEnvelope checks what all versions of the file have in common, and the
// version.
func checkEnvelope(data []byte) error {
	const shortest = 1 + len(fileHead) + 1 + 3 + sha256.Size
	if len(data) < shortest {
		return damaged("%d bytes, too short for a vault", len(data))
	}
	const mapOfUpTo23 = 0b101_00000
	if data[0]&0b111_00000 != mapOfUpTo23 || data[0]&0b11111 > 23 || string(data[1:1+len(fileHead)]) != fileHead {
		return damaged("not a vault file")
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return damaged("checksum does not match: the file was cut or changed")
	}
	var version uint64
	if _, err := cbor.UnmarshalFirst(body[1+len(fileHead):], &version); err != nil {
		return damaged("no version")
	}
	if version > fileVersion {
		return fmt.Errorf("%w: format version %d, this program knows up to %d", ErrNewer, version, fileVersion)
	}
	if version < 1 {
		return damaged("version %d", version)
	}
	return nil
}

func checkLimits(s Snapshot) error {
	tooLarge := func(what string, n, limit int) error {
		return fmt.Errorf("%w: %s of %d, at most %d allowed", ErrTooLarge, what, n, limit)
	}
	if len(s.Root) > MaxRoot {
		return tooLarge("root", len(s.Root), MaxRoot)
	}
	if len(s.Records) > MaxRecords {
		return tooLarge("number of records", len(s.Records), MaxRecords)
	}
	total := len(s.Root)
	for _, r := range s.Records {
		if len(r) > MaxRecord {
			return tooLarge("record", len(r), MaxRecord)
		}
		total += len(r)
	}
	if total > MaxFile {
		return tooLarge("content", total, MaxFile)
	}
	return nil
}

// encMode returns the core deterministic encoding of RFC 8949.
func encMode() (cbor.EncMode, error) { return cbor.CoreDetEncOptions().EncMode() }

// decMode returns the strict decoder: no duplicate or unknown key, no indefinite
// length, no tag, no text that is not UTF-8, nothing beyond the limits, which are
// checked over the whole input before anything is allocated.
func decMode() (cbor.DecMode, error) {
	return cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   4,
		MaxArrayElements:  16,
		MaxMapPairs:       MaxRecords,
		BignumTag:         cbor.BignumTagForbidden,
		BinaryUnmarshaler: cbor.BinaryUnmarshalerNone,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}
