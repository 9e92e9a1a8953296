// Package tomlnest counts how deeply TOML nests, before github.com/BurntSushi/toml reads
// it: what that takes grows with the square of the depth, so that a short text which nests
// without end would have the process killed.
//
// # Guarantee
//
// A text that is not refused has at most Max brackets within each other, and at most Max
// dots in one key, as the parser reads it: strings and comments end where they end for the
// parser.
//
// # What the user must still do
//
// Bound the length of the text, and parse it: most of what is no TOML is not refused.
package tomlnest

import "strings"

// Max is how many brackets may be within each other, and how many dots in a key.
const Max = 8

// Counter goes over the lines of a text, from the first on. Its zero value is ready.
type Counter struct {
	quote   string // that ends the string we are in; "": in none
	nesting int
}

// Fine reports whether no line of text is refused.
func Fine(text string) bool {
	var c Counter
	for line := range strings.SplitSeq(text, "\n") {
		if !c.Line(line) {
			return false
		}
	}
	return true
}

// Inside reports whether the next line begins within a string or within brackets.
func (c *Counter) Inside() bool { return c.quote != "" || c.nesting > 0 }

// Line goes over the next line: strings, comments and brackets. It reports false where
// brackets, or the parts of a key, are too many.
func (c *Counter) Line(line string) bool {
	dots := 0
	for i := 0; i < len(line); i++ {
		rest := line[i:]
		if c.quote != "" {
			i += c.within(rest) - 1
			continue
		}
		switch b := rest[0]; b {
		case '#':
			i = len(line)
		case '"', '\'':
			c.quote = string(b)
			if triple := strings.Repeat(c.quote, 3); strings.HasPrefix(rest, triple) {
				c.quote = triple
			}
			i += len(c.quote) - 1
		case '[', '{':
			c.nesting++
		case ']', '}':
			c.nesting = max(c.nesting-1, 0)
		case '=', ',':
			dots = 0
		case '.':
			dots++
		}
		if c.nesting > Max || dots > Max {
			return false
		}
	}
	if len(c.quote) == 1 {
		c.quote = "" // the parser refuses a string without an end
	}
	return true
}

// within returns how many bytes of rest, which begins in a string, are one step in it: a
// letter, an escape, or what ends it. Of the quotes right before the three that end a long
// string the first are its own, so that it ends with the last of them; the parser refuses
// more than there may be.
func (c *Counter) within(rest string) int {
	switch {
	case c.quote[0] == '"' && rest[0] == '\\':
		return 2
	case !strings.HasPrefix(rest, c.quote):
		return 1
	}
	run := 1
	if len(c.quote) > 1 {
		run = len(rest) - len(strings.TrimLeft(rest, c.quote[:1]))
	}
	c.quote = ""
	return run
}
