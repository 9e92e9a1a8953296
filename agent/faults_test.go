package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// tracer is strace on the agent process while it runs.
type tracer struct {
	t   *testing.T
	cmd *exec.Cmd
	log string
}

// attach traces the agent with these options of strace until detach.
func (d *daemon) attach(options ...string) *tracer {
	d.t.Helper()
	tr := &tracer{t: d.t, log: filepath.Join(d.t.TempDir(), "trace")}
	tr.cmd = exec.Command("strace", append(append([]string{"-f", "-y", "-o", tr.log}, options...), "-p", strconv.Itoa(d.pid))...) // #nosec G204 -- a test
	var said output
	tr.cmd.Stderr = &said
	if err := tr.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = tr.cmd.Process.Kill() })
	eventually(d.t, 20*time.Second, func() string {
		if !strings.Contains(said.String(), " attached") {
			return "strace says " + said.String()
		}
		return ""
	})
	return tr
}

// detach lets the agent go on alone and returns the trace.
func (tr *tracer) detach() string {
	tr.t.Helper()
	_ = tr.cmd.Process.Signal(syscall.SIGINT)
	_ = tr.cmd.Wait()
	b, err := os.ReadFile(tr.log)
	if err != nil {
		tr.t.Fatal(err)
	}
	return string(b)
}

// history is what an agent has acknowledged through its faults.
type history struct {
	d      *daemon
	signed int
	stored map[string]bool // acknowledged
}

// clear fails unless err is nil or an error that somebody can act on.
func (h *history) clear(what string, err error) bool {
	h.d.t.Helper()
	e := (*client.Error)(nil)
	switch {
	case err == nil:
		return true
	case !errors.As(err, &e) || e.Message == "":
		h.d.t.Errorf("%s: got %v, want a code and words", what, err)
	case errors.Is(err, context.DeadlineExceeded):
		h.d.t.Errorf("%s: it hangs: %v", what, err)
	}
	return false
}

// round adds a profile, signs, locks and unlocks, whatever fails. Locking has to
// work.
func (h *history) round(name string) {
	t := h.d.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	signer, err := client.Dial(ctx, client.WithSocket(h.d.paths.Agent))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer func() { _ = signer.Close() }()
	admin, err := client.DialAdmin(ctx, client.WithSocket(h.d.paths.Admin))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer func() { _ = admin.Close() }()

	_, err = admin.AddProfile(ctx, tba(name), map[string]client.Sealer{"consumer_secret": sealWith(h.d.arena, sample(2)), "token_secret": sealWith(h.d.arena, sample(4))})
	if h.clear("adding", err) {
		h.stored[name] = true
	}
	for range 3 {
		if _, err := signer.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL}); h.clear("signing", err) {
			h.signed++
		}
	}
	h.clear("locking", admin.Lock(ctx))
	if _, err := signer.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL}); err == nil || errorCode(err) != string(pb.CodeLocked) && errorCode(err) != string(pb.CodeAudit) {
		t.Errorf("signing after lock: got %v, want it locked", err)
	}
	_, err = admin.Unlock(ctx, sealWith(h.d.arena, testPassphrase), 0)
	h.clear("unlocking", err)
}

// recovered waits until the agent, whose faults are over, does everything again, and
// checks that what it acknowledged is there.
func (h *history) recovered(after string) {
	t := h.d.t
	t.Helper()
	eventually(t, 60*time.Second, func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		admin, err := client.DialAdmin(ctx, client.WithSocket(h.d.paths.Admin))
		if err != nil {
			return err.Error()
		}
		defer func() { _ = admin.Close() }()
		if _, err := admin.Unlock(ctx, sealWith(h.d.arena, testPassphrase), 0); err != nil {
			return err.Error()
		}
		signer, err := client.Dial(ctx, client.WithSocket(h.d.paths.Agent))
		if err != nil {
			return err.Error()
		}
		defer func() { _ = signer.Close() }()
		if _, err := signer.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL}); err != nil {
			return err.Error()
		}
		h.signed++
		list, err := signer.Profiles(ctx)
		if err != nil {
			return err.Error()
		}
		there := make(map[string]bool)
		for _, p := range list.GetProfiles() {
			there[p.GetName()] = true
		}
		for name := range h.stored {
			if !there[name] {
				t.Fatalf("after %s: profile %s was acknowledged and is gone", after, name)
			}
		}
		return ""
	})
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
				h.signed++
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

// check stops the agent and holds the log against what clients have.
func (h *history) check() {
	t := h.d.t
	t.Helper()
	h.d.stop()
	if r, err := audit.CheckDir(h.d.paths.AuditDir, audit.Trust{}); err != nil || !r.OK {
		t.Errorf("CheckDir: got %+v, %v", r, err)
	}
	signed, stored := 0, 0
	for _, e := range readLog(t, h.d.paths.AuditDir) {
		switch {
		case e.Outcome != audit.OutcomeOK:
		case e.Event == audit.EventSign:
			signed++
		case e.Event == audit.EventProfileAdd:
			stored++
		}
	}
	if signed < h.signed || stored < len(h.stored) {
		t.Errorf("clients hold %d signatures and %d profiles, the log has %d and %d", h.signed, len(h.stored), signed, stored)
	}
	h.d.start() // from the files alone
	h.recovered("a restart")
}

// faultyDaemon is an unlocked agent with one profile, ready for what comes.
func faultyDaemon(t *testing.T) *history {
	t.Helper()
	needsRoot(t, "traces, or mounts for, a process that is not dumpable")
	return &history{d: newDaemon(t, os.Geteuid(), ""), stored: map[string]bool{"acme": true}}
}

func (h *history) begin() {
	h.d.t.Helper()
	h.d.start()
	h.d.unlock()
	h.d.addByFile("acme", sample(2), sample(4))
}

// TestSystemCallsOfTheAgentFail guards C-02 and A-02 with the product: each kind of
// call with which the running agent writes fails once in each thread, at its first,
// second or third time, while a profile is added, signatures are made, and the vault
// is locked and unlocked. What was acknowledged is kept, what was signed is on
// record, locking works, no call hangs, and the same process goes on afterwards.
func TestSystemCallsOfTheAgentFail(t *testing.T) {
	needs(t, "strace")
	h := faultyDaemon(t)
	h.begin()
	pid := h.d.pid
	calls := []struct {
		name   string
		short  bool // part of the short form, with the first fault
		faults string
		more   []string // further options
	}{
		{"openat", true, "EMFILE EIO ENOSPC EINTR", nil},
		{"write", true, "ENOSPC EIO EINTR", []string{"-P", filepath.Join(h.d.paths.AuditDir, "audit.jsonl")}},
		{"fsync", true, "EIO ENOSPC EINTR", nil},
		{"linkat", true, "ENOSPC EMLINK EIO", nil},
		{"renameat", true, "ENOSPC EIO", nil},
		{"unlinkat", false, "EIO", nil},
		{"fstat", false, "EIO", nil},
		{"newfstatat", false, "EIO", nil},
		{"flock", false, "EINTR EIO", nil},
		{"lseek", false, "EIO", nil},
		{"ftruncate", false, "EIO", nil},
		{"pwrite64", false, "EIO ENOSPC", nil},
		{"getdents64", false, "EIO", nil},
	}
	hits := make(map[string]int)
	point := 0
	for _, c := range calls {
		for i, fault := range strings.Fields(c.faults) {
			for when := 1; when <= 3; when++ {
				short := i == 0 && when == 1 && c.short || c.name == "fsync" && i == 0 && when == 2
				if !short && !long() {
					continue
				}
				name := fmt.Sprintf("%s:error=%s:when=%d", c.name, fault, when)
				tr := h.d.attach(append([]string{"-e", "trace=" + c.name, "-e", "inject=" + name}, c.more...)...)
				h.round(fmt.Sprintf("p%d", point))
				point++
				hits[c.name] += strings.Count(tr.detach(), "(INJECTED)")
				h.recovered(name)
			}
		}
	}
	t.Logf("%d points; calls that failed: %v", point, hits)
	for _, name := range []string{"openat", "write", "fsync", "linkat"} {
		if hits[name] == 0 {
			t.Errorf("control: no %s was made to fail", name)
		}
	}
	if now, err := h.d.ask(); err != nil || now != pid {
		t.Errorf("the agent is process %d, %v; it was %d", now, err, pid)
	}
	h.check()
}

// TestDisksOfTheAgent guards C-03 and A-02 with the product: the disk of the vault or
// that of the log is full, or read-only from one moment to the next. The old state is
// kept, what cannot be recorded is not done, locking works, and room again is enough
// to go on.
func TestDisksOfTheAgent(t *testing.T) {
	h := faultyDaemon(t)
	mounts := map[string]string{"vault": filepath.Dir(h.d.paths.Vault), "log": h.d.paths.StateDir}
	for _, dir := range mounts {
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
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512k,mode=0700"); err != nil {
			t.Skip("needs root: may not mount: " + err.Error())
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		if err := os.CopyFS(dir, os.DirFS(moved)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("chmod", "-R", "go=", dir).CombinedOutput(); err != nil { // #nosec G204 -- of the test
			t.Fatalf("%v: %s", err, out)
		}
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
			{"read-only", func() {
				if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
					t.Fatal(err)
				}
			}, func() { _ = syscall.Mount("", dir, "", syscall.MS_REMOUNT, "") }},
		} {
			if which == "log" && c.name == "read-only" {
				continue // it is open for writing, and so cannot become read-only
			}
			before := len(h.stored)
			c.spoil()
			h.round(which + "-" + strings.ReplaceAll(c.name, "-", ""))
			switch { // the last page of the log may have room for some entries
			case which == "vault" && len(h.stored) != before:
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
