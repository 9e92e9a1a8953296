package agent

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/agent/audit"
)

// TestOlderAuditLog guards A-05 for a whole log that is put back as it once was, with its
// checkpoints and its key: by itself it is right, but this machine has signed a later one.
func TestOlderAuditLog(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.stop()
	older := filepath.Join(t.TempDir(), "older")
	f.copyLog(f.paths.AuditDir, older)

	cuts := func() (cuts []audit.Entry) {
		for _, e := range f.entries() {
			if e.Event == audit.EventAuditCut {
				cuts = append(cuts, e)
			}
		}
		return cuts
	}
	quiet := func(when string) {
		t.Helper()
		if n := len(cuts()); n != 0 || strings.Contains(strings.Join(f.warnings(), "\n"), "audit log") {
			t.Errorf("%s: %d entries, warnings %q", when, n, f.warnings())
		}
	}
	for range 2 { // the pin is of the unlock before
		f.run()
		f.unlock()
		quiet("a log that goes on")
		f.sign("acme")
		f.lock()
		f.unlock()
		quiet("unlocked again")
		f.stop()
	}
	newer := filepath.Join(t.TempDir(), "newer")
	f.copyLog(f.paths.AuditDir, newer)

	for what, from := range map[string]string{"put back": older, "moved aside": ""} {
		t.Run(what, func(t *testing.T) {
			if err := os.RemoveAll(f.paths.AuditDir); err != nil {
				t.Fatal(err)
			}
			if from != "" {
				f.copyLog(from, f.paths.AuditDir)
				if r, err := audit.CheckDir(f.paths.AuditDir, audit.Trust{}); err != nil || !r.OK {
					t.Fatalf("the older log by itself: %+v, %v", r, err)
				}
			}
			f.run()
			f.unlock()
			got := cuts()
			if len(got) != 1 || got[0].Outcome != audit.OutcomeFailed || !strings.HasPrefix(got[0].Detail, "pinned=") {
				t.Errorf("entries: got %+v", got)
			}
			if !strings.Contains(strings.Join(f.warnings(), "\n"), "the audit log does not hold entry ") {
				t.Errorf("warnings: got %q", f.warnings())
			}
			f.sign("acme") // nothing is refused
			f.lock()
			f.unlock()
			if n := len(cuts()); n != 1 {
				t.Errorf("unlocked again: %d entries", n)
			}
			f.stop()
			// For the next one, the log as it was, which the pin fits again.
			if err := os.RemoveAll(f.paths.AuditDir); err != nil {
				t.Fatal(err)
			}
			f.copyLog(newer, f.paths.AuditDir)
			f.run()
			f.unlock()
			f.lock()
			f.unlock()
			f.stop()
		})
	}
}

func (f *fixture) stop() {
	f.t.Helper()
	if err := f.admin.Stop(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.waitEnd()
}

func (f *fixture) lock() {
	f.t.Helper()
	if err := f.admin.Lock(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) warnings() []string {
	f.t.Helper()
	s, err := f.signer.Status(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return s.GetWarnings()
}

func (f *fixture) copyLog(from, to string) {
	f.t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		f.t.Fatalf("%v: %s", err, out)
	}
}
