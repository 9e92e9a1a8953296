//go:build !unix

package tokenenv

import (
	"errors"
	"os"
)

// takeDescriptor refuses: processes of this system are given no descriptors by number.
func takeDescriptor(int, string) (*os.File, error) { return nil, errors.ErrUnsupported }
