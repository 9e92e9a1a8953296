//go:build !race

// These tests look at the product from outside, which has no race detector: one run
// of them is enough.

package agent

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/needs"
)

// fillLog brings the log of a daemon that does not run to within some entries of the size
// at which its file is closed and a new one begun.
func fillLog(t *testing.T) func(*daemon) {
	return func(d *daemon) {
		t.Helper()
		const segment, room = 64 << 20, 1300
		l, err := audit.Open(d.paths.AuditDir, audit.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		short := audit.Event{Event: audit.EventSign, Outcome: audit.OutcomeOK, Profile: "acme"}
		long := short
		long.Path, long.Exe = "/"+strings.Repeat("p", 250), "/"+strings.Repeat("e", 250)
		for {
			info, err := os.Stat(filepath.Join(d.paths.AuditDir, "audit.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			e, n := long, 1000
			switch left := segment - info.Size(); {
			case left < room:
				return
			case left < 2<<20:
				e, n = short, 1
			}
			for range n {
				if _, err := l.Append(e); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// rollPath are the calls by which a file of the log is closed and a new one begun, in
// order, with how often each comes.
func rollPath() []plan {
	const log = ".local/state/nsagent/audit"
	return []plan{
		{at: "openat " + log + "/audit.jsonl.next +", nth: 1},
		{at: "flock " + log + "/audit.jsonl.next", nth: 1},
		{at: "fsync " + log + "/audit.jsonl.next", nth: 1},
		{at: "linkat " + log + "/audit.jsonl -> " + log + "/audit.jsonl", nth: 1},
		{at: "fsync " + log, nth: 1},
		{at: "renameat " + log + "/audit.jsonl.next -> " + log + "/audit.jsonl", nth: 1},
		{at: "fsync " + log, nth: 2},
	}
}

// TestCallsOfARollFail guards C-02, C-01 and A-08 with the product where a file of the
// log is full: each system call that closes it and begins the next fails, or is the last
// before a kill. The short form kills before the rename.
func TestCallsOfARollFail(t *testing.T) {
	s, whole := newSweep(t, fillLog(t))
	for i, p := range rollPath() {
		if whole.calls[p.at] < p.nth {
			t.Errorf("control: %d of %s in a round; there are\n%v", whole.calls[p.at], p.at, whole.sites())
		}
		for j, errno := range []syscall.Errno{0, syscall.EIO, syscall.ENOSPC, syscall.EINTR, syscall.EMFILE} {
			if !needs.Long() && (i != 5 || j > 0) {
				continue
			}
			p.errno = errno
			s.rewind()
			s.try(p)
			s.wantHits([]site{p.at}, errno)
		}
	}
	s.check()
	t.Logf("%d rounds", s.points)
}
