package pinentry

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"
)

// reference reads an answer the plain way.
func reference(said string) (text string, ok bool) {
	for n := 1; ; n++ {
		line, rest, whole := strings.Cut(said, "\n")
		if said = rest; !whole || len(line) >= maxLine || n > maxLines {
			return "", false
		}
		line = strings.TrimSuffix(line, "\r")
		word, data, _ := strings.Cut(line, " ")
		switch {
		case word == "OK":
			return text, true
		case word == "D":
			part, err := url.PathUnescape(data)
			if err != nil {
				return "", false
			}
			text += part
		case word == "S" || strings.HasPrefix(word, "#"):
		default:
			return "", false
		}
	}
}

// FuzzAnswer reads whatever a program may say as the plain way does, or not at all.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"OK\n", "OK Pleased to meet you\n", "D pass%25word\nOK\n", "D a\nS x\n# y\nD b\r\nOK\n", "ERR 83886179 cancelled\n", "D %4\nOK\n", "D %zz\nOK\n",
		"D " + strings.Repeat("x", 997) + "\nOK\n", "D " + strings.Repeat("x", 998) + "\nOK\n", "INQUIRE x\n", "\n", "D\nOK\n", "D a", "ERR \n", "ERR 99999999999 x\n", "D %0a%0D%00\nOK\n",
		strings.Repeat("S\n", maxLines-1) + "OK\n", strings.Repeat("S\n", maxLines) + "OK\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said string) {
		line, to := make([]byte, maxLine), make([]byte, 2048)
		n, err := readAnswer(strings.NewReader(said), line, to)
		want, ok := reference(said)
		if ok && len(want) > len(to) {
			ok = false
		}
		if (err == nil) != ok || ok && string(to[:n]) != want {
			t.Fatalf("%q: got %q, %v; want %q, %v", said, to[:n], err, want, ok)
		}
		if err != nil && n != 0 {
			t.Fatalf("%q: %d bytes of a failure", said, n)
		}
		if first, _, _ := strings.Cut(said, "\n"); errors.Is(err, ErrCancelled) && !strings.Contains(said, "ERR ") {
			t.Fatalf("%q is a no", first)
		}
	})
}

// What was read is what was said, up to the end of an answer: the next one is not touched.
func TestReadsNoFurther(t *testing.T) {
	r := strings.NewReader("D one\nOK\nD two\nOK\n")
	line, to := make([]byte, maxLine), make([]byte, 16)
	for _, want := range []string{"one", "two"} {
		if n, err := readAnswer(r, line, to); err != nil || string(to[:n]) != want {
			t.Errorf("got %q, %v; want %q", to[:n], err, want)
		}
	}
}

// No text of ours ends a line early.
func TestEscape(t *testing.T) {
	const text = "a%b\r\nc\x00d %0A"
	got := escape(text)
	if strings.ContainsAny(got, "\r\n\x00") {
		t.Errorf("got %q", got)
	}
	back := make([]byte, 64)
	if n, err := unescape(back, 0, []byte(got)); err != nil || !bytes.Equal(back[:n], []byte(text)) {
		t.Errorf("got %q, %v", back[:n], err)
	}
}
