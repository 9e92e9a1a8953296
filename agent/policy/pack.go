package policy

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
)

// maxPacked is the most bytes of a policy that was packed: what is sent to the agent has
// 256 KiB at most, its proof included.
const maxPacked = 240 << 10

// Pack returns the text of a policy as it is sent and kept: compressed (DEFLATE, RFC
// 1951), since rules are much alike. The error is a *SyntaxError where too much is left.
func Pack(text string) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compressing a policy: %w", err)
	}
	if b.Len() > maxPacked {
		return nil, &SyntaxError{Line: 1, Why: fmt.Sprintf("it is larger than %d KiB, compressed", maxPacked>>10)}
	}
	return b.Bytes(), nil
}

// Unpack returns the text that Pack was given. The error is a *SyntaxError: it is cut or
// something else, or the text is larger than Parse takes.
func Unpack(packed []byte) (string, error) {
	r := bytes.NewReader(packed)
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(r), maxText+1))
	switch {
	case len(text) > maxText:
		err = errTooLarge
	case err != nil || r.Len() > 0:
		err = errors.New("it is not compressed as it has to be")
	}
	if err != nil {
		return "", &SyntaxError{Line: 1, Why: err.Error()}
	}
	return string(text), nil
}
