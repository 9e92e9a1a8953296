package envelope

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Type says what an object is that the store keeps under an id. It is the first item
// of the object.
type Type uint64

// The types of objects. Lower numbers are leaves of the manifest's tree that stand for
// what is no object.
const (
	TypeRecord Type = 3
	TypeGrant  Type = 4
	TypePolicy Type = 5
)

// The types of leaves.
const (
	headerType = 1
	slotType   = 2
	objectType = 3
)

// TypeOf returns the type that an encoded object claims, 0 if it is no object. The
// decoder of that type decides whether it is one.
func TypeOf(encoded []byte) Type {
	const array, tiny = majorArray << 5, 23
	if len(encoded) < 2 || encoded[0]&^0x1f != array || encoded[1] > tiny {
		return 0
	}
	return Type(encoded[1])
}

var errObject = fmt.Errorf("%w: an object that is not known here", ErrNewer)

// checkHead looks at the first two items of an object that should be of a type and at
// most of the newest format that is known of it.
func checkHead(what string, typ Type, format uint64, want Type, newest uint64) error {
	switch {
	case isNewer(typ, format, want, newest):
		return errObject
	case typ != want || format < 1:
		return fmt.Errorf("%w: %s of type %d, format %d", ErrFormat, what, typ, format)
	}
	return nil
}

// notDecoded returns what to say of b, which does not decode as an object of a type for
// the reason err: that it is newer, if it starts like that.
func notDecoded(b []byte, want Type, newest uint64, err error) error {
	var items []cbor.RawMessage
	var typ Type
	var format uint64
	if decMode.Unmarshal(b, &items) != nil || len(items) < 2 ||
		decMode.Unmarshal(items[0], &typ) != nil || decMode.Unmarshal(items[1], &format) != nil ||
		!isNewer(typ, format, want, newest) {
		return err
	}
	return errObject
}

func isNewer(typ Type, format uint64, want Type, newest uint64) bool {
	return typ > TypePolicy || typ == want && format > newest
}
