package command

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/nsagent/nsagent/agent/audit"
)

// TestStartOfAGrant asks for the uses of a grant by the start of its ID. It guards against
// uses of two grants that are shown as if they were those of one.
func TestStartOfAGrant(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, ".local/state/nsagent/audit")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(dir, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, grant := range []string{"g_mfzwizlt", "", "g_mfzwaaaa", "g_mfzwizlt"} {
		if _, err := l.Append(audit.Event{Event: audit.EventSign, Outcome: audit.OutcomeOK, Grant: grant}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for start, want := range map[string]struct{ entries, code int }{
		"g_mfzwi": {2, 0}, "G_MFZWIZLT": {2, 0}, "g_mfzwb": {0, 0}, "g_mfzw": {1, 2}, "g_mfz": {0, 2},
	} {
		var out bytes.Buffer
		e := testEnv(&out)
		e.output, e.quiet = "jsonl", true
		e.getenv = func(name string) string { return map[string]string{"HOME": home}[name] }
		err := runAuditQuery(e, queryOptions{filterFlags: filterFlags{Filter: audit.Filter{Grant: start}, uid: -1, pid: -1}})
		if code, _ := refusedAs(err); code != want.code || bytes.Count(out.Bytes(), []byte("\n")) != want.entries {
			t.Errorf("%s: got exit %d and %q, want %d and %d entries", start, code, out.String(), want.code, want.entries)
		}
	}
}
