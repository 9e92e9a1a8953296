package policy

import (
	"bytes"
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

// A file that is copied in is there when the policy is read, and says so.
func TestCopiedFiles(t *testing.T) {
	const text = "version = 1\n[[issuer]]\nurl = \"https://h\"\n[[issuer]]\nurl = \"https://i\"\njwks_file = \"/etc/a.json\"\n[[issuer]]\nurl = \"https://j\"\njwks_file = \"/etc/b.json\"\n[[rule]]\nname = \"a\"\neffect = \"deny\"\nwhat = \"*\""
	p, err := Parse(text)
	if err != nil || strings.Join(p.Files(), " ") != "/etc/a.json /etc/b.json" {
		t.Fatalf("got %v, %v", p, err)
	}
	whole := text
	for path, content := range map[string]string{"/etc/a.json": "{\"keys\":\n[]}\n", "/etc/b.json": "{}"} {
		if whole, err = WithFile(whole, path, content); err != nil {
			t.Fatal(err)
		}
	}
	p, err = Parse(whole)
	if err != nil || len(p.Files()) != 0 || p.Issuers[0].JWKS != "" || p.Issuers[1].JWKS != "{\"keys\":\n[]}\n" || p.Issuers[2].JWKS != "{}" {
		t.Errorf("got %+v, %v of\n%s", p, err, whole)
	}
	for _, bad := range [][2]string{{"/etc/a.json", "'''"}, {"/etc/\"", "{}"}} {
		if _, err := WithFile(text, bad[0], bad[1]); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	for more, want := range map[string]string{"\"/etc/c.json\" = \"{}\"": "unknown key", "\"\" = \"{}\"": "unknown key", "\"/etc/a.json\" = 1": "it is the content", "\"/etc/a.json\" = \"\"": "it is the content"} {
		if _, err := Parse(text + "\n[copied]\n" + more); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", more, err)
		}
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
