//go:build !linux

package secret

import "os"

// host is empty where there is nothing to choose.
type host struct{}

func thisHost() host { return host{} }

// otherSize is what is locked where no limit can be asked for in advance:
// Windows allows some 200 KiB by default.
const otherSize = 128 << 10

// newRegion makes a region in the only mode there is.
func newRegion(cfg ArenaConfig, _ host) (*region, error) {
	mode, err := checkMode(cfg.Mode)
	if err != nil {
		return nil, err
	}
	if mode == ModeMemfdSecret {
		return nil, ErrMode
	}
	size := cfg.Size
	if size <= 0 {
		size = otherSize
	}
	return mlockRegion(roundSize(size, os.Getpagesize()), "the only mode on this system")
}

func noFork([]byte) {}
