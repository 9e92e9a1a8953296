//go:build amd64 || arm64 || riscv64

package secret

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memfdRegion makes a region of memfd_secret(2) memory between two guard pages.
func memfdRegion(size int, why string, b budget) (*region, error) {
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%w: memfd_secret: %v", ErrMode, err)
	}
	defer func() { _ = unix.Close(fd) }() // the mapping keeps the memory
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, fmt.Errorf("%w: sizing memfd_secret: %v", ErrMode, err)
	}
	// Reserve the range with its guards, then put the memory in the middle.
	page := os.Getpagesize()
	whole, err := unix.MmapPtr(-1, 0, nil, uintptr(size+2*page), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("reserving the arena: %w", err)
	}
	unmap := func() error { return unix.MunmapPtr(whole, uintptr(size+2*page)) }
	at := unsafe.Add(whole, page)
	if _, err := unix.MmapPtr(fd, 0, at, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
		_ = unmap()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM) {
			return nil, b.refused(size, err)
		}
		return nil, fmt.Errorf("%w: mapping memfd_secret: %v", ErrMode, err)
	}
	mem := unsafe.Slice((*byte)(at), size)
	// Already so by its kind; said again for kernels that forget.
	_ = unix.Madvise(mem, unix.MADV_DONTDUMP)
	noFork(mem)
	if err := kernelCopies(mem[:page]); err != nil {
		_ = unmap()
		return nil, fmt.Errorf("%w: memfd_secret: %v", ErrMode, err)
	}
	return &region{
		mode: ModeMemfdSecret, why: why, size: size, bytes: view(mem),
		// Every range was wiped when it was given back, and the kernel clears
		// these pages when it frees them. Wiping all of them here would first
		// make those exist that were never used, 20 µs each.
		release: unmap,
	}, nil
}

// kernelCopies checks that read(2) and write(2) work on the memory, which the
// manual page of memfd_secret does not promise. It leaves mem zero.
func kernelCopies(mem []byte) error {
	defer Wipe(mem)
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	defer func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) }()
	const n = 64
	_, _ = rand.Read(mem[:n])
	if w, err := unix.Write(fds[1], mem[:n]); err != nil || w != n {
		return fmt.Errorf("write(2) from it does not work: %v", err)
	}
	if r, err := unix.Read(fds[0], mem[n:2*n]); err != nil || r != n {
		return fmt.Errorf("read(2) into it does not work: %v", err)
	}
	if !bytes.Equal(mem[:n], mem[n:2*n]) {
		return errors.New("it does not hold what was written")
	}
	return nil
}
