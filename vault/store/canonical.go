package store

import (
	"bytes"
	"encoding/binary"
	"iter"
	"maps"
	"slices"
)

// form yields the one encoding of s, piece by piece, up to the value of the
// checksum. Written out, it is a new file; held against a file, it shows whether
// that is in canonical form, without a second copy of it. A piece is valid until
// the next one.
func form(s Snapshot) iter.Seq[[]byte] {
	pairs, version := uint64(6), uint64(fileVersion)
	if len(s.recent) > 0 {
		pairs, version = 7, recentVersion
	}
	return func(yield func([]byte) bool) {
		head := make([]byte, 0, 64)
		head = appendHead(head, majorMap, pairs)
		head = append(head, fileHead...)
		head = appendHead(head, majorUint, version)
		head = appendHead(head, majorUint, keyGeneration)
		head = appendHead(head, majorUint, s.Generation)
		head = appendHead(head, majorUint, keyRoot)
		head = appendHead(head, majorBytes, uint64(len(s.Root)))
		if !yield(head) || !yield(s.Root) {
			return
		}
		head = appendHead(head[:0], majorUint, keyRecords)
		head = appendHead(head, majorMap, uint64(len(s.Records)))
		if !yield(head) {
			return
		}
		for _, id := range sortedIDs(s.Records) {
			record := s.Records[id]
			head = appendHead(head[:0], majorBytes, uint64(len(id)))
			head = append(head, id[:]...)
			head = appendHead(head, majorBytes, uint64(len(record)))
			if !yield(head) || !yield(record) {
				return
			}
		}
		if len(s.recent) > 0 && !yieldRecent(s.recent, yield) {
			return
		}
		head = appendHead(head[:0], majorUint, keyChecksum)
		head = appendHead(head, majorBytes, checksumSize)
		yield(head)
	}
}

// yieldRecent yields the pair of the new blobs, and reports whether to go on.
func yieldRecent(recent map[BlobHash]recentBlob, yield func([]byte) bool) bool {
	head := appendHead(nil, majorUint, keyRecent)
	head = appendHead(head, majorMap, uint64(len(recent)))
	for _, h := range slices.SortedFunc(maps.Keys(recent), func(a, b BlobHash) int { return bytes.Compare(a[:], b[:]) }) {
		r := recent[h]
		head = appendHead(appendBytes(head, h[:]), majorArray, 2)
		head = appendHead(head, majorUint, r.Since)
		head = appendHead(head, majorBytes, uint64(len(r.Blob)))
		if !yield(head) || !yield(r.Blob) {
			return false
		}
		head = head[:0]
	}
	return true
}

// isForm says whether data is the form of s followed by a checksum.
func isForm(data []byte, s Snapshot) bool {
	for piece := range form(s) {
		var ok bool
		if data, ok = bytes.CutPrefix(data, piece); !ok {
			return false
		}
	}
	return len(data) == checksumSize
}

// sortedIDs returns the keys of records in the order of their encodings, which
// have one length and so sort as the IDs do.
func sortedIDs(records map[ID][]byte) []ID {
	ids := make([]ID, 0, len(records))
	for id := range records {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// Major types of CBOR, in the place they have in a head.
const (
	majorUint  = 0 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5
	majorMap   = 5 << 5
	majorMask  = 7 << 5
)

// appendHead appends the shortest head of a data item: its major type and n (RFC
// 8949 sections 3 and 4.2.1).
func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n <= maxTiny:
		return append(b, major|byte(n))
	case n <= 0xff:
		return append(b, major|24, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= 0xffff_ffff:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

// appendBytes appends p as a byte string.
func appendBytes(b, p []byte) []byte {
	return append(appendHead(b, majorBytes, uint64(len(p))), p...)
}

// maxTiny is the largest number that fits into the byte of a head itself.
const maxTiny = 23

// isTinyHead says whether b is a head of one byte of the given major type.
func isTinyHead(b, major byte) bool { return b&majorMask == major && b&^majorMask <= maxTiny }
