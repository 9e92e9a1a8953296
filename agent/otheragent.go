package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// maxNote is the length in bytes of the longest note that is read: two paths and numbers.
const maxNote = 4096

// socketNote is what an agent leaves in its state directory for those who look for it at
// other sockets. The lock on the file, which ends with the process, says that it counts.
type socketNote struct{ f *os.File }

// noteText is what stands in the note. Device and Inode are those of the socket Agent: at its
// path may be another one by now, or none.
type noteText struct {
	Agent  string `json:"agent"`
	Admin  string `json:"admin"`
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// leaveNote writes the note of an agent whose sockets are bound. An agent can do without: nil
// is a note that is not there. That of a bundle has a log of its own, and keeps nobody away.
func (a *Agent) leaveNote() *socketNote {
	p := a.cfg.Paths
	if a.bundled != nil || p.NoteFile == "" {
		return nil
	}
	f, err := lockFile(p.NoteFile)
	if err != nil {
		a.log.Warn("no note of the sockets", "error", err)
		return nil
	}
	t := noteText{Agent: p.Agent, Admin: p.Admin}
	t.Device, t.Inode, _ = identityOf(p.Agent)
	b, err := json.Marshal(t)
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.Write(b)
	}
	if err != nil {
		a.log.Warn("no note of the sockets", "error", err)
	}
	return &socketNote{f: f}
}

// take takes the note back, as often as one likes: it comes before the sockets go.
func (n *socketNote) take() {
	if n != nil {
		_ = n.f.Close()
	}
}

// identityOf returns what tells a file from any other one that there is.
func identityOf(path string) (device, inode uint64, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, 0, err
	}
	return uint64(st.Dev), st.Ino, nil // #nosec G115 -- a number to compare
}

// Other is an agent that runs with a state directory, at sockets other than those that
// somebody looked at.
type Other struct {
	// PID is that of the agent, 0 where the kernel does not say.
	PID int
	// Agent and Admin are its sockets. Gone is true where nobody can reach them any more: the
	// path has nothing, or something else.
	Agent, Admin string
	Gone         bool
}

// LookForOther tells whether an agent runs with the state directory of p, and not at its
// sockets. It connects to nothing.
func LookForOther(p socketpath.Paths) (o Other, there bool) { return lookForOther(p, longGlance) }

// lookForOther waits for as long as patience for one that writes its note, or without a
// socket is about to end.
func lookForOther(p socketpath.Paths, patience time.Duration) (o Other, there bool) {
	for end := time.Now().Add(patience); LookAtLock(p.NoteFile) == LockHeld; time.Sleep(5 * time.Millisecond) {
		t, err := readNote(p.NoteFile)
		if err != nil && time.Now().After(end) {
			return Other{}, false
		}
		if err != nil {
			continue
		}
		o = Other{PID: lockedBy("/proc/locks", p.NoteFile), Agent: t.Agent, Admin: t.Admin}
		device, inode, err := identityOf(t.Agent)
		o.Gone = err != nil || device != t.Device || inode != t.Inode
		if !o.Gone {
			return o, t.Agent != p.Agent
		}
		if time.Now().After(end) { // and it is not one that ends just now
			return o, true
		}
	}
	return Other{}, false
}

func readNote(path string) (t noteText, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0) // #nosec G304 -- our own state directory
	if err != nil {
		return t, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxNote))
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err == nil && (!filepath.IsAbs(t.Agent) || !filepath.IsAbs(t.Admin)) {
		err = socketpath.ErrRelative
	}
	return t, err
}

// Why says which process it is and where, for the second line of an error.
func (o Other) Why() string {
	who := "another process"
	if o.PID > 0 {
		who = fmt.Sprintf("process %d", o.PID)
	}
	switch {
	case o.Agent == "":
		return who + " has the audit log open"
	case o.Gone:
		return fmt.Sprintf("%s has the vault, and its socket %s is gone", who, o.Agent)
	default:
		return fmt.Sprintf("%s has the vault, and serves %s", who, o.Agent)
	}
}

// Next says what to type, for the third line of an error.
func (o Other) Next() string {
	switch {
	case o.Agent != "" && !o.Gone && o.Admin == filepath.Join(filepath.Dir(o.Agent), "admin.sock"):
		return "use that one:  export NSAGENT_SOCK=" + o.Agent
	case o.Agent != "" && !o.Gone:
		return "use that one:  export NSAGENT_SOCK=" + o.Agent + " NSAGENT_ADMIN_SOCK=" + o.Admin
	case o.PID > 0:
		return fmt.Sprintf("end it, which locks the vault:  kill %d", o.PID)
	default:
		return "find it, and end it:  pgrep -u $USER -fa 'nsagent agent run'"
	}
}

// elsewhere is the refusal to run beside an agent that has the audit log open; err, where
// that agent serves the sockets of this one.
func (a *Agent) elsewhere(err error) error {
	if LookAtLock(a.cfg.Paths.PIDFile) == LockHeld {
		return err
	}
	holder := Other{PID: lockedBy("/proc/locks", reason(err, audit.ErrInUse))}
	if a.cfg.Bundle != nil { // whose log is its own, and that of no vault
		return refuse(err, pb.CodeRunning, "this bundle is served already", holder.Why()+", and one agent at a time works with a bundle", "use it without --bundle where  nsagent status  shows it; else wait for its end")
	}
	o, there := LookForOther(a.cfg.Paths)
	if !there {
		o = holder
	}
	return refuse(err, pb.CodeRunning, "an agent is running already, on another socket", o.Why(), o.Next())
}

// lockedBy returns the process that has the lock of a file, by what the kernel lists
// (proc_locks(5)); 0 where that does not say.
func lockedBy(list, path string) int {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return 0
	}
	b, err := os.ReadFile(list) // #nosec G304 -- of the kernel
	if err != nil {
		return 0
	}
	inode := ":" + strconv.FormatUint(st.Ino, 10)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 8 && f[1] == "FLOCK" && strings.HasSuffix(f[5], inode) {
			pid, _ := strconv.Atoi(f[4])
			return pid
		}
	}
	return 0
}
