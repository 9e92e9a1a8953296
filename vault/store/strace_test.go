//go:build !race

// What is looked at are system calls of other processes, in which nothing happens at once.

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// tracedCalls are the system calls of a write.
const tracedCalls = "openat,fstat,newfstatat,flock,getdents64,lseek,read,write,pwrite64,fsync,fadvise64,linkat,renameat,renameat2,unlinkat,ftruncate,close"

// call is one system call in strace's output.
type call struct {
	thread, name, args string
	injected           bool
}

var (
	callLine    = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	resumedLine = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed>(.*)$`)
	fdArgument  = regexp.MustCompile(`^(\d+)<`)
)

// parseTrace reads the output of strace -f -y: the calls in the order in which they
// began.
func parseTrace(t *testing.T, path string) []call {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var calls []call
	open := map[string]int{} // by thread, the call that has not returned
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if m := callLine.FindStringSubmatch(line); m != nil {
			calls = append(calls, call{thread: m[1], name: m[2], args: m[3]})
			open[m[1]] = len(calls) - 1
		} else if m := resumedLine.FindStringSubmatch(line); m != nil && len(calls) > 0 {
			calls[open[m[1]]].args += m[2]
		}
	}
	for i := range calls {
		calls[i].injected = strings.HasSuffix(calls[i].args, "(INJECTED)")
	}
	return calls
}

// injection is a fault at the when-th call of that name in a thread.
type injection struct {
	call  string
	fault string // error=EIO and the like, or signal=KILL
	when  int
}

func (i injection) String() string { return fmt.Sprintf("%s:%s:when=%d", i.call, i.fault, i.when) }

// runTraced runs a child under strace, with at most one fault, and returns its
// calls and whether it acknowledged.
func runTraced(t *testing.T, task, path string, faults ...injection) (calls []call, acknowledged bool) {
	t.Helper()
	log := filepath.Join(filepath.Dir(filepath.Dir(path)), "strace.log")
	prefix := []string{"strace", "-f", "-y", "-qq", "-o", log, "-e", "trace=" + tracedCalls, "-e", "signal=none"}
	for _, f := range faults {
		prefix = append(prefix, "-e", "inject="+f.String())
	}
	cmd := childCommand(t, task, path, 1, prefix...)
	cmd.Stderr = io.Discard // of a child that was made to fail
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (len(faults) == 0 || !errors.As(err, &exit)) {
		t.Fatal(err)
	}
	return parseTrace(t, log), len(out) == 4
}

func needStrace(t *testing.T) {
	t.Helper()
	err := exec.Command("strace", "-o", os.DevNull, "-e", "trace=none", "true").Run()
	if err == nil {
		return
	}
	needs.Missing(t, "strace", err.Error())
}

// straceScene is a write under test.
type straceScene struct {
	task    string
	prepare func(t *testing.T, path string)
	// check fails unless path holds the old state or, if acknowledged, the new
	// one, and shows that another write succeeds.
	check func(t *testing.T, path string, acknowledged bool)
	// order matches the names of the calls that make the write durable.
	order string
}

func straceScenes() []straceScene {
	return []straceScene{
		{
			task:    "vault-once",
			prepare: prepareVault,
			check:   checkVault,
			order:   `open-excl write fsync open linkat renameat renameat fsync-dir ack`,
		}, {
			task:    "ledger-once",
			prepare: prepareLedger,
			check:   checkLedger,
			order:   `fsync pwrite64 fsync pwrite64 fsync ack`,
		}, {
			task:    "ledger-compact",
			prepare: prepareLedger,
			check:   checkLedger,
			order:   `fsync open-excl write fsync open renameat fsync-dir pwrite64 fsync pwrite64 fsync ack`,
		},
	}
}

func prepareVault(t *testing.T, path string) {
	f := NewFile(path)
	if err := f.Create(t.Context(), Change{Put: map[ID][]byte{numberID(0, 0): numberRecord(numberID(0, 0))}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Commit(t.Context(), 1, Change{}); err != nil {
		t.Fatal(err)
	}
}

func checkVault(t *testing.T, path string, acknowledged bool) {
	t.Helper()
	f := NewFile(path)
	s := mustLoad(t, f)
	want := map[ID][]byte{numberID(0, 0): numberRecord(numberID(0, 0))}
	if acknowledged || s.Generation == 3 {
		want[numberID(1, 0)] = numberRecord(numberID(1, 0))
	}
	if !reflect.DeepEqual(s.Records, want) || s.Generation != uint64(len(want))+1 {
		t.Errorf("acknowledged %v: generation %d with %d records", acknowledged, s.Generation, len(s.Records))
	}
	if _, err := f.Previous(t.Context()); err != nil {
		t.Errorf("previous: %v", err)
	}
	if _, err := f.Commit(t.Context(), s.Generation, Change{}); err != nil {
		t.Errorf("the next commit: %v", err)
	}
	wantNoLeftovers(t, path)
}

func prepareLedger(t *testing.T, path string) {
	l := mustOpen(t, path)
	for i := range uint64(3) {
		mustAppend(t, l, Entry{1, subject(16, 0xff), i})
	}
	mustClose(t, l)
}

func checkLedger(t *testing.T, path string, acknowledged bool) {
	t.Helper()
	l, err := OpenLedger(t.Context(), path, testVaultID(), testMAC)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	one, two := numberID(1, 0), numberID(1, 1)
	_, hasOne := l.Get(1, one[:])
	_, hasTwo := l.Get(1, two[:])
	if hasOne != hasTwo || acknowledged && !hasOne {
		t.Errorf("acknowledged %v: entries %v, %v", acknowledged, hasOne, hasTwo)
	}
	wantValue(t, l, 1, subject(16, 0xff), 2)
	if err := l.Append(Entry{1, one[:], 5}); err != nil {
		t.Errorf("the next append: %v", err)
	}
	if err := l.Compact(); err != nil {
		t.Errorf("the next compaction: %v", err)
	}
	wantNoLeftovers(t, path)
}

func wantNoLeftovers(t *testing.T, path string) {
	t.Helper()
	if names, err := filepath.Glob(path + ".tmp-*"); err != nil || len(names) != 0 {
		t.Errorf("left behind: %q, %v", names, err)
	}
}

// wantNoRepeatedFsync fails if a descriptor is fsynced again after a failed fsync. One
// that was interrupted has not failed, and may be.
func wantNoRepeatedFsync(t *testing.T, calls []call, fault injection) {
	t.Helper()
	failed := map[string]bool{}
	if fault.fault == "error=EINTR" {
		return
	}
	for _, c := range calls {
		fd := fdArgument.FindString(c.args)
		switch {
		case c.name == "close":
			delete(failed, fd)
		case c.name == "fsync" && failed[fd]:
			t.Errorf("fsync(%s is repeated after it failed", c.args)
		case c.name == "fsync" && c.injected:
			failed[fd] = true
		}
	}
}

// TestRealWritesAreOrdered holds the system calls of real writes against the
// protocol that the power-cut models assume.
func TestRealWritesAreOrdered(t *testing.T) {
	needStrace(t)
	for _, scene := range straceScenes() {
		t.Run(scene.task, func(t *testing.T) {
			path := filepath.Join(privateDir(t), "f")
			scene.prepare(t, path)
			calls, acknowledged := runTraced(t, scene.task, path)
			if !acknowledged {
				t.Fatal("no acknowledgement")
			}
			var names []string
			for _, c := range calls {
				if name := protocolStep(c, path); name != "" {
					names = append(names, name)
				}
			}
			if got := strings.Join(names, " "); got != scene.order {
				t.Errorf("got  %s\nwant %s", got, scene.order)
			}
		})
	}
}

// protocolStep names c if it is a step of the write protocol.
func protocolStep(c call, path string) string {
	switch dir := filepath.Dir(path); {
	case c.name == "write" && strings.HasPrefix(c.args, "1<"):
		return "ack"
	case !strings.Contains(c.args, dir):
		return ""
	case c.name == "fsync" && strings.Contains(c.args, dir+">"):
		return "fsync-dir"
	case c.name == "openat" && strings.Contains(c.args, "O_EXCL"):
		return "open-excl"
	case c.name == "openat" && strings.Contains(c.args, `f.tmp-`):
		return "open"
	case c.name == "renameat2":
		return "renameat"
	case slices.Contains([]string{"write", "pwrite64", "fsync", "linkat", "renameat"}, c.name):
		return c.name
	}
	return ""
}

// planInjections returns the faults for a sweep over calls: each call on the
// directory of path, failing in each way.
func planInjections(calls []call, path string) []injection {
	counts := map[string]int{} // by thread and name
	perName := map[string]int{}
	const most = 8
	var plan []injection
	for _, c := range calls {
		counts[c.thread+c.name]++
		if !strings.Contains(c.args, filepath.Dir(path)) {
			continue
		}
		perName[c.name]++
		if perName[c.name] > most && !needs.Long() {
			continue
		}
		faults := errnosOf(c.name)
		if !needs.Long() { // some of them, other ones each time
			n := perName[c.name]
			faults = []string{faults[(n-1)%len(faults)], faults[n%len(faults)]}
		}
		if needs.Long() || !harmless(c.name) {
			faults = append(faults, "signal=KILL")
		} else {
			faults = faults[:1]
		}
		for _, fault := range faults {
			plan = append(plan, injection{c.name, fault, counts[c.thread+c.name]})
		}
	}
	return plan
}

// harmless reports whether a call changes nothing.
func harmless(name string) bool {
	return slices.Contains([]string{"fstat", "newfstatat", "close", "lseek", "fadvise64"}, name)
}

// errnosOf returns what a call of that name is made to fail with: a full or broken disk
// any of them, and further only what the kernel gives.
func errnosOf(name string) []string {
	faults := []string{"error=EIO", "error=ENOSPC"}
	if slices.Contains([]string{"openat", "flock", "read", "write", "pwrite64", "fsync", "ftruncate", "close"}, name) {
		faults = append(faults, "error=EINTR")
	}
	if name == "openat" {
		faults = append(faults, "error=EMFILE")
	}
	return faults
}

// TestEverySystemCallMayFail lets each system call of a write fail with EIO, ENOSPC, and
// where it can give them EINTR and EMFILE, and kills the writer at each. What is left must
// be old or new, what was acknowledged must be new, and no descriptor may be fsynced again
// after a failure. The short form gives each call two of the errors in turn.
func TestEverySystemCallMayFail(t *testing.T) {
	needStrace(t)
	for _, scene := range straceScenes() {
		t.Run(scene.task, func(t *testing.T) {
			path := filepath.Join(privateDir(t), "f")
			scene.prepare(t, path)
			calls, _ := runTraced(t, scene.task, path)
			hit := map[string]int{}
			plan := planInjections(calls, path)
			for _, fault := range plan {
				t.Run(fault.String(), func(t *testing.T) {
					path := filepath.Join(privateDir(t), "f")
					scene.prepare(t, path)
					calls, acknowledged := runTraced(t, scene.task, path, fault)
					for _, c := range calls {
						if c.injected && strings.Contains(c.args, filepath.Dir(path)) {
							hit[c.name]++
							hit[fault.fault]++
						}
					}
					if fault.fault == "signal=KILL" && !acknowledged {
						hit["kill"]++
					}
					wantNoRepeatedFsync(t, calls, fault)
					scene.check(t, path, acknowledged)
				})
			}
			t.Logf("%d faults; failed on our files: %v", len(plan), hit)
			for _, name := range []string{"openat", "fsync", "kill", "error=EIO", "error=ENOSPC", "error=EINTR", "error=EMFILE"} {
				if hit[name] == 0 {
					t.Errorf("no %s was made to fail", name)
				}
			}
		})
	}
}
