//go:build !race

// These tests look at the product from outside, or at its memory, which has no race
// detector: one run of them is enough.

package agent

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// limited runs a command of the product with a limit of lockable memory. It has to
// end in good time and by itself, well or with code 1.
func (d *daemon) limited(limit int, args ...string) (said string, ok bool) {
	d.t.Helper()
	c := exec.Command("/proc/self/exe", append([]string{roleLimited, strconv.Itoa(limit), productPath(d.t)}, args...)...) // #nosec G204 -- the program under test
	c.Dir, c.Env = d.home, d.env
	d.become(c)
	var stderr output
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		d.t.Fatal(err)
	}
	hang := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	err := c.Wait()
	said = stderr.String()
	if !hang.Stop() {
		d.t.Fatalf("nsagent %s hangs with %d bytes", args[0], limit)
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() != 1 || strings.Contains(said, "goroutine ") {
		d.t.Errorf("nsagent %s with %d bytes: %v, %q", args[0], limit, err, said)
	}
	return said, err == nil
}

// signMany signs n times at once, as the user of the daemon, and counts the outcomes.
func (d *daemon) signMany(n int) map[string]int {
	d.t.Helper()
	d.t.Setenv("NSAGENT_PROFILE", "p0")
	count := make(map[string]int)
	for line := range strings.Lines(startRole(d.t, d.uid, roleSignMany, d.paths.Agent, strconv.Itoa(n), sandboxURL).rest()) {
		code, times, _ := strings.Cut(strings.TrimSpace(line), " ")
		k, err := strconv.Atoi(times)
		if err != nil {
			d.t.Fatalf("the signer says %q", line)
		}
		count[code] += k
	}
	return count
}

// TestLockableMemory guards M-05 with the product, as a normal user, in both kinds of
// locked memory: with 64 KiB and more everything works, 200 signatures at once
// included; with less each step is refused with NSA-MEMORY and what to do. It never
// hangs and never panics.
func TestLockableMemory(t *testing.T) {
	for _, mode := range []string{"memfd_secret", "mlock"} {
		for _, c := range []struct {
			limit int
			works bool
		}{{0, false}, {4 << 10, false}, {8 << 10, false}, {12 << 10, false}, {64 << 10, true}, {8 << 20, true}} {
			t.Run(fmt.Sprintf("%s %d KiB", mode, c.limit>>10), func(t *testing.T) {
				d := newDaemon(t, normalUser(), fmt.Sprintf("memory = %q\n", mode))
				if !c.works {
					d.refusedForMemory(c.limit)
				}
				if err := os.RemoveAll(filepath.Dir(d.paths.Vault)); err != nil {
					t.Fatal(err)
				}
				said, ok := d.limited(c.limit, "init", "--unlock", "passphrase", "--kdf", "low", "--passphrase-file", d.file("passphrase"))
				if ok != c.works || !ok && !strings.Contains(said, string(pb.CodeMemory)) {
					t.Fatalf("init: got %t, %q", ok, said)
				}
				if ok {
					d.worksWith(c.limit, mode)
				} else if _, err := os.Lstat(d.paths.Vault); err == nil {
					t.Error("init failed and left a vault")
				}
			})
		}
	}
}

// refusedForMemory tries what needs locked memory where there is too little.
func (d *daemon) refusedForMemory(limit int) {
	d.t.Helper()
	for _, args := range [][]string{{"agent", "run"}, {"unlock", "--passphrase-file", d.file("passphrase")}} {
		if said, ok := d.limited(limit, args...); ok || !strings.Contains(said, string(pb.CodeMemory)) || !strings.Contains(said, "ulimit -l") {
			d.t.Errorf("%v: got %t, %q, want %s", args, ok, said, pb.CodeMemory)
		}
	}
	if files, err := filepath.Glob(filepath.Join(filepath.Dir(d.paths.Agent), "*.sock")); err != nil || len(files) != 0 {
		d.t.Errorf("sockets of agents that did not start: %v, %v", files, err)
	}
}

// worksWith takes an agent through everything with a limit that is enough.
func (d *daemon) worksWith(limit int, mode string) {
	d.t.Helper()
	d.wrap = []string{"/proc/self/exe", roleLimited, strconv.Itoa(limit)}
	d.start()
	d.unlock()
	for i := range 20 {
		d.addByFile(fmt.Sprintf("p%d", i), sample(2), sample(4))
	}
	d.must("profile", "rm", "p1")
	count := d.signMany(200)
	if count["ok"]+count[string(pb.CodeMemory)] != 200 || count["ok"] == 0 {
		d.t.Errorf("200 signatures at once: got %v, want ok or %s", count, pb.CodeMemory)
	}
	if s := d.must("status"); !strings.Contains(s, "unlocked, 19 profiles") || !strings.Contains(s, mode) {
		d.t.Errorf("status: got %s", s)
	}
	d.must("lock")
	if s := d.must("status"); !strings.Contains(s, "vault       locked") {
		d.t.Errorf("status after lock: got %s", s)
	}
	d.stop()
}
