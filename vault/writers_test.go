package vault

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/store"
)

// TestWriters is C-07 for the vault: 20 processes that add, rotate and remove at the
// same time lose no change of one another, and the manifest's chain holds.
func TestWriters(t *testing.T) {
	if path := os.Getenv("NSAGENT_TEST_WRITER_VAULT"); path != "" {
		write(t, path, os.Getenv("NSAGENT_TEST_WRITER"))
		return
	}
	const writers, each = 20, 4
	path := filepath.Join(t.TempDir(), "vault.nsv")
	f := newVaultWith(t, store.NewFile(path), SlotPassphrase)
	start := f.Generation()
	var wg sync.WaitGroup
	for w := range writers {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWriters$", "-test.count=1")
		cmd.Env = append(os.Environ(), "NSAGENT_TEST_WRITER_VAULT="+path, fmt.Sprintf("NSAGENT_TEST_WRITER=%02d", w))
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("writer %d: %v\n%s", w, err, out)
			}
		})
	}
	wg.Wait()
	if err := f.unlock(testPassphrase); err != nil {
		t.Fatal(err)
	}
	var want []string
	for w := range writers {
		for i := 1; i < each; i++ {
			want = append(want, fmt.Sprintf("w%02d-%d", w, i))
		}
	}
	if got := f.names(); !slices.Equal(got, want) {
		t.Errorf("records %q\nwant    %q", got, want)
	}
	// each additions, one rotation and one removal.
	if got := f.Generation() - start; got != writers*(each+2) {
		t.Errorf("%d commits, want %d", got, writers*(each+2))
	}
	for _, name := range want {
		signOnly, _, err := f.content(name)
		if wanted := map[byte]string{'1': "second " + name}[name[4]]; err != nil || signOnly != wanted && signOnly != "sign-only of "+name {
			t.Errorf("%s opened to %q, %v", name, signOnly, err)
		}
	}
	f.integrity()
}

// write is what one of the processes does.
func write(t *testing.T, path, id string) {
	ctx := context.Background()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	f := &fixture{t: t, cfg: Config{Store: store.NewFile(path), Arena: a}}
	if f.Vault, err = Open(ctx, f.cfg); err != nil {
		t.Fatal(err)
	}
	if err := f.unlock(testPassphrase); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		f.add(fmt.Sprintf("w%s-%d", id, i))
	}
	if err := f.Rotate(ctx, "w"+id+"-1", f.bytesOf("second w"+id+"-1"), f.bytesOf("raw")); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(ctx, "w"+id+"-0"); err != nil {
		t.Fatal(err)
	}
	f.integrity()
}

// TestOneVaultManyGoroutines runs everything on one Vault at once, with the race
// detector looking on.
func TestOneVaultManyGoroutines(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.add("fixed")
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 5 {
				n := fmt.Sprintf("g%d-%d", w, i)
				if _, err := f.Add(ctx, f.newRecord(n)); err != nil {
					t.Error(err)
				}
				if _, _, err := f.content("fixed"); err != nil {
					t.Error(err)
				}
				if err := f.Each(func(_ Record, b secret.Bytes) error { b.Destroy(); return nil }); err != nil {
					t.Error(err)
				}
				if err := f.unlock(""); err != nil {
					t.Error(err)
				}
				_, _, _ = f.RollbackProtection(), f.Generation(), f.Slots()
			}
		})
	}
	wg.Wait()
	if got := len(f.names()); got != 41 {
		t.Errorf("%d records, want 41", got)
	}
	f.integrity()
}
