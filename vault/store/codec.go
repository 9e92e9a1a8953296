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
//	   1: 1,                        version of the format; 2 if there is a pair 5
//	   2: generation,               uint, from 1
//	   3: root,                     bytes
//	   4: {id: record, ...},        bytes of length 16 to bytes
//	   5: {hash: [since, blob]},    blobs that are new, by their SHA-256; not in version 1
//	  23: checksum                  SHA-256 of all bytes of the file before these 32
//	}
//
// In every version the file starts with a map head of one byte and pairs 0 and 1,
// and ends with pair 23: the last 32 bytes are the checksum. So damage is told
// from a newer version, whatever else that changes.
const (
	fileMagic   = "nsagent vault"
	fileVersion = 1
	// recentVersion is that of a file that holds blobs as well.
	recentVersion = 2

	keyGeneration = 2
	keyRoot       = 3
	keyRecords    = 4
	keyRecent     = 5
	keyChecksum   = 23 // the last that sorts within one byte

	checksumSize = sha256.Size
)

// fileHead is how every version of the file starts after its map head: key 0, the
// magic as text of 13 bytes, key 1.
const fileHead = "\x00\x6d" + fileMagic + "\x01"

// document is the file as the strict decoder sees it.
type document struct {
	Magic      string                  `cbor:"0,keyasint"`
	Version    uint64                  `cbor:"1,keyasint"`
	Generation uint64                  `cbor:"2,keyasint"`
	Root       []byte                  `cbor:"3,keyasint"`
	Records    map[ID][]byte           `cbor:"4,keyasint"`
	Recent     map[BlobHash]recentBlob `cbor:"5,keyasint,omitempty"`
	Checksum   [checksumSize]byte      `cbor:"23,keyasint"`
}

// encodeFile returns the file of s. Errors: ErrTooLarge.
func encodeFile(s Snapshot) ([]byte, error) {
	if err := checkLimits(s); err != nil {
		return nil, err
	}
	size := checksumSize
	for piece := range form(s) {
		size += len(piece)
	}
	if size > MaxFile {
		return nil, tooLarge("file", size, MaxFile)
	}
	data := make([]byte, 0, size)
	for piece := range form(s) {
		data = append(data, piece...)
	}
	sum := sha256.Sum256(data)
	return append(data, sum[:]...), nil
}

// decodeFile is the inverse of encodeFile and accepts nothing else: what it
// accepts, encodeFile turns into the same bytes. Errors: ErrDamaged, ErrNewer,
// ErrTooLarge.
func decodeFile(data []byte) (Snapshot, error) {
	if len(data) > MaxFile {
		return Snapshot{}, tooLarge("file", len(data), MaxFile)
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
	s := Snapshot{Generation: doc.Generation, Root: doc.Root, Records: doc.Records, recent: doc.Recent}
	if s.Generation == 0 || s.Root == nil || s.Records == nil {
		return Snapshot{}, damaged("a part is missing")
	}
	if err := checkLimits(s); err != nil {
		return Snapshot{}, err
	}
	if !isForm(data, s) {
		return Snapshot{}, damaged("not in canonical form")
	}
	return s, nil
}

// checkEnvelope checks what all versions of the file have in common, and the
// version.
func checkEnvelope(data []byte) error {
	const start = 1 + len(fileHead)
	if len(data) < start || !isTinyHead(data[0], majorMap) || string(data[1:start]) != fileHead {
		return damaged("not a vault file, or cut short")
	}
	body, sum := data[:max(start, len(data)-checksumSize)], data[max(start, len(data)-checksumSize):]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return damaged("the checksum does not match: the file was cut or changed")
	}
	return checkVersion(body[start:], "vault file", recentVersion)
}

// checkVersion reads the version at the start of data and compares it with the
// newest that this program knows.
func checkVersion(data []byte, what string, newest uint64) error {
	mode, err := decMode()
	if err != nil {
		return err
	}
	var version uint64
	if _, err := mode.UnmarshalFirst(data, &version); err != nil || version == 0 {
		return damaged("%s without a version", what)
	}
	if version > newest {
		return fmt.Errorf("%w: %s of version %d, this program knows version %d", ErrNewer, what, version, newest)
	}
	return nil
}

func checkLimits(s Snapshot) error {
	if len(s.Root) > MaxRoot {
		return tooLarge("root", len(s.Root), MaxRoot)
	}
	if len(s.Records) > MaxRecords {
		return tooLarge("number of records", len(s.Records), MaxRecords)
	}
	for _, r := range s.Records {
		if len(r) > MaxRecord {
			return tooLarge("record", len(r), MaxRecord)
		}
	}
	for _, r := range s.recent {
		if len(r.Blob) > MaxBlob {
			return tooLarge("blob", len(r.Blob), MaxBlob)
		}
	}
	return nil
}

// decMode returns the strict decoder: no duplicate or unknown key, no indefinite
// length, no tag, nothing beyond the limits. It checks the whole input before it
// allocates anything for it.
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

func tooLarge(what string, n, limit int) error {
	return fmt.Errorf("%w: %s of %d, at most %d allowed", ErrTooLarge, what, n, limit)
}
