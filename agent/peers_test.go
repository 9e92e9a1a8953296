package agent

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestOtherUser guards S-03: a process of another user gets not a byte from either
// socket, even where every mode on the way was opened, and it is on record.
func TestOtherUser(t *testing.T) {
	needs.Root(t, "starts a process of another user")
	f := start(t)
	for _, path := range []string{filepath.Dir(filepath.Dir(f.paths.Agent)), filepath.Dir(f.paths.Agent), f.paths.Agent, f.paths.Admin} {
		if err := os.Chmod(path, 0o777); err != nil { // #nosec G302 -- that is the test
			t.Fatal(err)
		}
	}
	for _, path := range []string{f.paths.Agent, f.paths.Admin} {
		got := startRole(t, nobody, roleVisit, path).rest()
		if want := "bytes: 0\nbytes: 0"; got != want {
			t.Errorf("%s: another user says %q, want %q", filepath.Base(path), got, want)
		}
		f.clock.Add(int64(2e9)) // refusals are recorded once a second
	}
	refused := 0
	for _, e := range f.entries() {
		if e.Event != audit.EventPeerRefused {
			continue
		}
		refused++
		if e.UID != nobody || e.Outcome != audit.OutcomeDenied || e.Reason != string(pb.CodePeer) || e.PID <= 0 {
			t.Errorf("entry: got %+v", e)
		}
	}
	if refused < 2 {
		t.Errorf("refused peers on record: got %d, want one for each socket at least", refused)
	}

	own := startRole(t, os.Geteuid(), roleVisit, f.paths.Agent).rest()
	for _, line := range strings.Split(own, "\n") {
		if n, err := strconv.Atoi(strings.TrimPrefix(line, "bytes: ")); err != nil || n == 0 {
			t.Errorf("control, the owner says %q", own)
		}
	}
}

// TestSocketsKeepOthersOut guards S-01: with the modes as they are another user
// does not even get a connection.
func TestSocketsKeepOthersOut(t *testing.T) {
	needs.Root(t, "starts a process of another user")
	f := start(t)
	for _, path := range []string{f.paths.Agent, f.paths.Admin} {
		got := startRole(t, nobody, roleVisit, path).rest()
		if strings.Count(got, "no connection:") != 2 {
			t.Errorf("%s: another user says %q", filepath.Base(path), got)
		}
	}
}

// TestNothingListensElsewhere guards S-08: of all sockets that supervisor and agent
// hold none is an IP socket, and the Unix ones that have a name are the two.
func TestNothingListensElsewhere(t *testing.T) {
	needs.Root(t, "reads the descriptors of a process that is not dumpable")
	d := startDaemon(t, "")
	d.unlock()
	inodes := make(map[string]bool)
	for _, pid := range []int{d.pid, d.supervisor.Process.Pid} {
		for _, target := range links(t, fmt.Sprintf("/proc/%d/fd", pid)) {
			if n, ok := strings.CutPrefix(target, "socket:["); ok {
				inodes[strings.TrimSuffix(n, "]")] = true
			}
		}
	}
	if len(inodes) < 4 { // two listeners and both ends of the socketpair
		t.Fatalf("found %d sockets; the search goes wrong", len(inodes))
	}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6", "packet", "netlink"} {
		for _, fields := range procNet(t, table) {
			for _, field := range fields {
				if inodes[field] {
					t.Errorf("/proc/net/%s has a socket of the agent: %v", table, fields)
				}
			}
		}
	}
	named := make(map[string]bool)
	for _, fields := range procNet(t, "unix") {
		if len(fields) >= 8 && inodes[fields[6]] {
			named[fields[7]] = true
		}
	}
	if len(named) != 2 || !named[d.paths.Agent] || !named[d.paths.Admin] {
		t.Errorf("named Unix sockets: got %v, want the two", named)
	}

	// The control: a TCP listener of this process is found in the same way.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	found := false
	for _, target := range links(t, "/proc/self/fd") {
		n, ok := strings.CutPrefix(target, "socket:[")
		for _, fields := range procNet(t, "tcp") {
			found = found || ok && len(fields) > 9 && fields[9] == strings.TrimSuffix(n, "]")
		}
	}
	if !found {
		t.Error("control: a TCP listener is not found")
	}
}

// TestDescriptorsStay guards S-12: no descriptor of the agent would pass an exec.
func TestDescriptorsStay(t *testing.T) {
	needs.Root(t, "reads the descriptors of a process that is not dumpable")
	d := startDaemon(t, "")
	d.unlock()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fdinfo", d.pid))
	if err != nil {
		t.Fatal(err)
	}
	const closeOnExec = 0o2000000
	seen := 0
	for _, file := range files {
		if n, _ := strconv.Atoi(file.Name()); n <= 2 {
			continue
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", d.pid, file.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		_, after, _ := strings.Cut(string(b), "flags:")
		flags, err := strconv.ParseUint(strings.Fields(after)[0], 8, 64)
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if flags&closeOnExec == 0 {
			target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", d.pid, file.Name()))
			t.Errorf("descriptor %s (%s) would pass an exec", file.Name(), target)
		}
	}
	if seen < 4 {
		t.Errorf("looked at %d descriptors; the search goes wrong", seen)
	}
}

// links returns where the links in a directory of /proc lead.
func links(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			all = append(all, target)
		}
	}
	return all
}

// procNet returns the lines of a table of sockets, divided at blanks. A kernel
// without that protocol has none.
func procNet(t *testing.T, table string) [][]string {
	t.Helper()
	b, err := os.ReadFile("/proc/net/" + table)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(b)) {
		rows = append(rows, strings.Fields(line))
	}
	return rows
}
