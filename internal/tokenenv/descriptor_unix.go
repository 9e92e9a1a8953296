//go:build unix

package tokenenv

import (
	"os"

	"golang.org/x/sys/unix"
)

// takeDescriptor takes a descriptor of this process: only the file that it returns has it
// from then on. In the place of standard input there is /dev/null: every program that is run
// gets that, and would read from its beginning what it is opened of; and left closed, the
// next file that is opened would be it.
func takeDescriptor(n int, name string) (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3) // #nosec G115 -- not negative
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name) // #nosec G115 -- a descriptor
	if n > 2 {
		return f, unix.Close(n)
	}
	null, err := os.Open(os.DevNull)
	if err == nil {
		err = unix.Dup2(int(null.Fd()), n) // #nosec G115 -- a descriptor
		_ = null.Close()
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
