package bundle

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// encMode is core deterministic encoding (RFC 8949 section 4.2.1).
var encMode = func() cbor.EncMode {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic("bundle: encoder options: " + err.Error()) // a mistake in the lines above
	}
	return mode
}()

// decMode is fxamacker/cbor at its strictest.
var decMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		MaxNestedLevels: 4, MaxArrayElements: MaxEntries, MaxMapPairs: 16, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		UTF8: cbor.UTF8RejectInvalid, BignumTag: cbor.BignumTagForbidden, BinaryUnmarshaler: cbor.BinaryUnmarshalerNone,
	}.DecMode()
	if err != nil {
		panic("bundle: decoder options: " + err.Error()) // a mistake in the lines above
	}
	return mode
}()

func encode(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic("bundle: encoding: " + err.Error()) // of a type that cannot be encoded
	}
	return b
}

// decode reads the one encoding of a value, and accepts nothing else. The decoder's own
// error may quote the input, and is not passed on.
func decode(b []byte, v *body) error {
	if err := decMode.Unmarshal(b, v); err != nil || !bytes.Equal(encode(*v), b) {
		return fmt.Errorf("%w: not in core deterministic encoding", ErrFormat)
	}
	return nil
}
