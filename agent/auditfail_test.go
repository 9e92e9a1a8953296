//go:build !race

// These tests look at the product from outside, or at its memory, which has no race
// detector: one run of them is enough.

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// limitFiles sets how long a file may get that the agent writes, with 0 for no
// limit: writes beyond it fail, as on a full disk.
func (d *daemon) limitFiles(n uint64) {
	d.t.Helper()
	var before unix.Rlimit
	if err := unix.Prlimit(d.pid, unix.RLIMIT_FSIZE, nil, &before); err != nil {
		d.t.Fatal(err)
	}
	if n == 0 {
		n = before.Max
	}
	if err := unix.Prlimit(d.pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: before.Max}, nil); err != nil {
		d.t.Fatal(err)
	}
}

// TestNoLogNoSignature guards A-02 and P7 with the product: once the log cannot be
// written, nothing is signed, stored or unlocked, and it is said why; locking goes
// on. Once it can be written again the agent goes on, and the chain holds.
func TestNoLogNoSignature(t *testing.T) {
	d := startDaemon(t, "")
	admin, c := d.dialAdmin(), d.dial()
	unlock := func() error {
		_, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0)
		return err
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := d.addTBA(admin, "acme", sample(2), sample(4)); err != nil {
		t.Fatal(err)
	}
	stream, err := c.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(d.paths.AuditDir, "audit*.jsonl"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs: got %v, %v", logs, err)
	}
	fi, err := os.Stat(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	before := len(readLog(t, d.paths.AuditDir))
	d.limitFiles(uint64(fi.Size()) + 10) // #nosec G115 -- a size; half a line still fits

	refused := func(name string, err error) {
		t.Helper()
		if errorCode(err) != string(pb.CodeAudit) {
			t.Errorf("%s without a log: got %v, want %s", name, err, pb.CodeAudit)
		}
	}
	for range 3 {
		r, err := c.Sign(t.Context(), client.Request{URL: sandboxURL})
		refused("Sign", err)
		if r.GetAuthorization() != "" {
			t.Error("signed without a log")
		}
	}
	_, err = stream.Sign(t.Context(), client.Request{URL: sandboxURL})
	refused("Sign in bulk", err)
	_, err = c.Sign(t.Context(), client.Request{URL: "https://evil.example/"}) // a denial is an entry too
	refused("a refused Sign", err)
	_, err = c.Passport(t.Context(), "", "")
	refused("Passport", err)
	_, err = c.ConnectPassword(t.Context(), "")
	refused("ConnectPassword", err)
	refused("AddProfile", d.addTBA(admin, "other", sample(2), sample(4)))
	refused("RemoveProfile", admin.RemoveProfile(t.Context(), "acme"))
	if _, code := (overJSON{overUnix(d.paths.Agent)}).ask(t.Context(), "sign", map[string]any{"url": sandboxURL}); code != string(pb.CodeAudit) {
		t.Errorf("JSON without a log: got %s", code)
	}
	if s, err := c.Status(t.Context()); err != nil || s.GetAudit().GetOk() || len(s.GetWarnings()) == 0 || s.GetLocked() {
		t.Errorf("Status: got %v, %v, want it to say so", s, err)
	}
	refused("Unlock while unlocked", unlock())
	if err := admin.Lock(t.Context()); err != nil {
		t.Errorf("Lock without a log: %v", err)
	}
	if s, err := c.Status(t.Context()); err != nil || !s.GetLocked() {
		t.Errorf("after Lock: got %v, %v", s, err)
	}
	refused("Unlock", unlock())
	if s, err := c.Status(t.Context()); err != nil || !s.GetLocked() {
		t.Errorf("after an unlock that was refused: got %v, %v", s, err)
	}
	if n := len(readLog(t, d.paths.AuditDir)); n != before {
		t.Errorf("entries: got %d, want the %d from before", n, before)
	}

	d.limitFiles(0)
	eventually(t, 10*time.Second, func() string { // the agent tries now and then
		if err := unlock(); err != nil {
			return fmt.Sprintf("Unlock: %v", err)
		}
		return ""
	})
	if _, err := c.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
		t.Errorf("Sign afterwards: %v", err)
	}
	if l, err := c.Profiles(t.Context()); err != nil || len(l.GetProfiles()) != 1 || l.GetProfiles()[0].GetName() != "acme" {
		t.Errorf("Profiles afterwards: got %v, %v", l, err)
	}
	_ = stream.Close()
	d.stop()
	if r, err := audit.CheckDir(d.paths.AuditDir, audit.Trust{}); err != nil || !r.OK {
		t.Errorf("CheckDir: got %+v, %v", r, err)
	}
}
