//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// openAppend refuses: without flock and owners a log cannot be kept safe here. Reading
// and verifying work everywhere.
func openAppend(path string) (f *os.File, created bool, err error) {
	return nil, false, fmt.Errorf("audit: opening %s: %w on this system", path, errors.ErrUnsupported)
}

func openPrivate(path string) (f *os.File, created bool, err error) { return openAppend(path) }

func openRead(path string) (*os.File, error) { return os.Open(path) }

func ours(fs.FileInfo) bool { return false }
