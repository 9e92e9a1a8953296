package bundle

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

const (
	begin = "-----BEGIN NSAGENT BUNDLE-----\n"
	end   = "-----END NSAGENT BUNDLE-----\n"
	width = 64 // characters of a line

	// MaxText is the most bytes of a bundle as text.
	MaxText = 2 << 20
)

// armour returns b as text.
func armour(b []byte) []byte {
	all := base64.StdEncoding.AppendEncode(nil, b)
	text := make([]byte, 0, len(begin)+len(all)+len(all)/width+1+len(end))
	text = append(text, begin...)
	for len(all) > 0 {
		n := min(width, len(all))
		text = append(append(text, all[:n]...), '\n')
		all = all[n:]
	}
	return append(text, end...)
}

// pointer is how the file begins that Git LFS leaves in the place of one that it has not
// fetched.
const pointer = "version https://git-lfs.github.com/spec/"

// withLineEnds returns text as armour writes it, where it has the line ends that Git or an
// editor has given it: CR LF, and more of them behind it, or none.
func withLineEnds(text []byte) []byte {
	return append(bytes.TrimRight(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), "\n"), '\n')
}

// unarmour is the inverse of armour and accepts other line ends, and nothing else.
func unarmour(text []byte) ([]byte, error) {
	switch {
	case len(text) > MaxText:
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrFormat, len(text), MaxText)
	case len(bytes.TrimSpace(text)) == 0:
		return nil, fmt.Errorf("%w: %w", ErrFormat, ErrEmpty)
	case bytes.HasPrefix(text, []byte(pointer)):
		return nil, fmt.Errorf("%w: %w", ErrFormat, ErrPointer)
	}
	text = withLineEnds(text)
	rest, ok1 := bytes.CutPrefix(text, []byte(begin))
	rest, ok2 := bytes.CutSuffix(rest, []byte(end))
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%w: it does not begin or end as a bundle does", ErrFormat)
	}
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, rest)
	if err != nil || !bytes.Equal(armour(b), text) {
		return nil, fmt.Errorf("%w: not in lines of base64", ErrFormat)
	}
	return b, nil
}
