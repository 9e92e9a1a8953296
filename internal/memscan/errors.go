package memscan

import "errors"

var (
	// ErrNeedle says that a needle is shorter than MinNeedle.
	ErrNeedle = errors.New("memscan: needle too short")
	// ErrNoNeedles says that there is nothing to look for, so that a scan would
	// succeed without meaning anything.
	ErrNoNeedles = errors.New("memscan: no needles")
	// ErrSelf says that a process was asked to scan itself and its own needles.
	ErrSelf = errors.New("memscan: a process cannot scan itself")
	// ErrPermission says that the memory of the process may not be read; scanning
	// needs root.
	ErrPermission = errors.New("memscan: may not read the memory of the process")
	// ErrGone says that the process ended, before or during the scan.
	ErrGone = errors.New("memscan: process is gone")
	// ErrUnsupported says that this system has no /proc/PID/mem.
	ErrUnsupported = errors.New("memscan: needs Linux")
)
