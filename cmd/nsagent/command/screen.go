package command

import (
	"os"
	"strings"
	"unicode"

	"golang.org/x/text/width"

	"github.com/nsagent/nsagent/internal/term"
)

// screen is what is known of where output goes. The zero value is no terminal:
// nothing is cut, and nothing coloured.
type screen struct {
	columns int // 0: no terminal
	colours bool
}

// screenOf returns what is known of an output.
func screenOf(f *os.File, getenv func(string) string) screen {
	columns, terminal := term.Width(f)
	if !terminal {
		return screen{}
	}
	return screen{columns, colourful(getenv)}
}

// colourful reports whether a terminal is to be shown colours.
func colourful(getenv func(string) string) bool {
	kind := getenv("TERM")
	return kind != "" && kind != "dumb" && getenv("NO_COLOR") == ""
}

// colour is a way to show text on a terminal (ECMA-48, SGR).
type colour string

const (
	bold   colour = "1"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
)

// paint shows s in a colour where there are any.
func (s screen) paint(c colour, text string) string {
	if !s.colours {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

const (
	// sheetWidth is how wide lines of text are where there is room.
	sheetWidth = 100
	// leastWidth is below which lines of text are not narrowed: a terminal breaks
	// them better.
	leastWidth = 40
)

// sheet returns how wide lines of text are to be, where words allow it.
func (s screen) sheet() int {
	if s.columns == 0 {
		return sheetWidth
	}
	return min(max(s.columns, leastWidth), sheetWidth)
}

// columnsOf returns how many columns of a terminal text takes: none for what is put
// onto the character before, two for the wide characters of East Asia and for emoji.
func columnsOf(text string) int {
	n := 0
	for _, r := range text {
		n += columnsOfRune(r)
	}
	return n
}

func columnsOfRune(r rune) int {
	switch {
	case r < 0x300: // nearly always, and quickly
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// cut shortens text to a number of columns; where something is missing it ends in
// an ellipsis.
func cut(text string, columns int) string {
	if columnsOf(text) <= columns {
		return text
	}
	var b strings.Builder
	left := columns - 1
	for _, r := range text {
		if left -= columnsOfRune(r); left < 0 {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimRight(b.String(), " ") + "…"
}

// pad fills text up with blanks to a number of columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-columnsOf(text)))
}
