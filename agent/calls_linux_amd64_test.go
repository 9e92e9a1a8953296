//go:build !race

// These tests look at the product from outside, which has no race detector: one run
// of them is enough.

package agent

import (
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nsagent/nsagent/internal/calltrap"
	"github.com/nsagent/nsagent/internal/needs"
)

// site is a place of the write path: a system call and the file that it is about, without
// what differs from one time to the next.
type site string

var passing = regexp.MustCompile(`\.tmp-[0-9a-f]{16}|[0-9a-f]{64}|audit-\d{16}`)

func (h *history) site(c *calltrap.Call) site {
	short := func(path string) string {
		path, _ = filepath.Rel(h.d.home, path)
		return passing.ReplaceAllStringFunc(path, func(s string) string {
			if kind, _, named := strings.Cut(s, "-"); named {
				return kind
			}
			return "BLOB"
		})
	}
	s := c.Name + " " + short(c.Path)
	if c.To != "" {
		s += " -> " + short(c.To)
	}
	if c.Creates() {
		s += " +"
	}
	return site(s)
}

// writePath are the calls that make a change durable: of a commit of the vault, of one
// with a blob, of the ledger, of the log, of its checkpoints and of their key. A sweep
// that does not see each of them looks at something else than it should.
func writePath() []site {
	const data, log = ".local/share/nsagent", ".local/state/nsagent/audit"
	all := []site{
		"linkat " + data + "/vault.nsv -> " + data + "/vault.nsv.tmp",
		"renameat " + data + "/vault.nsv.tmp -> " + data + "/vault.nsv.prev",
		"pwrite64 " + data + "/vault.nsl", "fsync " + data + "/vault.nsl",
		"write " + log + "/audit.jsonl", "fsync " + log + "/audit.jsonl",
		"write " + log + "/audit.checkpoints", "fsync " + log + "/audit.checkpoints",
	}
	for _, file := range []string{data + "/vault.nsv", data + "/vault.nsv.blobs/BLOB", log + "/audit.key"} {
		all = append(all, site("openat "+file+".tmp +"), site("write "+file+".tmp"), site("fsync "+file+".tmp"),
			site("renameat "+file+".tmp -> "+file), site("fsync "+filepath.Dir(file)))
	}
	return all
}

// plan says which call is to fail.
type plan struct {
	at    site
	nth   int           // which call at that site, from 1; 0: none fails
	errno syscall.Errno // what it fails with; 0: the agent is killed before it
	then  string        // later calls of this name fail too
}

func (p plan) kills() bool { return p.nth > 0 && p.errno == 0 }

func (p plan) String() string {
	how := "SIGKILL"
	if p.errno != 0 {
		how = p.errno.Error()
	}
	s := fmt.Sprintf("%s at call %d of %s", how, p.nth, p.at)
	if p.then != "" {
		s += ", and at each later " + p.then
	}
	return s
}

// seen is what a trap saw: how many calls there were at each site, and those that were
// made to fail.
type seen struct {
	mu    sync.Mutex
	calls map[site]int
	hit   []site
}

// take counts a call, and says what it fails with; a kill is an errno of 0 with hit.
func (s *seen) take(at site, name string, p plan) (errno syscall.Errno, hit bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[at]++
	first := at == p.at && s.calls[at] == p.nth
	if !first && (p.then != name || len(s.hit) == 0) {
		return 0, false
	}
	s.hit = append(s.hit, at)
	return p.errno, true
}

// trapped runs do while the calls of the agent on the vault, the ledger and the log fail
// as p says.
func (h *history) trapped(p plan, do func()) *seen {
	t := h.d.t
	t.Helper()
	s := &seen{calls: make(map[site]int)}
	dirs := []string{filepath.Dir(h.d.paths.Vault), h.d.paths.AuditDir}
	fail := func(c *calltrap.Call) syscall.Errno {
		errno, hit := s.take(h.site(c), c.Name, p)
		if hit && errno == 0 {
			_ = syscall.Kill(h.d.pid, syscall.SIGKILL)
		}
		return errno
	}
	// The kernel closes a descriptor also where it says that this failed.
	trap, err := calltrap.Attach(h.d.pid, calltrap.Handler{
		Before: func(c *calltrap.Call) syscall.Errno {
			if c.Name == "close" || !c.Within(dirs...) {
				return 0
			}
			return fail(c)
		},
		After: func(c *calltrap.Call) syscall.Errno {
			if c.Name != "close" || !c.Within(dirs...) {
				return 0
			}
			return fail(c)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := trap.Detach(); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}()
	do()
	return s
}

// sweep is what a series of faults has hit.
type sweep struct {
	*history
	points int
	hits   map[site]map[syscall.Errno]int
}

// most is after how many points the home is put back: the vault of a home in which much
// was stored is long, and each commit writes all of it.
const most = 20

// try runs one round under a plan, and checks what is left.
func (s *sweep) try(p plan) *seen {
	if s.points++; s.points%most == 0 || !s.d.running() {
		s.rewind()
	}
	got := s.trapped(p, func() { s.round(fmt.Sprintf("p%d", s.points), p.kills()) })
	for _, at := range got.hit {
		if s.hits[at] == nil {
			s.hits[at] = make(map[syscall.Errno]int)
		}
		s.hits[at][p.errno]++
	}
	if p.kills() && len(got.hit) > 0 {
		_ = s.d.awaitEnd()
		s.d.start()
	}
	s.recovered(p.String())
	return got
}

// newSweep is a sweep that has seen one round without faults, from what prepare made of
// a home.
func newSweep(t *testing.T, prepare func(*daemon)) (*sweep, *seen) {
	t.Helper()
	s := &sweep{history: newHistory(t), hits: make(map[site]map[syscall.Errno]int)}
	s.begin()
	s.round("first", false) // makes what is there from then on
	s.keep(prepare)
	s.rewind()
	whole := s.try(plan{})
	for _, at := range writePath() {
		if whole.calls[at] == 0 {
			t.Errorf("control: no %s in a round; there are\n%v", at, whole.sites())
		}
	}
	s.rewind()
	return s, whole
}

// asItIs prepares nothing.
func asItIs(*daemon) {}

// sites returns where calls were seen.
func (s *seen) sites() []site { return slices.Sorted(maps.Keys(s.calls)) }

// wantHits fails unless each site was hit with each of the faults.
func (s *sweep) wantHits(sites []site, faults ...syscall.Errno) {
	s.d.t.Helper()
	for at, f := range s.missed(sites, faults) {
		s.d.t.Errorf("control: %s was never hit with %v", at, f)
	}
}

// wantWhole is wantHits of the long form, which tries all sites that it saw. Those beyond the
// write path may belong to what goes on beside the calls, such as the reading of the log's
// key, and are not made in every round: it says which a fault has missed.
func (s *sweep) wantWhole(seen []site, faults ...syscall.Errno) {
	s.d.t.Helper()
	s.wantHits(writePath(), faults...)
	for at, f := range s.missed(seen, faults) {
		s.d.t.Logf("%s was not made when it was to fail with %v", at, f)
	}
}

// missed gives the sites that a fault has not hit.
func (s *sweep) missed(sites []site, faults []syscall.Errno) iter.Seq2[site, syscall.Errno] {
	return func(yield func(site, syscall.Errno) bool) {
		for _, at := range sites {
			for _, f := range faults {
				if s.hits[at][f] == 0 && !yield(at, f) {
					return
				}
			}
		}
	}
}

// some returns every third site of the write path for the short form, from a given one.
func some(from int) []site {
	var l []site
	for i, at := range writePath() {
		if i%3 == from {
			l = append(l, at)
		}
	}
	return l
}

// TestSystemCallsOfTheAgentFail guards C-02 and A-02 with the product: each system call
// with which the running agent adds a profile, replaces a long secret, signs, locks and
// unlocks fails alone, with EIO, ENOSPC, EINTR and EMFILE. The agent answers with an
// error that says something, or does its work; nothing that it acknowledged is lost, no
// signature is without its entry, and without faults it goes on.
//
// Where a round has several calls at a site, the first gets all four, and each later one
// another. The short form takes every third step of the write path, with one of the four
// in turn.
func TestSystemCallsOfTheAgentFail(t *testing.T) {
	s, whole := newSweep(t, asItIs)
	pid := s.d.pid
	faults := []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EINTR, syscall.EMFILE}
	if needs.Long() {
		for _, at := range whole.sites() {
			for _, f := range faults {
				if s.try(plan{at: at, nth: 1, errno: f}); s.hits[at][f] == 0 {
					s.rewind() // it may be of the first round of an agent
					s.try(plan{at: at, nth: 1, errno: f})
				}
			}
			for n := 2; n <= whole.calls[at]; n++ {
				s.try(plan{at: at, nth: n, errno: faults[n%len(faults)]})
			}
		}
		s.wantWhole(whole.sites(), faults...)
	} else {
		for i, at := range some(0) {
			f := faults[i%len(faults)]
			s.try(plan{at: at, nth: 1, errno: f})
			s.wantHits([]site{at}, f)
		}
		if now, err := s.d.ask(); err != nil || now != pid {
			t.Errorf("the agent is process %d, %v; it was %d", now, err, pid)
		}
	}
	s.check()
	t.Logf("%d rounds; %d sites", s.points, len(whole.calls))
}

// TestCleaningUpFails lets a step of the write path fail, and then what tidies up behind
// it: the removal of a temporary file, the shortening of a log.
func TestCleaningUpFails(t *testing.T) {
	s, _ := newSweep(t, asItIs)
	const data, log = ".local/share/nsagent/", ".local/state/nsagent/audit/"
	for _, p := range []struct {
		fails site
		then  site
	}{
		{"fsync " + data + "vault.nsv.tmp", "unlinkat " + data + "vault.nsv.tmp"},
		{"renameat " + data + "vault.nsv.tmp -> " + data + "vault.nsv.prev", "unlinkat " + data + "vault.nsv.tmp"},
		{"renameat " + data + "vault.nsv.tmp -> " + data + "vault.nsv", "unlinkat " + data + "vault.nsv.tmp"},
		{"fsync " + data + "vault.nsv.blobs/BLOB.tmp", "unlinkat " + data + "vault.nsv.blobs/BLOB.tmp"},
		{"renameat " + log + "audit.key.tmp -> " + log + "audit.key", "unlinkat " + log + "audit.key.tmp"},
		{"fsync " + log + "audit.checkpoints", "ftruncate " + log + "audit.checkpoints"},
	} {
		name, _, _ := strings.Cut(string(p.then), " ")
		s.try(plan{at: p.fails, nth: 1, errno: syscall.EIO, then: name})
		s.wantHits([]site{p.fails, p.then}, syscall.EIO)
		s.round("after", false) // over what is left
		s.recovered("a round over leftovers")
		s.rewind()
	}
	s.check()
}

// TestKilledAtEachCall guards C-01 with the product: the agent is killed before each
// system call of a round. What it acknowledged is there after the next start, the vault
// is whole, and the log holds. The short form takes every third step of the write path.
func TestKilledAtEachCall(t *testing.T) {
	s, whole := newSweep(t, asItIs)
	if needs.Long() {
		for _, at := range whole.sites() {
			for n := range whole.calls[at] {
				s.try(plan{at: at, nth: n + 1})
			}
		}
		s.wantWhole(whole.sites(), 0)
	} else {
		for _, at := range some(1) {
			s.try(plan{at: at, nth: 1})
			s.wantHits([]site{at}, 0)
		}
	}
	s.check()
	t.Logf("%d rounds, killed at %d sites", s.points, len(s.hits))
}
