package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// goldenBlobs is a vault with a blob and with records of two versions. What is in it
// depends on the time when it was written, so it is read here and never written
// again, except with -update-golden before a release.
const goldenBlobs = "testdata/golden-v2-blobs"

// blobSum says of what a blob holds how long it is, and its hash.
func (f *fixture) blobSum(b envelope.Blob) string {
	f.t.Helper()
	s, err := f.current()
	if err != nil {
		f.t.Fatal(err)
	}
	whole, err := s.openBlob(b)
	if err != nil {
		f.t.Fatal(err)
	}
	defer whole.Destroy()
	text := ""
	_ = whole.Use(func(p []byte) error {
		text = fmt.Sprintf("%d bytes, SHA-256 %x", len(p), sha256.Sum256(p))
		return nil
	})
	return text
}

// makeGoldenBlobs writes the vault.
func makeGoldenBlobs(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	path := filepath.Join(goldenBlobs, "vault.nsv")
	if err := os.RemoveAll(goldenBlobs); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(goldenBlobs, 0o755); err != nil {
		t.Fatal(err)
	}
	f := newVault(t, store.NewFile(path))
	f.add("acme-sb1")
	if err := f.Rotate(ctx, "acme-sb1", f.bytesOf("second"), f.bytesOf("second raw")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Add(ctx, NewRecord{Name: "api", Kind: "secret", SignOnly: f.bytesOf("a tag of this record, 32 bytes.."), Long: f.value("golden value ", 70_000)}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Edit(ctx, "api", func(Record) (Edit, error) {
		return Edit{SignOnly: f.bytesOf("a tag of another, 32 bytes long."), Raw: f.bytesOf("short")}, nil
	}); err != nil {
		t.Fatal(err)
	}
	g := golden{About: "Opens vault.nsv beside it. All secrets are made up.", Keyring: map[string]string{}, Content: f.describe()}
	for item, value := range f.keyring.items {
		g.Keyring[item] = hex.EncodeToString(value)
	}
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for _, extra := range []string{".lock", ".prev"} {
		if err := os.Remove(path + extra); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(goldenBlobs, "golden.json"), append(text, '\n'), 0o644); err != nil { // #nosec G306 -- it is public
		t.Fatal(err)
	}
}

// TestGoldenBlobs opens a vault with blobs and two versions, as it was written when
// the format was fixed, here and with the second implementation; with its blobs in
// their files, and with those that stand in the vault file alone.
func TestGoldenBlobs(t *testing.T) {
	if *updateGolden {
		makeGoldenBlobs(t)
	}
	var g golden
	text, err := os.ReadFile(filepath.Join(goldenBlobs, "golden.json"))
	if err == nil {
		err = json.Unmarshal(text, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, withFiles := range map[string]bool{"blobs in files": true, "blobs in the vault file": false} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "v")
			if err := os.CopyFS(dir, os.DirFS(goldenBlobs)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "vault.nsv")
			if err := privately(dir); err != nil {
				t.Fatal(err)
			}
			if !withFiles {
				if err := os.RemoveAll(path + store.BlobSuffix); err != nil {
					t.Fatal(err)
				}
			}
			a := newArena(t)
			f := &fixture{t: t, keyring: newKeyring(a)}
			for item, value := range g.Keyring {
				if f.keyring.items[item], err = hex.DecodeString(value); err != nil {
					t.Fatal(err)
				}
			}
			f.cfg = Config{Store: store.NewFile(path), Arena: a, Keyring: f.keyring}
			if f.Vault, err = Open(context.Background(), f.cfg); err != nil {
				t.Fatal(err)
			}
			if err := f.unlock(""); err != nil {
				t.Fatal(err)
			}
			f.integrity()
			if got, want := asJSON(t, f.describe()), asJSON(t, g.Content); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			python(t)
			out, err := g.read(t, path, SlotKeyring)
			if err != nil {
				t.Fatal(err)
			}
			var content goldenContent
			if err := json.Unmarshal(out, &content); err != nil {
				t.Fatal(err)
			}
			if got, want := asJSON(t, content), asJSON(t, g.Content); got != want {
				t.Errorf("second implementation:\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

// privately takes the rights of others away from a copy of a test's files.
func privately(dir string) error {
	return filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(path, 0o700) // #nosec G302 -- a directory
		}
		return os.Chmod(path, 0o600)
	})
}
