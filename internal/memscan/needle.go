package memscan

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"fmt"
)

const (
	// MinNeedle is the least length of a needle in bytes.
	MinNeedle = 8
	// window is the length in bytes of the pieces of a secret looked for, so that
	// a copy is found of which a part is overwritten.
	window = 12
	// stateWindow is that of SHA-256 midstates, which lie about in pairs of words.
	stateWindow = 8
)

// Needle is one byte string to look for.
type Needle struct {
	Name  string // of the secret
	Form  string // in which it would appear: "raw", "hex", "midstate", ...
	Bytes []byte // at least MinNeedle
}

// Needles returns what betrays a secret, which should be random: every 12-byte
// window of it raw, in hex of both cases, percent-encoded, and in base64 of both
// alphabets at the three alignments; and of the values that HMAC-SHA256 under it
// as key makes, SHA-256(key), key^ipad and key^opad in 12-byte windows and the
// two midstates in 8-byte windows, in big-endian, little-endian and SHA-NI word
// order. A secret under 8 bytes gives none, since it would be found by chance.
func Needles(name string, secret []byte) []Needle {
	if len(secret) < MinNeedle {
		return nil
	}
	s := set{name: name}
	for w := range windows(secret, window) {
		s.add("raw", w)
		h := hex.EncodeToString(w)
		s.add("hex", []byte(h))
		s.add("HEX", bytes.ToUpper([]byte(h)))
		s.add("percent", percent(w, "0123456789ABCDEF"))
		s.add("percent", percent(w, "0123456789abcdef"))
	}
	for shift := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encodeShifted(enc, secret, shift)
			if len(text) >= MinNeedle {
				s.windows("base64", text, window/3*4)
			}
		}
	}
	s.hmac(secret)
	return s.list
}

// set collects needles without repeats.
type set struct {
	name string
	list []Needle
	seen map[string]bool
}

func (s *set) add(form string, p []byte) {
	if s.seen == nil {
		s.seen = make(map[string]bool)
	}
	if s.seen[string(p)] {
		return
	}
	s.seen[string(p)] = true
	s.list = append(s.list, Needle{Name: s.name, Form: form, Bytes: bytes.Clone(p)})
}

func (s *set) windows(form string, p []byte, n int) {
	for w := range windows(p, n) {
		s.add(form, w)
	}
}

// windows yields each n bytes in a row of p, or all of p if it is shorter.
func windows(p []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for i := 0; i == 0 || i+n <= len(p); i++ {
			if !yield(p[i:min(i+n, len(p))]) {
				return
			}
		}
	}
}

// percent encodes all but the unreserved characters of RFC 3986.
func percent(p []byte, digits string) []byte {
	var out []byte
	for _, c := range p {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			out = append(out, c)
		default:
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return out
}

// encodeShifted returns the base64 characters that depend on p alone when it
// stands shift bytes after a multiple of three in a longer text.
func encodeShifted(enc *base64.Encoding, p []byte, shift int) []byte {
	text := []byte(enc.EncodeToString(append(make([]byte, shift), p...)))
	text = text[(shift*8+5)/6:]
	if (shift+len(p))%3 != 0 {
		text = text[:len(text)-1]
	}
	return text
}

// hmac adds what HMAC-SHA256 derives from a key.
func (s *set) hmac(key []byte) {
	sum := sha256.Sum256(key)
	s.windows("sha256", sum[:], window)
	s.windows("sha256", swapWords(sum[:]), window)
	padded := key
	if len(key) > sha256.BlockSize {
		padded = sum[:]
	}
	for form, pad := range map[string]byte{"ipad": 0x36, "opad": 0x5c} {
		block := bytes.Repeat([]byte{pad}, sha256.BlockSize)
		for i, c := range padded {
			block[i] ^= c
		}
		// What follows the key in the block is the same for every key.
		s.windows(form, block[:len(padded)], window)
		s.midstate(chaining(block))
	}
}

// midstate adds a chaining value in the orders that code keeps it in: bytes of
// the standard, words of a little-endian machine, and the two registers of the
// SHA extensions, which hold the words F E B A and H G D C from the low end.
func (s *set) midstate(be []byte) {
	le := swapWords(be)
	s.windows("midstate", be, stateWindow)
	s.windows("midstate", le, stateWindow)
	for _, order := range []string{"FEBA", "HGDC"} {
		var lane []byte
		for _, w := range order {
			i := 4 * int(w-'A')
			lane = append(lane, le[i:i+4]...)
		}
		s.windows("midstate", lane, stateWindow)
	}
}

// chaining returns SHA-256's chaining value after one block.
func chaining(block []byte) []byte {
	h := sha256.New()
	h.Write(block)
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil || len(state) < 4+sha256.Size {
		panic(fmt.Sprintf("memscan: SHA-256 state of %d bytes: %v", len(state), err))
	}
	return state[4 : 4+sha256.Size]
}

// swapWords reverses the bytes of each 32-bit word.
func swapWords(p []byte) []byte {
	out := make([]byte, len(p))
	for i := range p {
		out[i] = p[i&^3|(3-i&3)]
	}
	return out
}
