package agent

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// elsewhere is the refusal to run beside an agent that has the audit log open; err, where
// that agent serves the sockets of this one.
func (a *Agent) elsewhere(err error) error {
	if LookAtLock(a.cfg.Paths.PIDFile) == LockHeld {
		return err
	}
	why, end := "another process has the audit log open", "nsagent agent stop"
	if pid := lockedBy("/proc/locks", reason(err, audit.ErrInUse)); pid > 0 {
		why, end = fmt.Sprintf("process %d has the audit log open", pid), fmt.Sprintf("kill %d", pid)
	}
	return refuse(err, pb.CodeRunning, "an agent is running already, on another socket",
		why+", and does not serve "+a.cfg.Paths.Agent, "name its socket with --socket or NSAGENT_SOCK, or end it:  "+end)
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
