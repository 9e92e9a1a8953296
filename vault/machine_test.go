package vault

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/nsagent/nsagent/vault/keyring"
)

// mac returns what the machine key of f makes of a fixed message.
func (f *fixture) mac() (mac [32]byte, weak bool, err error) {
	key, weak, err := f.MachineKey(context.Background())
	if err != nil {
		return mac, weak, err
	}
	defer key.Destroy()
	return mac, weak, key.HMACSHA256(&mac, []byte("message"))
}

func (f *fixture) mustMAC() (mac [32]byte, weak bool) {
	f.t.Helper()
	mac, weak, err := f.mac()
	if err != nil {
		f.t.Fatal(err)
	}
	return mac, weak
}

func TestMachineKeyInKeyring(t *testing.T) {
	f := newVaultWith(t, nil, SlotPassphrase)
	locked := f.another()
	first, weak := locked.mustMAC()
	if weak {
		t.Error("a key in the keyring is called weak")
	}
	if again, _ := f.mustMAC(); again != first {
		t.Error("another process has another key")
	}
	if n := len(f.keyring.items[f.item(itemMachine)]); n != machineKeySize {
		t.Errorf("item of %d bytes", n)
	}
	if data, err := os.ReadFile(f.cfg.MachineKeyFile); err != nil || string(data) != inKeyring {
		t.Errorf("the note is %q, %v", data, err)
	}

	// The keyring gone for once: no second key is made.
	for _, failure := range []error{keyring.ErrNoBus, keyring.ErrLocked} {
		f.keyring.fail = map[string]error{"": failure}
		_, _, err := f.mac()
		wantError(t, "keyring out of reach", err, failure)
	}
	f.keyring.fail = nil
	cfg := f.cfg
	cfg.Keyring = nil
	v, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = (&fixture{t: t, cfg: cfg, Vault: v}).mac()
	wantError(t, "no keyring any more", err, ErrMachineKey)

	f.keyring.items[f.item(itemMachine)] = make([]byte, 31)
	_, _, err = f.mac()
	wantError(t, "item of another length", err, ErrMachineKey)
	delete(f.keyring.items, f.item(itemMachine))
	_, _, err = f.mac()
	wantError(t, "item deleted", err, keyring.ErrNotFound)
}

func TestMachineKeyInFile(t *testing.T) {
	f := newVaultWith(t, nil, SlotPassphrase)
	f.keyring.fail = map[string]error{"": keyring.ErrNoBus}
	first, weak := f.mustMAC()
	info, err := os.Stat(f.cfg.MachineKeyFile)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != machineKeySize || !weak {
		t.Errorf("file %v, %v, weak %v", info.Mode(), err, weak)
	}
	f.keyring.fail = nil // a keyring that comes later changes nothing
	if again, weak := f.mustMAC(); again != first || !weak {
		t.Error("the key changed with the coming of a keyring")
	}
	if err := os.Chmod(f.cfg.MachineKeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err = f.mac()
	wantError(t, "file that others can read", err, ErrMachineKey)
	if err := os.Chmod(f.cfg.MachineKeyFile, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.cfg.MachineKeyFile, make([]byte, 33), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err = f.mac()
	wantError(t, "file of another length", err, ErrMachineKey)
}

func TestMachineKeyNowhere(t *testing.T) {
	f := newVaultWith(t, nil, SlotPassphrase)
	cfg := f.cfg
	cfg.Keyring, cfg.MachineKeyFile = nil, ""
	open := func() *fixture {
		v, err := Open(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return &fixture{t: t, cfg: cfg, Vault: v}
	}
	_, _, err := open().mac()
	wantError(t, "neither keyring nor file", err, ErrMachineKey)
	cfg.MachineKeyFile = filepath.Join(t.TempDir(), "missing", "machine.key")
	_, _, err = open().mac()
	wantError(t, "directory that is not there", err, ErrMachineKey)

	// A keyring that is there but locked is no reason to put the key into a file.
	f.keyring.fail = map[string]error{"": keyring.ErrLocked}
	_, _, err = f.mac()
	wantError(t, "keyring locked", err, ErrKeyring)
	if _, err := os.Stat(f.cfg.MachineKeyFile); err == nil {
		t.Error("the key went to a file")
	}
}
