//go:build !linux

package term

import (
	"errors"
	"os"
)

// file finds no file of the terminal where there is no TIOCGDEV: nobody waits for a turn.
func (t *TTY) file() (*os.File, error) { return nil, errors.ErrUnsupported }

// drain does nothing: without a turn, a process may be stopped where it asks.
func drain(*os.File) error { return nil }
