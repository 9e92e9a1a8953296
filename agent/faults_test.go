package agent

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestDisksOfTheAgent guards C-03 and A-02 with the product: the disk of the vault or
// that of the log is full, or read-only from one moment to the next. The old state is
// kept, what cannot be recorded is not done, locking works, and room again is enough
// to go on.
func TestDisksOfTheAgent(t *testing.T) {
	h := newHistory(t)
	mounts := map[string]string{"vault": filepath.Dir(h.d.paths.Vault), "log": h.d.paths.StateDir}
	for _, dir := range mounts {
		onDisk(t, dir)
	}
	h.begin()
	for which, dir := range mounts {
		ballast := filepath.Join(dir, "ballast")
		fill := func() { // to the last byte
			f, err := os.OpenFile(ballast, os.O_WRONLY|os.O_CREATE, 0o600) // #nosec G304 -- of the test
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			for size := 64 << 10; size > 0; {
				if _, err := f.Write(make([]byte, size)); err != nil {
					size /= 2
				}
			}
		}
		for _, c := range []struct {
			name       string
			spoil, fix func()
		}{
			{"full", fill, func() { _ = os.Remove(ballast) }},
			{"read-only", func() { remount(t, dir, syscall.MS_RDONLY) }, func() { remount(t, dir, 0) }},
		} {
			if which == "log" && c.name == "read-only" {
				continue // it is open for writing: the kernel lets it become that between two agents only
			}
			before := len(h.promises().stored)
			c.spoil()
			h.round(which+"-"+strings.ReplaceAll(c.name, "-", ""), false)
			switch { // the last page of the log may have room for some entries
			case which == "vault" && len(h.promises().stored) != before:
				t.Errorf("%s disk of the vault: a profile was acknowledged", c.name)
			case which == "log":
				h.refusedForLackOfALog()
			}
			c.fix()
			h.recovered("a " + c.name + " disk of the " + which)
		}
	}
	h.check()
}

// onDisk moves what is in dir to a file system of its own, of 8 MiB.
func onDisk(t *testing.T, dir string) {
	t.Helper()
	moved := dir + ".moved"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		needs.Root(t, "mounts a file system: "+err.Error())
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := os.CopyFS(dir, os.DirFS(moved)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chmod", "-R", "go=", dir).CombinedOutput(); err != nil { // #nosec G204 -- of the test
		t.Fatalf("%v: %s", err, out)
	}
}

// remount makes the disk read-only, or lets it be written again.
func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, ""); err != nil {
		t.Fatal(err)
	}
}

// TestStartOnReadOnlyLog guards A-02 from the first moment: an agent whose log is on a
// read-only disk does not start, says why and makes no socket, so that nothing is unlocked
// or signed; what is in the log can be read all the same. Once the disk can be written it
// starts, and the chain goes on.
func TestStartOnReadOnlyLog(t *testing.T) {
	needs.Root(t, "mounts")
	d := newDaemon(t, os.Geteuid(), "")
	onDisk(t, d.paths.StateDir)
	remount(t, d.paths.StateDir, syscall.MS_RDONLY)
	out, err := d.command("agent", "run").CombinedOutput()
	if code := new(exec.ExitError); !errors.As(err, &code) || code.ExitCode() != 1 {
		t.Errorf("agent run: got %v, want exit code 1", err)
	}
	for _, want := range []string{"the audit log cannot be opened", "read-only file system", "make it writable", "[NSA-AUDIT]"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("agent run does not say %q: %s", want, out)
		}
	}
	if _, err := os.Lstat(d.paths.Agent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a socket: %v", err)
	}
	d.must("audit", "verify")
	remount(t, d.paths.StateDir, 0)
	d.start()
	d.unlock()
	d.addByFile("acme", sample(2), sample(4))
	d.must("sign", "-p", "acme", sandboxURL)
	d.stop()
	d.must("audit", "verify")
}

// refusedForLackOfALog unlocks and signs until that is refused, as it has to be once
// the log takes no more.
func (h *history) refusedForLackOfALog() {
	t := h.d.t
	t.Helper()
	signer, admin := h.d.dial(), h.d.dialAdmin()
	for range 100 {
		_, err := admin.Unlock(t.Context(), sealWith(h.d.arena, testPassphrase), 0)
		if err == nil {
			if _, err = signer.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); err == nil {
				h.note(func(p *promised) { p.signed++ })
				continue
			}
		}
		if code := errorCode(err); code != string(pb.CodeAudit) {
			t.Errorf("without room in the log: got %v, want %s", err, pb.CodeAudit)
		}
		return
	}
	t.Error("100 signatures, and no room in the log")
}
