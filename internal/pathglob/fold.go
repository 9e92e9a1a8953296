package pathglob

import "strings"

// Fold returns what all spellings of a plain path have in common: its escapes are
// decoded, and its letters small. A slash in it is one of the path, which is never
// escaped there. It folds part by part: Fold(a) + Fold(b) is Fold(a + b), unless an escape
// is cut.
func Fold(path string) string {
	text := Decode(path)
	if !strings.ContainsFunc(text, capital) {
		return text
	}
	out := []byte(text) // not strings.ToLower, which changes what is not UTF-8
	for i, c := range out {
		if capital(rune(c)) {
			out[i] = c | 0x20
		}
	}
	return string(out)
}

func capital(c rune) bool { return c >= 'A' && c <= 'Z' }

// Decode decodes every percent-encoded octet of text, once, and leaves what is not one.
func Decode(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			hi, lo := unhex(text[i+1]), unhex(text[i+2])
			if hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, text[i])
	}
	return string(out)
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
