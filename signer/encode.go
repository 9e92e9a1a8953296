package signer

import "bytes"

const upperHex = "0123456789ABCDEF"

// unreserved holds the characters of RFC 3986 that stand for themselves in an encoded
// text. Nothing writes to it.
var unreserved = [256]bool{
	'A': true, 'B': true, 'C': true, 'D': true, 'E': true, 'F': true, 'G': true, 'H': true, 'I': true, 'J': true, 'K': true, 'L': true, 'M': true,
	'N': true, 'O': true, 'P': true, 'Q': true, 'R': true, 'S': true, 'T': true, 'U': true, 'V': true, 'W': true, 'X': true, 'Y': true, 'Z': true,
	'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true, 'g': true, 'h': true, 'i': true, 'j': true, 'k': true, 'l': true, 'm': true,
	'n': true, 'o': true, 'p': true, 'q': true, 'r': true, 's': true, 't': true, 'u': true, 'v': true, 'w': true, 'x': true, 'y': true, 'z': true,
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'-': true, '.': true, '_': true, '~': true,
}

// AppendEncoded appends s with every octet that is not unreserved as %XX, hexadecimal
// digits in upper case. It is also what a value of a form may look like.
//
// Source: RFC 5849 section 3.6.
func AppendEncoded[T string | []byte](dst []byte, s T) []byte {
	plain := 0 // s[plain:i] stands for itself
	for i := range len(s) {
		if c := s[i]; !unreserved[c] {
			dst = append(dst, s[plain:i]...)
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
			plain = i + 1
		}
	}
	return append(dst, s[plain:]...)
}

func appendEncodedOctet(dst []byte, c byte) []byte {
	if unreserved[c] {
		return append(dst, c)
	}
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

// appendEncodedTwice appends s, which is the result of AppendEncoded, encoded once
// more: such a text holds no reserved octet but "%".
func appendEncodedTwice(dst, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, '%')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		dst = append(dst, '%', '2', '5')
		s = s[i+1:]
	}
}

// appendReencoded appends s, a name or value from a query or a form body, decoded once
// ("+" is a space) and encoded again by RFC 5849. It returns the index of the octet at
// fault, or -1: at fault are a "%" without two hexadecimal digits, a space, a control
// character and anything outside ASCII.
func appendReencoded(dst []byte, s string) ([]byte, int) {
	plain := 0 // s[plain:i] stands for itself
	for i := 0; i < len(s); i++ {
		c := s[i]
		if unreserved[c] {
			continue
		}
		dst = append(dst, s[plain:i]...)
		switch {
		case c == '+':
			c = ' '
		case c == '%':
			octet, ok := escaped(s, i)
			if !ok {
				return dst, i
			}
			c = octet
			i += 2
		case c <= ' ' || c >= 0x7f:
			return dst, i
		}
		dst = appendEncodedOctet(dst, c)
		plain = i + 1
	}
	return append(dst, s[plain:]...), -1
}

// escaped returns the octet that the escape at s[i], a "%", stands for.
func escaped(s string, i int) (byte, bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	high, ok1 := hexDigit(s[i+1])
	low, ok2 := hexDigit(s[i+2])
	return high<<4 | low, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
