package pathglob

import (
	"fmt"
	"strings"
)

// Word is a compiled pattern for one name: letters as they are, with at most one "*" for
// any characters, none included; "*" alone stands for at least one character. Its zero
// value matches the empty name alone.
type Word struct {
	before, after string
	star          bool
}

// CompileWord reads the pattern of a name. The error wraps ErrPattern.
func CompileWord(pattern string) (Word, error) {
	if pattern == "" || len(pattern) > MaxPattern {
		return Word{}, fmt.Errorf("%w: it has 1 to %d bytes", ErrPattern, MaxPattern)
	}
	w := word(pattern)
	if strings.Contains(w.after, "*") {
		return Word{}, fmt.Errorf("%w: more than one *", ErrPattern)
	}
	return w, nil
}

func word(pattern string) Word {
	before, after, star := strings.Cut(pattern, "*")
	return Word{before, after, star}
}

// String returns the pattern.
func (w Word) String() string {
	if w.star {
		return w.before + "*" + w.after
	}
	return w.before
}

// Literal reports whether w stands for one name only, which String returns.
func (w Word) Literal() bool { return !w.star }

// Match reports whether name fits w, case and all.
func (w Word) Match(name string) bool { return w.fits(name, false) }

// MatchFold is Match with letters of either case taken for the same.
func (w Word) MatchFold(name string) bool { return w.fits(name, true) }

func (w Word) fits(name string, fold bool) bool {
	if !w.star {
		return same(name, w.before, fold)
	}
	n := len(name) - len(w.before) - len(w.after)
	if n < 0 || n == 0 && w.any() {
		return false
	}
	return same(name[:len(w.before)], w.before, fold) && same(name[len(name)-len(w.after):], w.after, fold)
}

// any reports whether w, which has a star, is "*" alone.
func (w Word) any() bool { return w.before == "" && w.after == "" }

// Covers reports whether whatever fits v fits w.
func (w Word) Covers(v Word) bool {
	switch {
	case !v.star:
		return w.fits(v.before, false)
	case !w.star:
		return false
	}
	return strings.HasPrefix(v.before, w.before) && strings.HasSuffix(v.after, w.after)
}

// Overlaps reports whether some name fits both, letters of either case taken for the
// same.
func (w Word) Overlaps(v Word) bool { return w.overlaps(v, true) }

func (w Word) overlaps(v Word, fold bool) bool {
	switch {
	case !w.star:
		return v.fits(w.before, fold)
	case !v.star:
		return w.fits(v.before, fold)
	}
	n, m := min(len(w.before), len(v.before)), min(len(w.after), len(v.after))
	return same(w.before[:n], v.before[:n], fold) && same(w.after[len(w.after)-m:], v.after[len(v.after)-m:], fold)
}

func same(a, b string, fold bool) bool {
	if fold {
		return strings.EqualFold(a, b)
	}
	return a == b
}
