package secret

import (
	"errors"
	"fmt"

	"github.com/awnumar/memguard"
)

// region is one range of locked memory. The bytes are reached through a function
// and not kept in a slice field, so that nothing that walks structs by
// reflection comes across them.
type region struct {
	mode    Mode
	why     string
	size    int
	bytes   func(off, n int) []byte // capped at n; off and n are in range
	release func() error            // wipes and unmaps
}

func view(mem []byte) func(off, n int) []byte {
	return func(off, n int) []byte { return mem[off : off+n : off+n] }
}

// mlockRegion makes a region of one memguard buffer. Past the limit memguard
// panics, and before that wipes every other buffer of the process, so size must
// have been tried out by lockable; the recover is for a limit that another
// thread reached in between.
func mlockRegion(size int, why string) (r *region, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("%w: locking %d KiB was refused", ErrMemlock, size>>10)
		}
	}()
	lb := memguard.NewBuffer(size)
	mem := lb.Bytes()
	if len(mem) != size {
		lb.Destroy()
		return nil, fmt.Errorf("%w: locking %d KiB was refused", ErrMemlock, size>>10)
	}
	noFork(mem)
	return &region{
		mode: ModeMlock, why: why, size: size, bytes: view(mem),
		release: func() (err error) {
			defer func() {
				if recover() != nil {
					err = errors.New("guard pages were written to")
				}
			}()
			lb.Destroy()
			return nil
		},
	}, nil
}

func checkMode(m Mode) (Mode, error) {
	switch m {
	case "":
		return ModeAuto, nil
	case ModeAuto, ModeMemfdSecret, ModeMlock:
		return m, nil
	default:
		return "", fmt.Errorf("%w: %q, want auto, memfd_secret or mlock", ErrMode, string(m))
	}
}

// roundSize rounds a size up to whole pages and the useful minimum.
func roundSize(n, page int) int {
	n = max(n, minSize)
	return (n + page - 1) / page * page
}
