//go:build !amd64 && !arm64 && !riscv64

package secret

import "fmt"

// memfdRegion refuses: this architecture has no memfd_secret(2).
func memfdRegion(int, string, budget) (*region, error) {
	return nil, fmt.Errorf("%w: memfd_secret: this architecture does not have it", ErrMode)
}
