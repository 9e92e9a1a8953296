package secret

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

func encodePEM(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

func TestDecodePEM(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	for n := range 200 {
		if n == 0 {
			continue
		}
		der := make([]byte, n)
		_, _ = rand.Read(der)
		text := encodePEM("EC PRIVATE KEY", der)
		for _, v := range []string{text, strings.ReplaceAll(text, "\n", "\r\n"), "\n \t" + text + "\n\n", strings.TrimSpace(text)} {
			got, label, err := a.DecodePEM(take(t, a, v))
			if err != nil || label != "EC PRIVATE KEY" || !bytes.Equal(content(t, got), der) {
				t.Fatalf("%d bytes: %q, %v", n, label, err)
			}
			got.Destroy()
		}
	}
	// In one line, as some consoles give it.
	der, _, err := a.DecodePEM(take(t, a, "-----BEGIN X-----\n"+strings.Repeat("QUJD", 50)+"\n-----END X-----"))
	if err != nil || string(content(t, der)) != strings.Repeat("ABC", 50) {
		t.Errorf("one long line: %v", err)
	}
	key := newECDSA(t, elliptic.P256())
	der, label, err := a.DecodePEM(take(t, a, encodePEM("PRIVATE KEY", pkcs8(t, key))))
	if err != nil || label != "PRIVATE KEY" {
		t.Fatal(err)
	}
	if k, err := a.NewPrivateKey(der); err != nil || !key.PublicKey.Equal(k.Public()) {
		t.Errorf("key from PEM: %v", err)
	}
}

func TestDecodePEMRefuses(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	used := a.Info().Used
	one := "-----BEGIN X-----\nQUJD\n-----END X-----\n"
	for name, text := range map[string]string{
		"empty": "", "white space": " \n\n", "text": "hello", "no end": "-----BEGIN X-----\nQUJD\n", "begin only": "-----BEGIN X-----",
		"two": one + one, "two of two kinds": "-----BEGIN EC PARAMETERS-----\nQUJD\n-----END EC PARAMETERS-----\n" + one,
		"text before": "Bag Attributes\n" + one, "text after": one + "x", "labels differ": "-----BEGIN X-----\nQUJD\n-----END Y-----",
		"empty label": "-----BEGIN -----\nQUJD\n-----END -----", "lower-case label": strings.ReplaceAll(one, "X", "x"),
		"headers":    "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nQUJD\n-----END X-----",
		"empty line": "-----BEGIN X-----\nQUJD\n\nQUJD\n-----END X-----", "no base64": "-----BEGIN X-----\n-----END X-----",
		"end in the same line": "-----BEGIN X-----\nQUJD-----END X-----", "space in a line": "-----BEGIN X-----\nQUJD \n-----END X-----",
		"bad character": "-----BEGIN X-----\nQU_D\n-----END X-----", "no padding": "-----BEGIN X-----\nQUI\n-----END X-----",
		"padding inside": "-----BEGIN X-----\nQUI=\nQUJD\n-----END X-----", "stray bits": "-----BEGIN X-----\nQUJ=\n-----END X-----",
		"only padding": "-----BEGIN X-----\n====\n-----END X-----", "nul": "-----BEGIN X-----\nQU\x00D\n-----END X-----",
		"bare carriage return": "-----BEGIN X-----\rQUJD\r-----END X-----", "dashes": "-----BEGIN X----\nQUJD\n-----END X----",
		"long label": strings.ReplaceAll(one, "X", strings.Repeat("X", 65)),
	} {
		b := take(t, a, text)
		der, label, err := a.DecodePEM(b)
		if !errors.Is(err, ErrPEM) || !der.IsZero() || label != "" {
			t.Errorf("%s: got %q, %v", name, label, err)
		}
		if err != nil && (strings.Contains(err.Error(), "QUJD") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: the error quotes the text: %v", name, err)
		}
		b.Destroy()
	}
	if got := a.Info().Used; got != used {
		t.Errorf("%d bytes are lost", got-used)
	}
	if _, _, err := a.DecodePEM(Bytes{}); !errors.Is(err, ErrDestroyed) {
		t.Errorf("zero Bytes: %v", err)
	}
}

// What DecodePEM takes, encoding/pem reads the same way without the blanks around it; what
// it refuses leaves nothing in the arena.
func FuzzDecodePEM(f *testing.F) {
	a, err := NewArena(ArenaConfig{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = a.Close() })
	f.Add([]byte(encodePEM("PRIVATE KEY", pkcs8(f, newECDSA(f, elliptic.P256())))))
	f.Add([]byte("-----BEGIN X-----\r\nQUJD\r\nQQ==\r\n-----END X-----\r\n"))
	f.Add([]byte("-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\nQUJD\n-----END X-----"))
	f.Add([]byte("-----BEGIN X-----\nQUJD\n-----END X-----\n-----BEGIN X-----\nQUJD\n-----END X-----\n"))
	f.Add([]byte("-----BEGIN X-----\nQUJDQQ==\n-----END X-----\r"))
	f.Fuzz(func(t *testing.T, text []byte) {
		used := a.Info().Used
		if len(text) > 1<<20 {
			return
		}
		b, err := a.Take(bytes.Clone(text))
		if err != nil {
			t.Fatal(err)
		}
		der, label, err := a.DecodePEM(b)
		b.Destroy()
		if err != nil {
			if !der.IsZero() || label != "" {
				t.Fatalf("an error and a result: %q, %v", label, err)
			}
		} else {
			block, rest := pem.Decode(bytes.Trim(text, " \t\r\n"))
			if block == nil || len(bytes.TrimSpace(rest)) != 0 || len(block.Headers) != 0 {
				t.Fatalf("encoding/pem does not see exactly one block")
			}
			if block.Type != label || !bytes.Equal(block.Bytes, content(t, der)) {
				t.Fatalf("got %q, encoding/pem sees %q", label, block.Type)
			}
			der.Destroy()
		}
		if got := a.Info().Used; got != used {
			t.Fatalf("%d bytes are lost", got-used)
		}
	})
}
