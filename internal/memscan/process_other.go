//go:build !linux

package memscan

// Scan returns ErrUnsupported: the memory of another process can only be read
// on Linux.
func Scan(int, []Needle) (Report, error) { return Report{}, ErrUnsupported }

// Process returns ErrUnsupported.
func (s *Scanner) Process(int) (Report, error) { return Report{}, ErrUnsupported }

// Stopped returns ErrUnsupported.
func Stopped(int, func() error) error { return ErrUnsupported }
