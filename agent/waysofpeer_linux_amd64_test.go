//go:build !race

// The product is looked at from outside, which has no race detector.

package agent

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/calltrap"
	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestBothWaysToAPeer guards S-03 and S-05 with the product on kernels of both kinds: the
// kernel gives the pidfd of a peer with the connection, or, before Linux 6.5, does not
// know the option, and the sandboxed agent finds the process by its number. Either way
// its own user is served, the heir of a process that ended is refused call by call, and
// another user gets not a byte.
func TestBothWaysToAPeer(t *testing.T) {
	needs.Root(t, "traces a process that is not dumpable, and starts one of another user")
	d := startDaemon(t, "")
	d.unlock()
	d.addByFile("acme", sample(2), sample(4))
	for _, c := range []struct {
		name     string
		byNumber bool
	}{{"with the connection", false}, {"by number", true}} {
		t.Run(c.name, func(t *testing.T) {
			var asked, opened atomic.Int64
			trap, err := calltrap.Attach(d.pid, calltrap.Handler{Before: func(call *calltrap.Call) syscall.Errno {
				switch {
				case call.Name == "pidfd_open":
					opened.Add(1)
				case call.Name == "getsockopt" && call.Args[1] == unix.SOL_SOCKET && call.Args[2] == unix.SO_PEERPIDFD:
					asked.Add(1)
					if c.byNumber {
						return unix.ENOPROTOOPT
					}
				}
				return 0
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := trap.Detach(); err != nil {
					t.Error(err)
				}
			}()
			servesItsUserAlone(t, d)
			if n := asked.Load(); n < 7 || (opened.Load() == n) != c.byNumber {
				t.Errorf("control: %d peers, %d found by number", n, opened.Load())
			}
		})
	}
}

// servesItsUserAlone fails unless the daemon answers its user, and neither an heir nor
// another user.
func servesItsUserAlone(t *testing.T, d *daemon) {
	t.Helper()
	d.must("sign", "-q", sandboxURL)
	for _, socket := range []struct{ protocol, path, control string }{
		{"json", d.paths.Agent, "sign ok"}, {"grpc", d.paths.Agent, "sign ok"}, {"grpc-admin", d.paths.Admin, ""},
	} {
		heir := startRole(t, os.Geteuid(), roleLeave, socket.path, socket.protocol)
		if got := heir.line(); got != "left" {
			t.Fatalf("%s: the child says %q", socket.protocol, got)
		}
		if err := heir.cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		heir.tell("go")
		for _, line := range strings.Split(heir.rest(), "\n") {
			if !strings.HasSuffix(line, " "+string(pb.CodePeer)) {
				t.Errorf("%s: the heir of a process that ended says %q, want %s", socket.protocol, line, pb.CodePeer)
			}
		}
		if socket.control == "" {
			continue // it would lock and stop
		}
		heir = startRole(t, os.Geteuid(), roleLeave, socket.path, socket.protocol, "stay")
		if got := heir.line(); got != "left" {
			t.Fatalf("%s: the child says %q", socket.protocol, got)
		}
		heir.tell("go")
		if got := heir.line(); got != socket.control {
			t.Errorf("%s: while the process lives: got %q, want %q", socket.protocol, got, socket.control)
		}
	}
	open := []string{d.home, filepath.Dir(filepath.Dir(d.paths.Agent)), filepath.Dir(d.paths.Agent), d.paths.Agent, d.paths.Admin}
	for _, path := range open {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o777); err != nil { // #nosec G302 -- that is the test
			t.Fatal(err)
		}
		defer func() { _ = os.Chmod(path, info.Mode().Perm()) }()
	}
	time.Sleep(1100 * time.Millisecond) // refusals are recorded once a second
	for _, path := range []string{d.paths.Agent, d.paths.Admin} {
		if got, want := startRole(t, nobody, roleVisit, path).rest(), "bytes: 0\nbytes: 0"; got != want {
			t.Errorf("%s: another user says %q, want %q", filepath.Base(path), got, want)
		}
	}
	refused := 0
	for _, e := range readLog(t, d.paths.AuditDir) {
		if e.Event == audit.EventPeerRefused && e.UID == nobody {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no refused peer is on record")
	}
}
