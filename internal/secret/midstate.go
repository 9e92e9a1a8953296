package secret

import (
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
)

// The pads of HMAC, RFC 2104 section 2.
const (
	ipad = 0x36
	opad = 0x5c
)

// computeMAC sets state[4:36] to the HMAC of msg under mid. No secret leaves the
// arena on the way: the digest resumes from a midstate, every Write is whole
// blocks so that nothing is buffered, the padding is our own, and the result is
// read with AppendBinary, because Sum works on a copy of the digest.
func (w *worker) computeMAC() {
	w.resume(w.mid[:stateSize])
	w.finish(w.msg, block)
	inner := w.key[:stateSize]
	copy(inner, w.chaining())
	w.resume(w.mid[stateSize:])
	w.finish(inner, block)
	if !runtimeSecret {
		w.overwriteRegisters()
	}
}

// overwriteRegisters hashes a block of zeros, so that the vector registers that
// held midstates hold something else before a signal can save them. Do does it
// better, where it does.
func (w *worker) overwriteRegisters() {
	clear(w.tail[:block])
	w.d.Reset()
	w.write(w.tail[:block])
}

// expand writes the two midstates of a key of any length to mid.
func (w *worker) expand(key, mid []byte) {
	k := w.key
	if len(key) <= block {
		copy(k, key)
	} else {
		w.d.Reset()
		w.finish(key, 0)
		copy(k, w.chaining())
	}
	for i := range k {
		k[i] ^= ipad
	}
	w.compress(k, mid[:stateSize])
	for i := range k {
		k[i] ^= ipad ^ opad
	}
	w.compress(k, mid[stateSize:])
}

// compress writes to out the chaining value after the one block p.
func (w *worker) compress(p, out []byte) {
	w.d.Reset()
	w.write(p)
	w.read()
	copy(out, w.chaining())
}

// resume sets the digest to a chaining value that one block led to.
func (w *worker) resume(chaining []byte) {
	copy(w.state, w.magic[:])
	copy(w.chaining(), chaining)
	clear(w.state[4+stateSize:])
	binary.BigEndian.PutUint64(w.state[marshaledSize-8:], block)
	w.fail(w.d.UnmarshalBinary(w.state))
}

// finish hashes p and the padding that ends a message, whose first before bytes
// are hashed already, and leaves the result in chaining().
func (w *worker) finish(p []byte, before int) {
	whole := len(p) &^ (block - 1)
	if whole > 0 {
		w.write(p[:whole])
	}
	rest := copy(w.tail, p[whole:])
	end := block
	if rest+1+8 > block {
		end = 2 * block
	}
	w.tail[rest] = 0x80
	clear(w.tail[rest+1 : end-8])
	binary.BigEndian.PutUint64(w.tail[end-8:end], uint64(before+len(p))*8)
	w.write(w.tail[:end])
	w.read()
}

// chaining is where read leaves the chaining value.
func (w *worker) chaining() []byte { return w.state[4 : 4+stateSize] }

func (w *worker) write(p []byte) {
	_, err := w.d.Write(p)
	w.fail(err)
}

func (w *worker) read() {
	s, err := w.d.AppendBinary(w.state[:0])
	w.fail(err)
	if len(s) != marshaledSize {
		w.fail(errSelfTest)
	}
}

func (w *worker) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// selfTests are cases 2 and 6 of RFC 4231: a short key, and one that is hashed.
func selfTests() [][3]string {
	long := make([]byte, 131)
	for i := range long {
		long[i] = 0xaa
	}
	return [][3]string{
		{"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{string(long), "Test Using Larger Than Block-Size Key - Hash Key First", "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	}
}

// selfTest checks that w, whose memory is p, computes HMACs and, where object is
// given, that the hash state really lies there.
func (w *worker) selfTest(p, object []byte) error {
	w.lay(p)
	defer w.clear()
	w.d.Reset()
	fresh, err := w.d.AppendBinary(w.state[:0])
	if err != nil || len(fresh) != marshaledSize || &fresh[0] != &w.state[0] {
		return errSelfTest
	}
	copy(w.magic[:], fresh)
	for _, c := range selfTests() {
		clear(w.key)
		w.mid = make([]byte, 2*stateSize) // of public keys
		w.msg = []byte(c[1])
		w.expand([]byte(c[0]), w.mid)
		w.computeMAC()
		want, _ := hex.DecodeString(c[2])
		if w.err != nil || subtle.ConstantTimeCompare(want, w.chaining()) != 1 {
			return errSelfTest
		}
	}
	if object == nil {
		return nil
	}
	// After these 32 bytes are restored as a state they must be in the object,
	// as words in the machine's order.
	marker := make([]byte, stateSize)
	for i := range marker {
		marker[i] = byte(i + 1)
	}
	w.resume(marker)
	for i := range stateSize / 4 {
		if binary.NativeEndian.Uint32(object[4*i:]) != binary.BigEndian.Uint32(marker[4*i:]) {
			return errSelfTest
		}
	}
	return nil
}
