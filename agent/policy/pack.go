package policy

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
)

// Pack returns the text of a policy as it is sent and kept: compressed (DEFLATE, RFC
// 1951), since rules are much alike.
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
