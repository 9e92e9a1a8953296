package vault

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

// TestMemory searches the memory of a process that unlocked the golden vault and
// opened everything in it for each key and secret on the way: passphrase, share, KEK,
// VRK, CK, DEK, contents. While it is unlocked they are nowhere outside locked memory;
// after Lock they are nowhere. A process that keeps one content on the heap is the
// control.
func TestMemory(t *testing.T) {
	needs.Root(t, "reads the memory of another process")
	if !newArena(t).Info().RuntimeSecret {
		needs.Missing(t, "runtimesecret", "GOEXPERIMENT=runtimesecret: freed memory is erased by it alone")
	}
	g, vault := readGolden(t, goldenDir)
	for item, value := range g.Keyring {
		b, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(vault), path.Base(item)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	passphrase := g.Passphrases[string(SlotKeyringPassphrase)]
	needles := memscan.Needles("passphrase", []byte(passphrase))
	for name, value := range workedValues(t)[goldenDir] {
		for _, secret := range []string{"Argon2id", "KEK", "VRK", "seed", "CK of", "DEK of"} {
			if strings.Contains(name, secret) && !strings.Contains(name, "sealed") {
				needles = append(needles, memscan.Needles(name, value)...)
			}
		}
	}
	needles = append(needles, memscan.Needles("pair", goldenBytes("acme-sb1 pair 2", 129))...)
	needles = append(needles, memscan.Needles("midstates", goldenBytes("acme-sb1 midstates 2", 64))...)
	needles = append(needles, memscan.Needles("key", goldenBytes("acme-m2m key", 1217))...)

	unlocked, locked := scanSteps(t, opensRole, vault, passphrase, needles)
	if unlocked.Total.Unlocked != 0 {
		t.Errorf("unlocked: %d hits outside locked memory: %+v", unlocked.Total.Unlocked, unlocked.Hits[:min(8, len(unlocked.Hits))])
	}
	if unlocked.Total.Locked == 0 && unlocked.SkippedLocked() == 0 {
		t.Error("unlocked: nothing in locked memory either: the scan sees nothing")
	}
	if n := locked.Total.Unlocked + locked.Total.Locked; n != 0 {
		t.Errorf("locked: %d hits: %+v", n, locked.Hits[:min(8, len(locked.Hits))])
	}
	if control, _ := scanSteps(t, keepsRole, vault, passphrase, needles); control.Total.Unlocked < 100 {
		t.Errorf("control: %d hits outside locked memory in a process that keeps a secret there", control.Total.Unlocked)
	}
}

// scanSteps runs the test binary in a role and scans it while it has the vault
// unlocked, and after it locked it.
func scanSteps(t *testing.T, role, vault, passphrase string, needles []memscan.Needle) (unlocked, locked memscan.Report) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", role, vault)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Stdin = strings.NewReader(passphrase)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	gate, step, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{gate}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gate.Close()
	defer func() {
		step.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}()
	lines := bufio.NewReader(stdout)
	scan := func(want string) memscan.Report {
		if line, err := lines.ReadString('\n'); line != want+"\n" {
			t.Fatalf("%s said %q, %v", role, line, err)
		}
		r, err := memscan.Scan(cmd.Process.Pid, needles)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	unlocked = scan("unlocked")
	if _, err := step.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	return unlocked, scan("locked")
}

// openGolden is the process that is looked at: the passphrase comes on standard input,
// each byte on descriptor 3 lets it take the next step.
func openGolden(file string, keep bool) error {
	ctx := context.Background()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 128 << 10})
	if err != nil {
		return err
	}
	passphrase, err := a.ReadAll(os.Stdin, 1024)
	if err != nil {
		return err
	}
	v, err := Open(ctx, Config{Store: store.NewFile(file), Arena: a, Keyring: &fileKeyring{a, filepath.Dir(file)}})
	if err != nil {
		return err
	}
	if err := v.Unlock(ctx, passphrase); err != nil {
		return err
	}
	passphrase.Destroy()
	if err := v.Each(func(_ Record, b secret.Bytes) error { b.Destroy(); return nil }); err != nil {
		return err
	}
	raw, err := v.OpenRaw("acme-sb1")
	if err != nil {
		return err
	}
	fresh, err := a.Random(64)
	if err != nil {
		return err
	}
	if _, err := v.Add(ctx, NewRecord{Name: fmt.Sprintf("new-%d", os.Getpid()), Kind: "tba", SignOnly: fresh}); err != nil {
		return err
	}
	var kept []byte
	if keep {
		_ = raw.Use(func(p []byte) error { kept = append(kept, p...); return nil })
	}
	step := os.NewFile(3, "step")
	for _, now := range []string{"unlocked", "locked"} {
		if now == "locked" {
			raw.Destroy()
			v.Lock()
		}
		a.ReleaseMemoryNow()
		fmt.Println(now)
		_, _ = step.Read(make([]byte, 1)) // or its end, when the test is through
	}
	runtime.KeepAlive(kept)
	return nil
}

// fileKeyring gives out files, straight into the arena: the values of a fakeKeyring
// would be found in the memory of the process.
type fileKeyring struct {
	arena *secret.Arena
	dir   string
}

func (k *fileKeyring) Get(_ context.Context, item string) (secret.Bytes, error) {
	f, err := os.Open(filepath.Join(k.dir, path.Base(item)))
	if errors.Is(err, fs.ErrNotExist) {
		return secret.Bytes{}, keyring.ErrNotFound
	}
	if err != nil {
		return secret.Bytes{}, err
	}
	defer f.Close()
	return k.arena.ReadAll(f, 48)
}

func (k *fileKeyring) Set(_ context.Context, item string, v secret.Bytes) error {
	return v.Use(func(p []byte) error { return os.WriteFile(filepath.Join(k.dir, path.Base(item)), p, 0o600) })
}

func (k *fileKeyring) Delete(_ context.Context, item string) error {
	return os.Remove(filepath.Join(k.dir, path.Base(item)))
}
