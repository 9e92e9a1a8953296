package audit

import (
	"strings"
	"unicode/utf8"
)

const (
	replacement = "\uFFFD"
	ellipsis    = "\u2026"
)

// plainASCII reports whether c stands for itself in a line.
func plainASCII(c byte) bool {
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'
}

// forbidden reports whether r is replaced before it reaches a line. The list is fixed,
// not taken from the Unicode tables of the compiler, so that a line is right or wrong
// for ever.
func forbidden(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f:
		return true // control characters: C0, DEL, C1
	case r == 0x2028, r == 0x2029:
		return true // line and paragraph separator
	case r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true // marks that turn the direction of what is displayed
	case r == 0xfeff:
		return true // byte order mark
	}
	return false
}

// appendText appends s, made safe, cut to limit bytes and escaped.
func appendText(dst []byte, s string, limit int) []byte {
	if len(s) <= limit {
		i := 0
		for i < len(s) && plainASCII(s[i]) {
			i++
		}
		if i == len(s) {
			return append(dst, s...)
		}
	}
	for _, c := range []byte(clean(s, limit)) {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return dst
}

// clean returns s with everything forbidden replaced, in at most limit bytes.
func clean(s string, limit int) string {
	// Nothing past the limit can matter: a replacement is never shorter than one byte.
	cut := len(s) > limit
	if cut {
		s = s[:limit+1]
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n <= 1 || forbidden(r) {
			b.WriteString(replacement)
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	out := b.String()
	if !cut && len(out) <= limit {
		return out
	}
	n := limit - len(ellipsis)
	for n > 0 && !utf8.RuneStart(out[n]) {
		n--
	}
	return out[:n] + ellipsis
}

// validText reports whether raw, a text as it stands between its quotation marks, is
// what appendText makes of some text.
func validText(raw []byte, limit int) bool {
	n := 0
	for i := 0; i < len(raw); n++ {
		c := raw[i]
		switch {
		case plainASCII(c):
			i++
		case c == '\\':
			if i+1 >= len(raw) || raw[i+1] != '"' && raw[i+1] != '\\' {
				return false
			}
			i += 2
		case c < utf8.RuneSelf:
			return false
		default:
			r, size := utf8.DecodeRune(raw[i:])
			if r == utf8.RuneError && size <= 1 || forbidden(r) {
				return false
			}
			i += size
			n += size - 1
		}
	}
	return n > 0 && n <= limit
}

// unescape returns the text that raw, a valid one, stands for.
func unescape(raw []byte) string {
	i := 0
	for i < len(raw) && raw[i] != '\\' {
		i++
	}
	if i == len(raw) {
		return string(raw)
	}
	out := make([]byte, 0, len(raw))
	for i = 0; i < len(raw); i++ {
		if raw[i] == '\\' {
			i++
		}
		out = append(out, raw[i])
	}
	return string(out)
}

// validName reports whether raw has the form of an event: lower-case words joined by
// dots or hyphens. A reader takes events that it does not know.
func validName(raw []byte) bool {
	word := false
	for _, c := range raw {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			word = true
		case (c == '.' || c == '-') && word:
			word = false
		default:
			return false
		}
	}
	return word && len(raw) <= maxEvent
}
