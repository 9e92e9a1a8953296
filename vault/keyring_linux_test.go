package vault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/nsagent/nsagent/internal/keyringtest"
	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

// The test binary plays other programs. Its first argument says which.
const (
	helperRole = "vault-test-keyring-helper"
	opensRole  = "vault-test-opens"
	keepsRole  = "vault-test-keeps"

	opensGrantRole = "vault-test-opens-grant"
	keepsGrantRole = "vault-test-keeps-grant"
)

func TestMain(m *testing.M) {
	roles := map[string]func(args []string) error{
		helperRole: serveKeyring,
		opensRole:  func(args []string) error { return openGolden(args[0], false) },
		keepsRole:  func(args []string) error { return openGolden(args[0], true) },

		opensGrantRole: func(args []string) error { return openGoldenGrant(args[0], false) },
		keepsGrantRole: func(args []string) error { return openGoldenGrant(args[0], true) },
	}
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serveKeyring([]string) error {
	conn, err := net.FileConn(os.NewFile(3, "door"))
	if err != nil {
		return err
	}
	return keyring.Serve(conn.(*net.UnixConn))
}

// launch starts the test binary as a keyring helper of the session.
func launch(s *keyringtest.Session) keyring.Launch {
	return func(context.Context) (*net.UnixConn, error) {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
		defer ours.Close()
		defer theirs.Close()
		cmd := exec.Command("/proc/self/exe", helperRole)
		cmd.Env = append(s.Env(), "GORACE=atexit_sleep_ms=0")
		cmd.ExtraFiles = []*os.File{theirs}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		go func() { _ = cmd.Wait() }()
		conn, err := net.FileConn(ours)
		if err != nil {
			return nil, err
		}
		return conn.(*net.UnixConn), nil
	}
}

// TestRealKeyring goes once through everything that the vault does with a keyring, on
// a real one: share, pin, machine key, rollback, and a keyring that is locked.
func TestRealKeyring(t *testing.T) {
	ctx := t.Context()
	session := keyringtest.Start(t, keyringtest.Unlocked)
	path := filepath.Join(t.TempDir(), "vault.nsv")
	a := newArena(t)
	f := &fixture{t: t}
	f.cfg = Config{Store: store.NewFile(path), Arena: a, Keyring: keyring.New(a, launch(session)), MachineKeyFile: filepath.Join(filepath.Dir(path), "machine.key")}
	v, err := Create(ctx, f.cfg, f.slot(SlotKeyringPassphrase))
	if err != nil {
		t.Fatal(err)
	}
	f.Vault = v
	f.add("a")
	first, weak := f.mustMAC()
	if weak || f.RollbackProtection() != protectionKeyring {
		t.Errorf("machine key weak: %v, rollback protection %q", weak, f.RollbackProtection())
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f.add("b")

	g := f.another()
	wantError(t, "wrong passphrase", g.unlock("wrong"), ErrPassphrase)
	wantError(t, "share alone", g.unlock(""), ErrNeedPassphrase)
	if err := g.unlock(testPassphrase); err != nil {
		t.Fatal(err)
	}
	if got := g.names(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("records %q", got)
	}
	if again, _ := g.mustMAC(); again != first {
		t.Error("another process has another machine key")
	}
	g.integrity()

	newest, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, "older vault", f.another().unlock(testPassphrase), ErrRollback)
	if err := os.WriteFile(path, newest, 0o600); err != nil {
		t.Fatal(err)
	}

	if err := session.Lock(); err != nil {
		t.Fatal(err)
	}
	err = f.another().unlock(testPassphrase)
	wantError(t, "keyring locked", err, ErrKeyring)
	if errors.Is(err, ErrPassphrase) {
		t.Errorf("a locked keyring is called a wrong passphrase: %v", err)
	}
	// An unlocked vault goes on, and says that its pin is behind.
	g.add("c")
	if got := g.RollbackProtection(); got == protectionKeyring {
		t.Errorf("rollback protection %q with the keyring locked", got)
	}
	g.integrity()
}

// TestRealKeyringLost loses items of a real keyring, one after the other: the share,
// which Recover makes again while the pin still holds, and then the machine key.
func TestRealKeyringLost(t *testing.T) {
	ctx := t.Context()
	session := keyringtest.Start(t, keyringtest.Unlocked)
	path := filepath.Join(t.TempDir(), "vault.nsv")
	f := &fixture{t: t}
	f.cfg = Config{Store: store.NewFile(path), Arena: newArena(t), MachineKeyFile: filepath.Join(filepath.Dir(path), "machine.key")}
	door := keyring.New(f.cfg.Arena, launch(session))
	f.cfg.Keyring = door
	v, err := Create(ctx, f.cfg, f.slot(SlotKeyringPassphrase), f.slot(SlotRecovery))
	if err != nil {
		t.Fatal(err)
	}
	f.Vault = v
	f.add("a")
	first, _ := f.mustMAC()
	older, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if err := door.Delete(ctx, f.item(itemShare)); err != nil {
		t.Fatal(err)
	}
	g := f.another()
	wantError(t, "without the share", g.unlock(testPassphrase), keyring.ErrNotFound)
	if err := g.UnlockBy(ctx, f.proof(SlotRecovery)); err != nil {
		t.Fatal(err)
	}
	if err := g.Recover(ctx, Slot{Kind: SlotKeyringPassphrase, KDF: KDFLow, Passphrase: f.bytesOf("new")}); err != nil {
		t.Fatal(err)
	}
	if err := g.another().unlock("new"); err != nil {
		t.Errorf("by the new share and passphrase: %v", err)
	}
	if again, _ := g.mustMAC(); again != first {
		t.Error("the machine key went with the share")
	}
	if err := os.WriteFile(path+".older", older, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := g.cfg
	cfg.Store = store.NewFile(path + ".older")
	h, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "the copy from before, by its code", h.UnlockBy(ctx, f.proof(SlotRecovery)), ErrRollback)

	if err := door.Delete(ctx, f.item(itemMachine)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.MachineKey(ctx); !errors.Is(err, ErrKeyring) {
		t.Errorf("a lost machine key: got %v, want ErrKeyring", err)
	}
	key, weak, err := g.NewMachineKey(ctx, true)
	if err != nil || weak {
		t.Fatalf("a new machine key: weak %v, %v", weak, err)
	}
	key.Destroy()
	if again, weak := g.mustMAC(); weak || again == first {
		t.Errorf("the new machine key is weak: %v, or the old one: %v", weak, again == first)
	}
	g.integrity()
}
