package supervise

import (
	"os"
	"os/exec"
	"strconv"
)

// program is what children run: a copy of an executable that nobody may read, where
// the system can make one, else the executable itself.
//
// The kernel keeps a process unreadable for others of its user from its first
// instruction where the process may not read its own executable. A child that ran
// a readable file would be open to them until it has called harden.Process, and
// what they open in that time (/proc/PID/mem) they keep.
type program struct {
	exe  string
	copy *os.File // nil: none
}

// newProgram makes the copy. It is for all children, and lives until close.
func newProgram(exe string) *program {
	p := &program{exe: exe}
	if f, err := unreadableCopy(exe); err == nil {
		p.copy = f
	}
	return p
}

func (p *program) close() {
	if p.copy != nil {
		_ = p.copy.Close()
	}
}

// start starts a child that build returns for the path of its executable, and tells
// when it has ended, and how. A system that does not run the copy runs the
// executable.
func (p *program) start(build func(exe string) *exec.Cmd) (c *exec.Cmd, ended <-chan error, err error) {
	if p.copy != nil {
		c = build("/proc/self/fd/" + strconv.Itoa(int(p.copy.Fd()))) // #nosec G115 -- a descriptor fits
		if ended, err = start(c); err == nil {
			return c, ended, nil
		}
	}
	c = build(p.exe)
	ended, err = start(c)
	return c, ended, err
}
