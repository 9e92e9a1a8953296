package unlocktoken

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrEmpty means that there is no text of a token at all.
var ErrEmpty = errors.New("it is empty")

// ParseLine reads a token from a file, a variable or a descriptor, where line ends may stand
// behind it. Where more than that was pasted, the error names it: nothing of it is dropped,
// since a token with a part of its own missing looks the same. Errors wrap ErrToken.
func ParseLine(text []byte) (*Token, error) {
	line := bytes.TrimRight(text, "\r\n")
	t, err := Parse(line)
	if err == nil {
		return t, nil
	}
	if why := pastedWith(line); why != nil {
		err = fmt.Errorf("%w: %w: %w", ErrToken, ErrFormat, why)
	}
	return nil, err
}

// pastedWith says what stands around a token, or in the middle of it; nil where that is
// nothing that one knows.
func pastedWith(line []byte) error {
	inner := bytes.TrimSpace(line)
	before, rest, found := bytes.Cut(inner, []byte(Prefix))
	quoted := bytes.TrimRight(before, `"'`)
	switch {
	case len(inner) == 0:
		return ErrEmpty
	case bytes.HasPrefix(inner, []byte("/")):
		return errors.New("it is the path of a file, and no token")
	case !found:
		return nil
	case bytes.HasSuffix(quoted, []byte("=")):
		return errors.New("the name of a variable stands before it")
	case len(before) > 0 && len(quoted) == 0:
		return errors.New("it stands in quotes")
	case len(before) > 0:
		return errors.New("something else stands before it")
	case bytes.ContainsAny(rest, "\r\n"):
		return errors.New("there is a line break in the middle")
	case bytes.ContainsAny(rest, " \t"):
		return errors.New("there is a space in the middle")
	case bytes.HasPrefix(line, inner) && len(line) > len(inner):
		return errors.New("there is a space behind it")
	case len(line) > len(inner):
		return errors.New("there is a space, or an empty line, before it")
	}
	return nil
}
