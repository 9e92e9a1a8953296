package atomicfile

import (
	"errors"
	"fmt"
)

// Errors before anything is read or written.
var (
	// ErrUnsafe is what every *UnsafeError wraps: the file or its directory could
	// be changed or read by somebody else, or is not a file at all.
	ErrUnsafe = errors.New("atomicfile: unsafe file")
	// ErrBusy says that another process holds the lock.
	ErrBusy = errors.New("atomicfile: locked by another process")
	// ErrExists refuses to replace a file that was expected not to be there.
	ErrExists = errors.New("atomicfile: file exists")
	// ErrTooLarge says that a file is longer than its reader allows.
	ErrTooLarge = errors.New("atomicfile: file too large")
)

// Errors of a write.
var (
	// ErrVerify says that what was read back is not what was written: the disk,
	// its controller or the memory is at fault. The old file is untouched.
	ErrVerify = errors.New("atomicfile: data read back differ from data written")
)

// UnsafeError says why a file or directory is refused and what to do about it. It
// wraps ErrUnsafe.
type UnsafeError struct {
	Path   string // the file or directory at fault
	Reason string // a clause such as "is a symbolic link"
	Fix    string // a command or an instruction, without final dot
}

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("%s %s (fix: %s)", e.Path, e.Reason, e.Fix)
}

// Unwrap returns ErrUnsafe.
func (e *UnsafeError) Unwrap() error { return ErrUnsafe }
