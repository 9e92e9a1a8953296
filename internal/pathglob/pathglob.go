// Package pathglob matches paths of URLs, as they go on the wire, against patterns that
// an auditor can read.
//
// # Guarantee
//
// A path that could be read differently at the other end (dot segments, encoded letters
// or slashes, doubled slashes, parameters) is not plain and matches no pattern, whatever
// the pattern: who allows a path allows exactly what it says. What is left are characters
// like "!" and ":", which a client may escape and a server decodes (RFC 3986 section 2.2):
// they are compared as written by who allows, and decoded by who refuses, so that all
// spellings of a path are refused together. A match takes time linear in path and pattern.
package pathglob

import (
	"errors"
	"fmt"
	"strings"
)

// ErrPattern means that a pattern does not have the form that Compile documents.
var ErrPattern = errors.New("pathglob: pattern")

// MaxPattern is the most bytes of a pattern.
const MaxPattern = 1024

// Pattern is a compiled pattern. Its zero value matches nothing.
type Pattern struct {
	// folded are segments as Fold makes them, one by one.
	segments, folded []Word
	// rest is set where the pattern ends in "/**".
	rest bool
}

// Compile reads a pattern: a plain path in which a segment may hold one "*", for any
// characters within that segment, none included; "*" alone stands for one segment of at
// least a character. Where the last segment is "**", it stands for one or more segments.
//
// The error wraps ErrPattern.
func Compile(pattern string) (Pattern, error) {
	if len(pattern) > MaxPattern {
		return Pattern{}, fmt.Errorf("%w: longer than %d bytes", ErrPattern, MaxPattern)
	}
	p := Pattern{}
	body, rest := strings.CutSuffix(pattern, "/**")
	p.rest = rest
	if body == "" && rest {
		return p, nil
	}
	if !Plain(strings.ReplaceAll(body, "*", "x")) {
		return Pattern{}, fmt.Errorf("%w: it has to be a path from the first slash on, as it goes on the wire, without query, dot segments or needless escapes", ErrPattern)
	}
	for part := range strings.SplitSeq(body[1:], "/") {
		w := word(part)
		if strings.Contains(w.after, "*") {
			return Pattern{}, fmt.Errorf("%w: more than one * in a segment; ** only stands at the end", ErrPattern)
		}
		p.segments = append(p.segments, w)
		p.folded = append(p.folded, Word{Fold(w.before), Fold(w.after), w.star})
	}
	return p, nil
}

// Match reports whether path is plain and fits p as it is written, case and all. No star
// stands for a part of an escape.
func (p Pattern) Match(path string) bool { return Plain(path) && p.MatchPlain(path, Fold(path)) }

// MatchFold is Match in any spelling: escapes are decoded, and letters of either case are
// taken for the same. It is for rules that refuse: a server decodes, and may not tell
// letters apart.
func (p Pattern) MatchFold(path string) bool { return Plain(path) && p.MatchFolded(Fold(path)) }

// MatchPlain is Match for a path that Plain has seen, with what Fold makes of it: who
// holds one path against many patterns asks that once.
func (p Pattern) MatchPlain(path, folded string) bool {
	return p.MatchFolded(folded) && match(p.segments, p.rest, path)
}

// MatchFolded is MatchFold for what Fold makes of a plain path.
func (p Pattern) MatchFolded(folded string) bool { return match(p.folded, p.rest, folded) }

// match holds a path against segments, with more behind them or not.
func match(segments []Word, rest bool, path string) bool {
	if len(segments) == 0 && !rest {
		return false
	}
	left := path[1:]
	for i, s := range segments {
		part, more, cut := strings.Cut(left, "/")
		last := i == len(segments)-1
		if !s.Match(part) || !last && !cut || last && cut != rest {
			return false
		}
		left = more
	}
	return true
}

// Plain reports whether path has one reading only: it starts with a slash, no segment of
// it is empty or made of dots, and it holds nothing but unreserved characters, the
// sub-delimiters without the semicolon, ":" and "@" (RFC 3986 section 3.3), and escapes
// of other octets, except those of slash, backslash, percent sign, semicolon and control
// characters. "/" alone is plain.
func Plain(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	if path == "/" {
		return true
	}
	start := 1 // of the segment
	for i := 1; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			if s := path[start:i]; s == "" || s == "." || s == ".." {
				return false
			}
			start = i + 1
			continue
		}
		c := path[i]
		switch {
		case unreserved(c), strings.IndexByte("!$&'()*+,=:@", c) >= 0:
		case c == '%' && i+2 < len(path) && needed(path[i+1], path[i+2]):
			i += 2
		default:
			return false
		}
	}
	return true
}

// needed reports whether %hl is an escape that has to be there, and hides nothing.
func needed(h, l byte) bool {
	hi, lo := unhex(h), unhex(l)
	if hi < 0 || lo < 0 {
		return false
	}
	c := byte(hi<<4 | lo)
	return c > ' '-1 && c != 0x7f && !unreserved(c) && strings.IndexByte("/\\%;", c) < 0
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
