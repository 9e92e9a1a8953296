//go:build unix

package tokenenv

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/givenfd"
)

// takeDescriptor takes a descriptor that this process was given: only the file that it
// returns has it from then on. In the place of standard input there is /dev/null: every
// program that is run gets that, and could read what was there from its beginning; and left
// closed, the next file that is opened would be it.
func takeDescriptor(n int, name string) (*os.File, error) {
	if n == 1 || n == 2 {
		return nil, errOutput
	}
	if err := givenfd.Check(n); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3) // #nosec G115 -- not negative
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name) // #nosec G115 -- a descriptor
	if n > 2 {
		_ = unix.Close(n) // it is gone, whatever that says
		return f, nil
	}
	if err := empty(n); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("putting %s in its place: %v", os.DevNull, err) //nolint:errorlint // the reason is of another file
	}
	return f, nil
}

// empty puts /dev/null at a descriptor.
func empty(n int) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	return unix.Dup2(int(null.Fd()), n) // #nosec G115 -- a descriptor
}
