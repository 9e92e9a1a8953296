package agent

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	"github.com/nsagent/nsagent/vault/store"
)

// TestMissingSecrets guards that whoever copies the vault file without the directory of
// long secrets is told so at the unlock and by the status, by the name of the profile, and
// no more once the secret is there again; a caller with a token is told nothing.
func TestMissingSecrets(t *testing.T) {
	ctx := t.Context()
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	arena := longArena(t)
	for _, name := range []string{"api", "short"} {
		if _, err := f.admin.AddSecret(ctx, apiSecret(name), longSecret(arena, strings.Repeat("x", 100_000))); err != nil {
			t.Fatal(err)
		}
	}
	f.edit("short", client.ProfileEdit{Secrets: map[string]client.Sealer{"value": f.sealer("short")}}) // in the vault file itself
	f.tenMinutesLater()
	f.restart()
	dir := f.paths.Vault + store.BlobSuffix
	want := func(what string, missing ...string) {
		t.Helper()
		note := ""
		if len(missing) > 0 {
			note = fmt.Sprintf(`missing: the file with the secret of "%s"; copy %s from where this vault comes from, or enter the secret again: nsagent profile edit %s`,
				strings.Join(missing, `", "`), dir, missing[0])
		}
		if got := missingIn(f.warnings()); got != note {
			t.Errorf("%s: status says %q\nwant %q", what, got, note)
		}
	}
	unlock := func() []string {
		t.Helper()
		r, err := f.admin.Unlock(ctx, f.sealer(testPassphrase), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range r.GetMissing() {
			if !strings.Contains(strings.Join(r.GetWarnings(), "\n"), m) {
				t.Errorf("not among the warnings: %s", m)
			}
		}
		return r.GetMissing()
	}
	if l := unlock(); len(l) > 0 {
		t.Error(l)
	}
	want("all is there")
	if err := f.admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	want("locked")
	if l := unlock(); len(l) != 1 {
		t.Error(l)
	}
	want("the vault file alone was copied", "api")
	if s, err := f.show(f.mint(unlocktoken.Caveats{}, "acme")).Status(ctx); err != nil || missingIn(s.GetWarnings()) != "" {
		t.Errorf("a caller with a token is told %q, %v", s.GetWarnings(), err)
	}
	if err := os.Rename(dir+".old", dir); err != nil {
		t.Fatal(err)
	}
	want("the directory came later")
	s, err := f.agent.unlocked()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, s.vault.CurrentBlobs()["api"][0].String())); err != nil {
		t.Fatal(err)
	}
	want("one file is gone", "api")
	again := longSecret(arena, strings.Repeat("y", 100_000))
	if _, err := f.admin.EditProfile(ctx, "api", client.ProfileEdit{Value: &again}); err != nil {
		t.Fatal(err)
	}
	want("the secret was entered again")
}

// tenMinutesLater takes from the vault file what it holds of blobs, as the next change
// after ten minutes does: pair 5 of vault-format.md.
func (f *fixture) tenMinutesLater() {
	f.t.Helper()
	old, err := os.ReadFile(f.paths.Vault)
	var pairs map[uint64]cbor.RawMessage
	if err == nil {
		err = cbor.Unmarshal(old, &pairs)
	}
	if err != nil || pairs[5] == nil {
		f.t.Fatal("no blobs in the vault file", err)
	}
	delete(pairs, 5)
	pairs[1] = cbor.RawMessage{1}
	mode, err := cbor.CoreDetEncOptions().EncMode()
	var data []byte
	if err == nil {
		data, err = mode.Marshal(pairs)
	}
	if err == nil {
		sum := sha256.Sum256(data[:len(data)-sha256.Size])
		err = os.WriteFile(f.paths.Vault, append(data[:len(data)-sha256.Size], sum[:]...), 0o600)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// missingIn returns what warnings say of missing secrets.
func missingIn(warnings []string) string {
	l := slices.DeleteFunc(slices.Clone(warnings), func(w string) bool { return !strings.HasPrefix(w, "missing:") })
	return strings.Join(l, "; ")
}
