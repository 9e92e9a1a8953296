//go:build !race

// The product is looked at from outside, which has no race detector.

package agent

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/nsagent/nsagent/client"
)

// normalUser is a user who is not root.
func normalUser() int {
	if os.Geteuid() == 0 {
		return nobody
	}
	return os.Geteuid()
}

// TestProcessesAreUnreadable guards M-01 with the product: another process of the
// same user can open nothing of the agent and its supervisor that shows memory,
// environment or descriptors, and cannot trace them.
func TestProcessesAreUnreadable(t *testing.T) {
	d := newDaemon(t, normalUser(), "")
	d.start()
	d.unlock()
	plain := exec.Command("sleep", "60")
	plain.Dir = "/"
	d.become(plain)
	if err := plain.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Process.Kill(); _ = plain.Wait() }()
	eventually(t, inTime, func() string { // until it has become sleep
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", plain.Process.Pid))
		if string(b) != "sleep\n" {
			return string(b)
		}
		return ""
	})
	p := startRole(t, d.uid, roleSpy, strconv.Itoa(plain.Process.Pid), strconv.Itoa(d.pid), strconv.Itoa(d.supervisor.Process.Pid))
	if control := p.line(); !strings.HasPrefix(control, "mem environ maps") {
		if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err != nil || string(scope) == "0\n" {
			t.Errorf("control: of a plain process a spy gets %q", control)
		}
	}
	for _, who := range []string{"agent", "supervisor"} {
		if got := p.line(); got != "" {
			t.Errorf("of the %s a spy gets %q, want nothing", who, got)
		}
	}
}

// TestDumpIsClean guards M-09 with the product: SIGQUIT makes the agent print all its
// goroutines, and there is no secret among them.
func TestDumpIsClean(t *testing.T) {
	d := startDaemon(t, "")
	c := newCanaries(t, testPassphrase)
	admin := d.dialAdmin()
	if _, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
		t.Fatal(err)
	}
	if err := d.addTBA(admin, "acme", c.consumerSecret, c.tokenSecret); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var signed atomic.Int64
	for range 8 {
		own := d.dial()
		group.Go(func() {
			for {
				if _, err := own.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
					return
				}
				signed.Add(1)
			}
		})
	}
	eventually(t, inTime, func() string {
		if signed.Load() < 100 {
			return "few signatures"
		}
		return ""
	})
	if err := syscall.Kill(d.pid, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if err := d.awaitEnd(); err == nil {
		t.Error("the supervisor ends as if all were well")
	}
	group.Wait()
	dump := d.stderr.String()
	if !strings.Contains(dump, "SIGQUIT") || strings.Count(dump, "goroutine ") < 5 {
		t.Errorf("control: the agent printed %.300q", dump)
	}
	c.search(t, "standard error", []byte(dump))
	c.search(t, "standard output", []byte(d.stdout.String()))
}
