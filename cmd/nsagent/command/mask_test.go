package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokensAreNotSaid: whatever names a token, as a path or in the words of another program,
// nothing of it reaches stderr, where logs of jobs have it for good.
func TestTokensAreNotSaid(t *testing.T) {
	token, jwt := "nst1_ARVX3wT0kEN-_"+strings.Repeat("a", 400), "eyJhbGciOiJSUzI1NiJ9.eyJqdGkiOiIxIn0.c2ln"
	var said bytes.Buffer
	e := testEnv(nil)
	e.stderr = &said
	e.note("no socket at %s, none for %q", token, token[:60])
	e.exit(usage("cannot use "+token, "it is "+jwt, "look:  ls -l "+jwt[:30]))
	if text := said.String(); strings.Contains(text, "ARVX") || strings.Contains(text, "eyJh") || strings.Count(text, "nst1_…") != 3 {
		t.Errorf("got %q", text)
	}
	said.Reset()
	e.note("give it as it was printed, one line from nst1_ on; not nst1_token.txt")
	if text := said.String(); !strings.Contains(text, "nst1_ on; not nst1_token.txt") {
		t.Errorf("what is no token: got %q", text)
	}
}

// TestSecretsInPlaceOfFiles: where a flag takes the file of a secret and gets the secret, the
// refusal does not have it.
func TestSecretsInPlaceOfFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	arena := testArena(t)
	e := testEnv(nil)
	for _, text := range []string{"correct horse", `{"consumer_secret":"` + strings.Repeat("c", 300) + `"}`, "-----BEGIN\nsecret"} {
		_, byPassphrase := (&passphraseFlags{file: text, fd: -1}).read(e, arena)
		_, byKey := (&openerFlags{keyFile: text, passphrase: passphraseFlags{fd: -1}}).read(e, arena)
		_, byCode := e.recoveryCode(arena, text)
		_, byToken := (&tokenFlags{text}).read(e)
		_, byDraft := e.readDraft(arena, text)
		byFile := (&draft{}).readFiles(arena, "", text)
		for name, err := range map[string]error{"passphrase": byPassphrase, "key file": byKey, "recovery code": byCode, "token": byToken, "profile": byDraft, "key": byFile} {
			if err == nil {
				t.Fatalf("%s: taken", name)
			}
			if f := failure(err); strings.Contains(f.Message+f.Why+f.Next, text[:6]) {
				t.Errorf("%s: the secret is in %+v", name, f)
			}
		}
	}
	// a file that is there has a name
	path := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(path, []byte("no key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readKeyFile(arena, path, fileOf("key-file")); err == nil || failure(err).Message != path+" is not a key file" {
		t.Errorf("got %v", err)
	}
}
