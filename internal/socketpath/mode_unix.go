//go:build unix && !linux

package socketpath

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// giveMode gives the socket at path a mode and returns what it is, also where it is ours and
// the mode fails: the caller can still remove it. Where a link took its
// place, that gets the mode, and not what it leads to.
func giveMode(path string, mode fs.FileMode) (os.FileInfo, error) {
	fi, err := os.Lstat(path)
	if err == nil {
		err = ownSocket(path, fi)
	}
	if err != nil {
		return nil, err
	}
	return fi, unix.Fchmodat(unix.AT_FDCWD, path, uint32(mode), unix.AT_SYMLINK_NOFOLLOW)
}
