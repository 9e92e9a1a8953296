package secret

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// newRegion picks mode and size and makes the region.
func newRegion(cfg ArenaConfig, h host) (*region, error) {
	mode, err := checkMode(cfg.Mode)
	if err != nil {
		return nil, err
	}
	page := os.Getpagesize()
	b, err := h.budget()
	if err != nil {
		return nil, err
	}
	size, err := b.size(cfg.Size, page)
	if err != nil {
		return nil, err
	}

	why := "asked for"
	if mode == ModeAuto {
		if resume, on := h.hibernation(); on {
			mode, why = ModeMlock, "hibernation is set up (resume device "+resume+") and memfd_secret would prevent it"
		}
	}
	if mode == ModeMlock {
		return lockSmaller(cfg, b, size, page, func(n int) (*region, error) { return mlockProbed(n, why, b) })
	}
	if mode == ModeAuto {
		why = "the kernel offers it, and not even root can read it"
	}
	r, err := lockSmaller(cfg, b, size, page, func(n int) (*region, error) { return h.memfd(n, why, b) })
	if err == nil || errors.Is(err, ErrMemlock) || mode == ModeMemfdSecret {
		return r, err
	}
	why = err.Error()
	return lockSmaller(cfg, b, size, page, func(n int) (*region, error) { return mlockProbed(n, why, b) })
}

// lockSmaller tries a size and, where the caller left it open, half of it and so
// on down to the minimum: a container may hold less than its limits say.
func lockSmaller(cfg ArenaConfig, b budget, size, page int, try func(int) (*region, error)) (*region, error) {
	for {
		r, err := try(size)
		if err == nil || cfg.Size != 0 || size <= minSize || !errors.Is(err, ErrMemlock) {
			return r, err
		}
		size = roundSize(size/2, page)
	}
}

// mlockProbed locks and unlocks the same amount itself before memguard does, so
// that memguard never meets the limit. Its guard pages are not locked.
func mlockProbed(size int, why string, b budget) (*region, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, b.refused(size, err)
	}
	err = unix.Mlock(mem)
	if unmap := unix.Munmap(mem); err == nil {
		err = unmap
	}
	if err != nil {
		return nil, b.refused(size, err)
	}
	return mlockRegion(size, why)
}

// noFork keeps the memory out of forked children.
func noFork(mem []byte) { _ = unix.Madvise(mem, unix.MADV_DONTFORK) }
