package audit

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// A full disk, for real: a tmpfs of 64 KiB.
func TestFullDisk(t *testing.T) {
	needs.Root(t, "mounts a small tmpfs")
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		needs.Missing(t, "root", "to mount a small tmpfs: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(mount, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 30_000), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(mount, "audit")
	l := mustOpen(t, dir)
	acknowledged, err := fill(l)
	if acknowledged == 0 || acknowledged == 100_000 {
		t.Fatalf("%d entries, then %v", acknowledged, err)
	}
	t.Logf("%d entries, then %v", acknowledged, err)
	if err := stayFailed(l); err != nil {
		t.Fatal(err)
	}
	wantGood(t, dir, uint64(acknowledged))
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, 10)
	mustClose(t, l)
	wantGood(t, dir, uint64(acknowledged+11))
}
