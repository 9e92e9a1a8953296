package agent

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// found returns what Fsck found, as "name=state" in order.
func found(t *testing.T, all []*pb.Check) string {
	t.Helper()
	var l []string
	for _, c := range all {
		l = append(l, c.GetName()+"="+c.GetState())
		if c.GetState() == checkProblem && c.GetRemedy() == "" {
			t.Errorf("nothing to do about %s: %s", c.GetName(), c.GetDetail())
		}
	}
	return strings.Join(l, " ")
}

// TestFsck guards C-01 and V-02 for people: each kind of damage to each file of a
// vault is found, by name, with what to do; a whole vault has no problem, locked and
// unlocked.
func TestFsck(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	if _, err := f.admin.AddSecret(t.Context(), apiSecret("api"), longSecret(longArena(t), strings.Repeat("x", 100_000))); err != nil {
		t.Fatal(err)
	}
	r, err := f.admin.CheckVault(t.Context())
	if err != nil || r.GetLocked() {
		t.Fatal(r, err)
	}
	const whole = "file=ok manifest=ok previous=ok blobs=ok ledger=ok pin=note contents="
	if got := found(t, r.GetChecks()); got != whole+"ok" {
		t.Errorf("unlocked: %s", got)
	}
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err = f.admin.CheckVault(t.Context()); err != nil || !r.GetLocked() || found(t, r.GetChecks()) != whole+"skipped" {
		t.Errorf("locked: %s, %v", found(t, r.GetChecks()), err)
	}
	if err := f.admin.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.waitEnd()

	data := filepath.Dir(f.paths.Vault)
	blob := func(dir string) string {
		l, err := filepath.Glob(filepath.Join(dir, "vault.nsv.blobs", "*"))
		if err != nil || len(l) != 1 {
			t.Fatal(l, err)
		}
		return l[0]
	}
	change := func(path string) {
		b, err := os.ReadFile(path)
		if err == nil {
			b[len(b)/2] ^= 1
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		do   func(dir string)
		want string
	}{
		{"nothing", func(string) {}, whole + "skipped"},
		{"the vault is gone", func(d string) { must(os.Remove(d + "/vault.nsv")) }, "file=problem"},
		{"a byte of it changed", func(d string) { change(d + "/vault.nsv") }, "file=problem"},
		{"others may read it", func(d string) { must(os.Chmod(d+"/vault.nsv", 0o644)) }, "file=problem"}, // #nosec G302 -- what is to be found
		{"it is a link", func(d string) {
			must(os.Rename(d+"/vault.nsv", d+"/v"))
			must(os.Symlink(d+"/v", d+"/vault.nsv"))
		}, "file=problem"},
		{"the one before is gone", func(d string) { must(os.Remove(d + "/vault.nsv.prev")) }, "file=ok manifest=ok previous=note blobs=ok ledger=ok pin=note contents=skipped"},
		{"the one before is changed", func(d string) { change(d + "/vault.nsv.prev") }, "file=ok manifest=ok previous=problem blobs=ok ledger=ok pin=note contents=skipped"},
		{"an older one was put back", func(d string) {
			must(os.Rename(d+"/vault.nsv.prev", d+"/vault.nsv"))
		}, "file=ok manifest=ok previous=note blobs=ok ledger=problem pin=note contents=skipped"},
		{"the blob is gone, the vault file has it", func(d string) { must(os.RemoveAll(d + "/vault.nsv.blobs")) }, "file=ok manifest=ok previous=ok blobs=note ledger=ok pin=note contents=skipped"},
		{"the blob is changed, the vault file has it", func(d string) { change(blob(d)) }, "file=ok manifest=ok previous=ok blobs=note ledger=ok pin=note contents=skipped"},
		{"the ledger is gone", func(d string) { must(os.Remove(d + "/vault.nsl")) }, whole + "skipped"},
		{"the ledger is changed", func(d string) { change(d + "/vault.nsl") }, "file=ok manifest=ok previous=ok blobs=ok ledger=problem pin=note contents=skipped"},
		{"the machine key is gone", func(d string) { must(os.Remove(d + "/machine.key")) }, "file=ok manifest=ok previous=ok blobs=ok ledger=problem pin=note contents=skipped"},
		{"the machine key is another's", func(d string) { must(os.WriteFile(d+"/machine.key", make([]byte, 32), 0o600)) }, "file=ok manifest=ok previous=ok blobs=ok ledger=problem pin=note contents=skipped"},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		if out, err := exec.Command("cp", "-a", data, dir).CombinedOutput(); err != nil { // #nosec G204 -- of the test
			t.Fatal(err, string(out))
		}
		c.do(dir)
		paths := f.paths
		for _, p := range []*string{&paths.Vault, &paths.Ledger, &paths.MachineKey} {
			*p = filepath.Join(dir, filepath.Base(*p))
		}
		if got := found(t, Fsck(t.Context(), FsckConfig{Paths: paths, Arena: f.arena})); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestFsckFindsRollback shows that an older vault is found by what the ledger
// remembers, and damage inside a record by opening it.
func TestFsckFindsRollback(t *testing.T) {
	f := start(t)
	f.unlock()
	old, err := os.ReadFile(f.paths.Vault)
	if err != nil {
		t.Fatal(err)
	}
	f.addTBA("acme")
	f.restart()
	f.unlock() // the ledger notes the generation
	if err := f.admin.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.waitEnd()
	cfg := FsckConfig{Paths: f.paths, Arena: f.arena}
	v, err := vault.Open(t.Context(), vault.Config{Store: store.NewFile(f.paths.Vault), Arena: f.arena})
	if err == nil {
		err = v.Unlock(t.Context(), f.secret(testPassphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg.Open = v
	if got := found(t, Fsck(t.Context(), cfg)); !strings.HasSuffix(got, "contents=ok") {
		t.Errorf("the whole vault: %s", got)
	}
	// Metadata that is sealed as it should be, and is not a profile's.
	if err := v.Describe(t.Context(), "acme", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := found(t, Fsck(t.Context(), cfg)); !strings.HasSuffix(got, "contents=problem") {
		t.Errorf("a record that is no profile: %s", got)
	}
	v.Lock()
	cfg.Open = nil
	if err := os.WriteFile(f.paths.Vault, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := found(t, Fsck(t.Context(), cfg)); !strings.Contains(got, "ledger=problem") {
		t.Errorf("an older vault: %s", got)
	}
}

// TestBackupByCopy guards P9 for whole agents: the data directory, copied by cp while
// profiles and long secrets come and go, unlocks in a home of its own with every
// profile that was acknowledged before the copy began.
func TestBackupByCopy(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	long := longSecret(longArena(t), strings.Repeat("0123456789", 7_000))
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		admin, err := client.DialAdmin(t.Context(), client.WithSocket(f.paths.Admin))
		for n := byte(0); err == nil; n++ {
			select {
			case <-stop:
				_ = admin.Close()
				ended <- nil
				return
			default:
			}
			if _, err = admin.AddSecret(t.Context(), apiSecret("api"), long); err == nil {
				_, err = admin.EditProfile(t.Context(), "api", client.ProfileEdit{Value: &long})
			}
			if err == nil {
				_, err = admin.EditProfile(t.Context(), "acme", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(n%50 + 100))}})
			}
			if err == nil {
				err = admin.RemoveProfile(t.Context(), "api")
			}
		}
		ended <- err
	}()
	data := filepath.Dir(f.paths.Vault)
	withBlob := 0
	for deadline, i := time.Now().Add(2*time.Minute), 0; i < 12 || withBlob == 0 && time.Now().Before(deadline); i++ {
		dir := filepath.Join(t.TempDir(), "data")
		_ = exec.Command("cp", "-a", data, dir).Run() // #nosec G204 -- of the test; it grumbles about files that go meanwhile
		v, err := vault.Open(t.Context(), vault.Config{Store: store.NewFile(filepath.Join(dir, "vault.nsv")), Arena: f.arena})
		if err == nil {
			err = v.Unlock(t.Context(), f.secret(testPassphrase))
		}
		if err != nil {
			t.Fatalf("copy %d: %v", i, err)
		}
		paths := f.paths
		for _, p := range []*string{&paths.Vault, &paths.Ledger, &paths.MachineKey} {
			*p = filepath.Join(dir, filepath.Base(*p))
		}
		if got := found(t, Fsck(t.Context(), FsckConfig{Paths: paths, Arena: f.arena, Open: v})); strings.Contains(got, "problem") || !strings.HasSuffix(got, "contents=ok") {
			t.Errorf("copy %d: %s", i, got)
		}
		all, err := v.Records()
		if err != nil || len(all) == 0 || all[0].Name != "acme" {
			t.Errorf("copy %d: %v, %v", i, all, err)
		}
		if len(all) == 2 {
			withBlob++
		}
		v.Lock()
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if withBlob == 0 {
		t.Error("no copy has a long secret")
	}
}
