package calltrap

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shape says where the arguments of a call have its file.
type shape int

const (
	plain  shape = iota // no file
	onFD                // descriptor
	onName              // directory, name
	onTwo               // directory, name, directory, name
)

// known is a call that is looked at.
type known struct {
	name  string
	shape shape
}

// calls are those that are looked at, by number.
func calls() map[uint64]known {
	return map[uint64]known{
		unix.SYS_OPENAT: {"openat", onName}, unix.SYS_CLOSE: {"close", onFD},
		unix.SYS_READ: {"read", onFD}, unix.SYS_PREAD64: {"pread64", onFD}, unix.SYS_GETDENTS64: {"getdents64", onFD},
		unix.SYS_WRITE: {"write", onFD}, unix.SYS_PWRITE64: {"pwrite64", onFD}, unix.SYS_FTRUNCATE: {"ftruncate", onFD},
		unix.SYS_FSYNC: {"fsync", onFD}, unix.SYS_FDATASYNC: {"fdatasync", onFD}, unix.SYS_FADVISE64: {"fadvise64", onFD},
		unix.SYS_LSEEK: {"lseek", onFD}, unix.SYS_FLOCK: {"flock", onFD}, unix.SYS_FSTAT: {"fstat", onFD}, unix.SYS_FCHMOD: {"fchmod", onFD},
		unix.SYS_NEWFSTATAT: {"newfstatat", onName}, unix.SYS_STATX: {"statx", onName}, unix.SYS_UTIMENSAT: {"utimensat", onName},
		unix.SYS_MKDIRAT: {"mkdirat", onName}, unix.SYS_UNLINKAT: {"unlinkat", onName}, unix.SYS_FCHMODAT: {"fchmodat", onName},
		unix.SYS_LINKAT: {"linkat", onTwo}, unix.SYS_RENAMEAT: {"renameat", onTwo}, unix.SYS_RENAMEAT2: {"renameat2", onTwo},
		unix.SYS_GETSOCKOPT: {"getsockopt", onFD}, unix.SYS_PIDFD_OPEN: {"pidfd_open", plain},
	}
}

// decode returns the call of that number, or nil for one that is not looked at.
func (t *Trap) decode(thread int, number uint64, args [6]uint64) *Call {
	k, ok := t.calls[number]
	if !ok {
		return nil
	}
	c := &Call{Name: k.name, Args: args, Thread: thread, FD: -1}
	switch k.shape {
	case onFD:
		c.FD = int(int32(args[0])) // #nosec G115 -- as the kernel reads it
		c.Path = t.descriptor(c.FD)
	case onName:
		c.Path = t.named(args[0], args[1])
	case onTwo:
		c.Path, c.To = t.named(args[0], args[1]), t.named(args[2], args[3])
	}
	return c
}

// descriptor returns what a descriptor of the process is open on, or "".
func (t *Trap) descriptor(fd int) string {
	path, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(t.pid), "fd", strconv.Itoa(fd)))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(path, " (deleted)")
}

// named returns the path that a name makes with a directory of the process.
func (t *Trap) named(dir, address uint64) string {
	name := t.text(address)
	if strings.HasPrefix(name, "/") {
		return name
	}
	base := ""
	if fd := int(int32(dir)); fd == unix.AT_FDCWD { // #nosec G115 -- as the kernel reads it
		base, _ = os.Readlink(filepath.Join("/proc", strconv.Itoa(t.pid), "cwd"))
	} else {
		base = t.descriptor(fd)
	}
	return filepath.Join(base, name)
}

// text reads a string of the process, up to its NUL, a page at a time: what lies behind
// it may not be mapped.
func (t *Trap) text(address uint64) string {
	const page = 4096
	var all []byte
	for len(all) < unix.PathMax {
		part := make([]byte, page-address%page)
		n, err := unix.ProcessVMReadv(t.pid,
			[]unix.Iovec{{Base: &part[0], Len: uint64(len(part))}},
			[]unix.RemoteIovec{{Base: uintptr(address), Len: len(part)}}, 0)
		if err != nil {
			return string(all)
		}
		if end := bytes.IndexByte(part[:n], 0); end >= 0 {
			return string(append(all, part[:end]...))
		}
		all, address = append(all, part[:n]...), address+uint64(n)
	}
	return string(all)
}
