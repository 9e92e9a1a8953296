package supervise

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// copyMode lets the owner execute and do nothing else.
	copyMode = 0o100
	// copyDescriptor is the lowest number of the copy. While a child is made, the
	// numbers of its own descriptors and a few above ours are taken; the copy, by
	// which it is executed, has to be out of the way.
	copyDescriptor = 256
)

// unreadableCopy copies an executable to memory, where it can be executed by its
// owner, not read, and not changed any more.
func unreadableCopy(exe string) (*os.File, error) {
	from, err := os.Open(exe) // #nosec G304 -- this very program
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }()
	size, err := loadedSize(from)
	if err != nil {
		return nil, err
	}
	to, err := memoryFile()
	if err != nil {
		return nil, err
	}
	if err := fill(to, from, size); err != nil {
		_ = to.Close()
		return nil, fmt.Errorf("copying the program: %w", err)
	}
	return to, nil
}

// memoryFile returns an empty file in memory that may be sealed and executed.
func memoryFile() (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	low, err := unix.MemfdCreate("nsagent", flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // Linux before 6.3, where each may be executed
		low, err = unix.MemfdCreate("nsagent", flags)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(low) }()
	fd, err := unix.FcntlInt(uintptr(low), unix.F_DUPFD_CLOEXEC, copyDescriptor) // #nosec G115 -- a descriptor fits
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "program"), nil // #nosec G115 -- a descriptor fits
}

// loadedSize returns how much of an executable is needed to run it: what comes after the
// last segment, such as tables for a debugger, may be a third of it.
func loadedSize(f *os.File) (int64, error) {
	e, err := elf.NewFile(f)
	if err != nil {
		return 0, err
	}
	var size uint64
	for _, p := range e.Progs {
		size = max(size, p.Off+p.Filesz)
	}
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if size == 0 || size > uint64(fi.Size()) { // #nosec G115 -- a size is not negative
		return 0, io.ErrUnexpectedEOF
	}
	return int64(size), nil // #nosec G115 -- not above the size of the file
}

// fill copies the first size bytes, takes away the right to read and seals the file.
func fill(to, from *os.File, size int64) error {
	in, out := int(from.Fd()), int(to.Fd()) // #nosec G115 -- descriptors fit
	var off int64
	for off < size {
		n, err := unix.Sendfile(out, in, &off, int(size-off))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
	}
	if err := to.Chmod(copyMode); err != nil {
		return err
	}
	_, err := unix.FcntlInt(to.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	return err
}
