package term

import (
	"os"

	"golang.org/x/term"
)

// usualWidth is how wide a terminal is that does not say, as one over a serial line.
const usualWidth = 80

// Width returns how many columns the terminal at f has, and whether f is one.
func Width(f *os.File) (columns int, terminal bool) {
	fd := int(f.Fd()) // #nosec G115 -- a descriptor fits
	if !term.IsTerminal(fd) {
		return 0, false
	}
	columns, _, err := term.GetSize(fd)
	if err != nil || columns <= 0 {
		return usualWidth, true
	}
	return columns, true
}
