package envelope

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Caps, checked before anything is allocated for what they count.
const (
	// MaxRoot is the most bytes of an encoded root: 1,024 links and all slots fit.
	MaxRoot = 64 << 10
	// MaxRecord is the most bytes of an encoded record.
	MaxRecord = 1 << 20
	// MaxRecords is the most records of a vault.
	MaxRecords = 100_000

	maxItems  = 16 // elements of any array of the format
	maxNested = 8  // depth of arrays within each other; records need five
)

// decMode is fxamacker/cbor at its strictest. It is never changed after the
// program has started.
var decMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   maxNested,
		MaxArrayElements:  maxItems,
		MaxMapPairs:       maxItems,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
		BignumTag:         cbor.BignumTagForbidden,
		BinaryUnmarshaler: cbor.BinaryUnmarshalerNone,
	}.DecMode()
	if err != nil {
		panic("envelope: decoder options: " + err.Error()) // a mistake in the lines above
	}
	return mode
}()

// decode parses all of b into the wire structure v and then demands that again,
// which encodes v, gives b back: so exactly one byte string stands for each value,
// and what the decoder is lenient about (a null for an empty string, an array of
// numbers for bytes, a byte string too short for its field) is refused.
//
// The decoder's own error is not passed on: it may quote the input.
func decode(what string, b []byte, max int, v any, again func() []byte) error {
	if len(b) > max {
		return fmt.Errorf("%w: %s of %d bytes, at most %d", ErrFormat, what, len(b), max)
	}
	if err := decMode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %s", ErrFormat, what)
	}
	if !bytes.Equal(again(), b) {
		return fmt.Errorf("%w: %s is not in core deterministic encoding", ErrFormat, what)
	}
	return nil
}
