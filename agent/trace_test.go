package agent

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// systemCall is one line of strace.
type systemCall struct {
	when float64
	text string
}

// traced starts the product under strace and returns it with the directory of the
// traces, one file a thread.
func traced(t *testing.T, calls string) (d *daemon, dir string) {
	t.Helper()
	strace := needs.Program(t, "strace")
	d = newDaemon(t, os.Geteuid(), "")
	dir = t.TempDir()
	d.wrap = []string{strace, "-f", "-ff", "-ttt", "-e", "trace=" + calls, "-e", "signal=none", "-o", filepath.Join(dir, "t")}
	d.start()
	return d, dir
}

// callsOf returns what the threads of a process did, in order.
func callsOf(t *testing.T, dir string, threads []string) []systemCall {
	t.Helper()
	var all []systemCall
	for _, tid := range threads {
		f, err := os.Open(filepath.Join(dir, "t."+tid)) // #nosec G304 -- of the test
		if os.IsNotExist(err) {
			continue // a thread that made none of these calls
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			stamp, text, _ := strings.Cut(lines.Text(), " ")
			when, err := strconv.ParseFloat(stamp, 64)
			if err != nil {
				t.Fatalf("strace wrote %q", lines.Text())
			}
			all = append(all, systemCall{when, text})
		}
		_ = f.Close()
	}
	slices.SortFunc(all, func(a, b systemCall) int {
		switch {
		case a.when < b.when:
			return -1
		case a.when > b.when:
			return 1
		default:
			return 0
		}
	})
	return all
}

// threadsOf returns the threads of a process.
func threadsOf(t *testing.T, pid int) []string {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestSystemCalls guards S-02 and S-12 by strace: the sockets are born under umask
// 0177, and from then on the agent process starts no program and asks for no socket
// that is not local, while it is unlocked, changed and used.
func TestSystemCalls(t *testing.T) {
	d, dir := traced(t, "execve,execveat,umask,bind,socket,socketpair,connect,clone,clone3,fork,vfork")
	d.unlock()
	admin := d.dialAdmin()
	if err := d.addTBA(admin, "acme", sample(2), sample(4)); err != nil {
		t.Fatal(err)
	}
	d.must("sign", "-q", sandboxURL)
	d.must("passport", "-q")
	d.must("lock")
	threads := threadsOf(t, d.pid)
	d.stop()

	calls := callsOf(t, dir, threads)
	mask, bound := "", 0
	for _, c := range calls {
		name, _, _ := strings.Cut(c.text, "(")
		switch name {
		case "umask":
			mask, _, _ = strings.Cut(strings.TrimPrefix(c.text, "umask("), ")")
		case "bind":
			bound++
			// Only root's strace can read the address: the agent is not dumpable.
			if strings.Contains(c.text, "sa_family") && !strings.Contains(c.text, d.paths.Agent) && !strings.Contains(c.text, d.paths.Admin) {
				t.Errorf("binds something else: %s", c.text)
			}
			if mask != "0177" {
				t.Errorf("umask around %s: got %s, want 0177", c.text, mask)
			}
		case "socket", "socketpair":
			if !strings.Contains(c.text, "AF_UNIX") || !strings.Contains(c.text, "SOCK_CLOEXEC") {
				t.Errorf("asks for a socket that is not local, or would pass an exec: %s", c.text)
			}
		case "execve", "execveat", "fork", "vfork":
			if bound > 0 {
				t.Errorf("after its sockets were open: %s", c.text)
			}
		case "clone", "clone3":
			if bound > 0 && !strings.Contains(c.text, "CLONE_THREAD") && !strings.Contains(c.text, "ENOSYS") {
				t.Errorf("after its sockets were open: %s", c.text)
			}
		}
	}
	if bound != 2 || mask == "0177" {
		t.Errorf("bound %d sockets, and the umask stays %s; the trace is not what it should be:\n%v", bound, mask, calls)
	}
	if first := calls[0].text; !strings.HasPrefix(first, "execve(") {
		t.Errorf("control: the trace begins with %s, not with the program's own start", first)
	}
}
