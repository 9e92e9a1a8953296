package calltrap

import (
	"fmt"
	"strings"
	"syscall"
)

// Call is one system call of the process.
type Call struct {
	// Name is that of the system call, such as openat.
	Name string
	// Path is the file that the call is about: for a descriptor what it is open on, for
	// a name the path that it makes with its directory.
	Path string
	// To is the second name of link and rename.
	To string
	// FD is the descriptor of a call that takes one, else -1.
	FD int
	// Args are the arguments as the kernel gets them.
	Args [6]uint64
	// Thread is the number of the thread.
	Thread int
	// Result is what the call returned, or minus the errno; it is set in After alone.
	Result int64
	// Refused is the errno that Before had it fail with; 0: the kernel sees it.
	Refused syscall.Errno
}

func (c *Call) String() string {
	s := c.Name + " " + c.Path
	if c.To != "" {
		s += " -> " + c.To
	}
	if c.Refused != 0 {
		s += fmt.Sprintf(" = %d", c.Refused)
	}
	return s
}

// Creates reports whether the call is an openat that may make a file.
func (c *Call) Creates() bool { return c.Name == "openat" && c.Args[2]&syscall.O_CREAT != 0 }

// Within reports whether the call is about something in one of these directories, or
// one of them itself.
func (c *Call) Within(dirs ...string) bool {
	for _, d := range dirs {
		if c.Path == d || strings.HasPrefix(c.Path, d+"/") {
			return true
		}
	}
	return false
}

// Handler is what a test does with the calls. Either part may be nil. Both run one at a
// time, while the thread that makes the call stands still; other threads go on.
type Handler struct {
	// Before is called before the kernel sees the call. What it returns, unless 0, is
	// what the call fails with, and the kernel never sees it.
	Before func(*Call) syscall.Errno
	// After is called when the call has returned. What it returns, unless 0, is what the
	// process takes for the result, though the kernel did what was asked.
	After func(*Call) syscall.Errno
}
