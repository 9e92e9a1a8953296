package term

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadHidden(t *testing.T) {
	for typed, want := range map[string]string{
		"secret\r": "secret", "secret\n": "secret", "\r": "", "sex\x7fcret\r": "secret", "x\x08secret\r": "secret",
		"wrong\x15secret\r": "secret", "secre\u00fc\x7ft\r": "secret", "\x7f\x7f\x15secret\r": "secret", "a b\tc\r": "a b\tc",
		"half\x1asecret\r": "secret", "\x1a\x1a\r": "",
	} {
		for name, r := range map[string]io.Reader{"at once": strings.NewReader(typed), "byte by byte": iotest.OneByteReader(strings.NewReader(typed))} {
			stops := 0
			p := make([]byte, 17)
			n, err := readHidden(r, p, func() error { stops++; return nil })
			if err != nil || string(p[:n]) != want {
				t.Errorf("%q %s: got %q, %v, want %q", typed, name, p[:n], err, want)
			}
			if stops != strings.Count(typed, "\x1a") {
				t.Errorf("%q: it stopped %d times", typed, stops)
			}
			if rest := bytes.Trim(p[n:], "\x00"); len(rest) > 0 {
				t.Errorf("%q: %q stays behind the answer", typed, rest)
			}
		}
	}
}

func TestReadHiddenRefuses(t *testing.T) {
	for typed, want := range map[string]error{
		"sec\x03": ErrInterrupted, "sec\x04": ErrInterrupted, "sec\x1c": ErrInterrupted, "sec": ErrInterrupted, "": ErrInterrupted, strings.Repeat("x", 18): ErrTooLong,
	} {
		if _, err := readHidden(strings.NewReader(typed), make([]byte, 17), func() error { return nil }); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", typed, err, want)
		}
	}
}

func FuzzReadHidden(f *testing.F) {
	f.Add([]byte("se\x7f\x15cret\r"))
	f.Add([]byte("\xff\x80\x80\x7f\r"))
	f.Fuzz(func(t *testing.T, typed []byte) {
		p := make([]byte, 17)
		n, err := readHidden(bytes.NewReader(typed), p, func() error { return nil })
		if err == nil && (n > 16 || bytes.IndexByte(typed, '\r') < 0 && bytes.IndexByte(typed, '\n') < 0) {
			t.Errorf("got %d bytes out of %q", n, typed)
		}
		if err != nil && n != 0 {
			t.Errorf("an error with %d bytes", n)
		}
	})
}
