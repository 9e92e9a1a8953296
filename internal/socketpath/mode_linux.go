package socketpath

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// giveMode gives the socket at path a mode and returns what it is, also where it is ours and
// the mode fails: the caller can still remove it. What is looked at is what
// is changed: the descriptor stays with it, whatever takes its place meanwhile, and is of a
// link itself where there is one. chmod takes no such descriptor, and by its name in /proc
// the very file, on every kernel; fchmodat2 needs Linux 6.6.
func giveMode(path string, mode fs.FileMode) (os.FileInfo, error) {
	f, err := os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0) // #nosec G304 -- the path that we were asked to listen at
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err == nil {
		err = ownSocket(path, fi)
	}
	if err != nil {
		return nil, err
	}
	return fi, os.Chmod(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), mode)
}
