package envelope

import "encoding/binary"

// CBOR major types (RFC 8949 section 3.1) that the format uses. There are no maps,
// tags, floats, negative numbers or simple values in it.
const (
	majorUint  = 0
	majorBytes = 2
	majorText  = 3
	majorArray = 4
)

// encoder appends items in core deterministic encoding (RFC 8949 section 4.2.1):
// definite lengths, every head in its shortest form. It cannot fail, which keeps
// error paths out of the places that build associated data. The decoder is
// another implementation (fxamacker/cbor), so that decode-then-encode, which
// every parser here does, compares the two.
type encoder struct {
	b []byte
}

// array starts an array of n items.
func (e *encoder) array(n int) *encoder { return e.head(majorArray, uint64(n)) }

func (e *encoder) uint(n uint64) *encoder { return e.head(majorUint, n) }

func (e *encoder) bytes(p []byte) *encoder {
	e.head(majorBytes, uint64(len(p)))
	e.b = append(e.b, p...)
	return e
}

func (e *encoder) text(s string) *encoder {
	e.head(majorText, uint64(len(s)))
	e.b = append(e.b, s...)
	return e
}

func (e *encoder) head(major byte, n uint64) *encoder {
	m := major << 5
	switch {
	case n < 24:
		e.b = append(e.b, m|byte(n))
	case n < 1<<8:
		e.b = append(e.b, m|24, byte(n))
	case n < 1<<16:
		e.b = binary.BigEndian.AppendUint16(append(e.b, m|25), uint16(n))
	case n < 1<<32:
		e.b = binary.BigEndian.AppendUint32(append(e.b, m|26), uint32(n))
	default:
		e.b = binary.BigEndian.AppendUint64(append(e.b, m|27), n)
	}
	return e
}
