package atomicfile

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// fileInfo is what the checks need of a stat.
type fileInfo struct {
	dev, ino uint64
	mode     uint32
	uid      uint32
	size     int64
}

// newFileInfo converts st, whose fields have other types on other systems.
func newFileInfo(st *unix.Stat_t) *fileInfo {
	return &fileInfo{dev: uint64(st.Dev), ino: uint64(st.Ino), mode: uint32(st.Mode), uid: st.Uid, size: st.Size}
}

func (i *fileInfo) sameFile(o *fileInfo) bool { return i.dev == o.dev && i.ino == o.ino }

// checkFile refuses what is not a regular file of ours that nobody else may read
// or write.
func checkFile(path string, i *fileInfo) error {
	refuse := func(reason, fix string) error { return &UnsafeError{Path: path, Reason: reason, Fix: fix} }
	switch kind := i.mode & unix.S_IFMT; {
	case kind == unix.S_IFLNK:
		return refuse("is a symbolic link", "put the file itself there")
	case kind != unix.S_IFREG:
		return refuse("is "+kindName(kind)+", not a regular file", "move it away")
	case i.uid != euid():
		return refuse(fmt.Sprintf("belongs to uid %d, not to uid %d", i.uid, euid()), "run as its owner, or move it away")
	case i.mode&0o077 != 0:
		return refuse(fmt.Sprintf("is open to group or others (mode %04o)", i.mode&0o7777), "chmod 600 "+shellQuote(path))
	}
	return nil
}

// checkDir refuses a directory in which somebody else could exchange our files:
// one that is neither ours nor root's, or that group or others may write without
// the sticky bit.
func checkDir(path string, i *fileInfo) error {
	refuse := func(reason, fix string) error { return &UnsafeError{Path: path, Reason: reason, Fix: fix} }
	switch {
	case i.uid != euid() && i.uid != 0:
		return refuse(fmt.Sprintf("belongs to uid %d, not to uid %d or root", i.uid, euid()), "use a directory of your own")
	case i.mode&0o022 != 0 && i.mode&unix.S_ISVTX == 0 && i.uid != euid():
		return refuse(fmt.Sprintf("can be written by group or others (mode %04o)", i.mode&0o7777), "use a directory of your own")
	case i.mode&0o022 != 0 && i.mode&unix.S_ISVTX == 0:
		return refuse(fmt.Sprintf("can be written by group or others (mode %04o)", i.mode&0o7777), "chmod go-w "+shellQuote(path))
	}
	return nil
}

func kindName(kind uint32) string {
	switch kind {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a pipe"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device"
	}
	return "of unknown kind"
}

func euid() uint32 { return uint32(os.Geteuid()) } // a uid is 32 bits wide

// shellQuote returns path as it can be pasted into a shell.
func shellQuote(path string) string {
	for _, r := range path {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case r == '/', r == '.', r == '-', r == '_':
		default:
			return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
		}
	}
	return path
}
