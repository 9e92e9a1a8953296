package policy

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func TestPack(t *testing.T) {
	large := textOf(many(9_000, "profiles = \"p#\"\nwhat = [\"suiteql\", \"GET /services/**\"]")...)
	for _, text := range []string{"", "version = 1\n", large} {
		packed, err := Pack(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Unpack(packed); err != nil || got != text {
			t.Errorf("%d bytes came back as %d, %v", len(text), len(got), err)
		}
		if len(packed) > 200<<10 {
			t.Errorf("%d bytes are packed into %d", len(text), len(packed))
		}
		for _, bad := range [][]byte{packed[:len(packed)-1], append(bytes.Clone(packed), 0)} {
			if _, err := Unpack(bad); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), "it is not compressed as it has to be") {
				t.Errorf("cut or longer: got %v", err)
			}
		}
	}
	bomb, _ := Pack(strings.Repeat(" ", maxText+1))
	if _, err := Unpack(bomb); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), "larger") {
		t.Errorf("too large: got %v", err)
	}
}

// A text that does not get shorter would be refused by whoever takes messages, in words that
// say nothing of policies.
func TestPackOfWhatStaysLarge(t *testing.T) {
	noise := make([]byte, maxPacked)
	_, _ = rand.Read(noise)
	text := "version = 1\n# " + base64.StdEncoding.EncodeToString(noise)
	if _, err := Pack(text); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), "larger than 240 KiB, compressed") {
		t.Errorf("got %v", err)
	}
	if _, err := Pack(text[:len(text)*9/10]); err != nil {
		t.Errorf("less: %v", err)
	}
}

// FuzzUnpack: no bytes make it panic or give more than a policy may have.
func FuzzUnpack(f *testing.F) {
	packed, _ := Pack("version = 1")
	f.Add(packed)
	f.Fuzz(func(t *testing.T, b []byte) {
		if text, err := Unpack(b); err != nil && text != "" || len(text) > maxText {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
	})
}
