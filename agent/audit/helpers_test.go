package audit

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestMain also runs the children of the crash and limit tests: this binary again, with
// a task in its environment.
func TestMain(m *testing.M) {
	if task := os.Getenv("NSAGENT_AUDIT_CHILD"); task != "" {
		os.Exit(runChild(task, os.Getenv("NSAGENT_AUDIT_DIR")))
	}
	os.Exit(m.Run())
}

// use is an event as the agent makes it for a signature.
func use(n int) Event {
	return Event{
		Time:  time.Date(2026, 11, 22, 20, 10, 42, 123456789, time.UTC).Add(time.Duration(n) * time.Second),
		Event: EventSign, Outcome: OutcomeOK, Profile: "acme-sb1", Account: "1234567_SB1", Kind: "tba",
		Method: "GET", Host: "1234567-sb1.suitetalk.api.netsuite.com",
		Path: fmt.Sprintf("/services/rest/record/v1/customer/%d", n),
		UID:  1000, PID: 4242, Exe: "/usr/bin/python3.13",
	}
}

func newDir(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "audit")
}

func mustOpen(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustAppend(t testing.TB, l *Log, n int) {
	t.Helper()
	for i := range n {
		if _, err := l.Append(use(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// sample returns the bytes of a closed log with n entries.
func sample(t testing.TB, n int) []byte {
	t.Helper()
	dir := newDir(t)
	l := mustOpen(t, dir)
	mustAppend(t, l, n)
	mustClose(t, l)
	return contents(t, dir)
}

func contents(t testing.TB, dir string) []byte {
	t.Helper()
	p, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// place makes a log directory that holds log.
func place(t testing.TB, log []byte) string {
	t.Helper()
	dir := newDir(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), log, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func splitLines(log []byte) [][]byte {
	lines := bytes.SplitAfter(log, []byte("\n"))
	return lines[:len(lines)-1]
}

// verifyLines checks lines as CheckDir does where there is no checkpoint.
func verifyLines(r io.Reader) (Result, error) {
	report, err := check(merge(newLineReader(r), nothing), Trust{}, true)
	return report.Result, err
}

func verifyBytes(t testing.TB, log []byte) Result {
	t.Helper()
	res, err := verifyLines(bytes.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// wantGood fails the test unless the log of dir verifies with n entries.
func wantGood(t testing.TB, dir string, n uint64) []Entry {
	t.Helper()
	res, err := CheckDir(dir, Trust{})
	if err != nil {
		t.Fatal(err)
	}
	if !res.OK || res.Entries != n {
		t.Fatalf("verify: got %+v, want %d good entries", res, n)
	}
	return entries(t, bytes.NewReader(contents(t, dir)))
}

func entries(t testing.TB, r io.Reader) []Entry {
	t.Helper()
	var all []Entry
	for e, err := range Query(r, Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}
