package term

import (
	"errors"
	"fmt"

	"rsc.io/qr/coding"

	"github.com/nsagent/nsagent/internal/secret"
)

// quietZone is how many light modules stand around a QR code on each side (ISO/IEC 18004
// section 9.1).
const quietZone = 4

// qrLevel corrects the fewest errors: a screen has no stains, and a smaller code fits
// more terminals.
const qrLevel = coding.L

// octets is a text in the byte mode of a QR code (ISO/IEC 18004 section 8.4.4). The
// library's own type for that is a string, of which a copy would stay in memory.
type octets []byte

func (octets) Check() error { return nil }

// lengthBits returns how many bits say how long a text is.
func lengthBits(v coding.Version) int {
	if v < 10 {
		return 8
	}
	return 16
}

func (o octets) Bits(v coding.Version) int { return 4 + lengthBits(v) + 8*len(o) }

func (o octets) Encode(b *coding.Bits, v coding.Version) {
	b.Write(4, 4)
	b.Write(uint(len(o)), lengthBits(v))
	for _, c := range o {
		b.Write(uint(c), 8)
	}
}

// ErrNarrow means that a QR code is wider than the terminal.
var ErrNarrow = errors.New("term: terminal too narrow")

// QR shows a text as a QR code, two modules above each other in one character. Where there
// are colours it is black on white, whatever the colours of the terminal are; else it is
// drawn for a terminal that shows light text on dark. The code stays in arena.
func (t *TTY) QR(arena *secret.Arena, text secret.Bytes, colours bool) error {
	modules, size, err := encodeQR(arena, text)
	if err != nil {
		return fmt.Errorf("drawing a QR code: %w", err)
	}
	defer modules.Destroy()
	if columns, known := Width(t.f); known && columns < size+2*quietZone {
		return ErrNarrow
	}
	return modules.Use(func(p []byte) error {
		dark := func(x, y int) bool {
			x, y = x-quietZone, y-quietZone
			return x >= 0 && y >= 0 && x < size && y < size && p[y*size+x] == 1
		}
		for y := 0; y < size+2*quietZone; y += 2 {
			row := appendRow(nil, size+2*quietZone, colours, func(x int) (upper, lower bool) { return dark(x, y), dark(x, y+1) })
			if _, err := t.Write(row); err != nil {
				return err
			}
		}
		return nil
	})
}

// appendRow appends two rows of modules as one line of text.
func appendRow(b []byte, width int, colours bool, at func(x int) (upper, lower bool)) []byte {
	if colours {
		b = append(b, "\x1b[38;5;16;48;5;231m"...)
	}
	for x := range width {
		upper, lower := at(x)
		if !colours { // what is drawn is light
			upper, lower = !upper, !lower
		}
		switch {
		case upper && lower:
			b = append(b, "█"...)
		case upper:
			b = append(b, "▀"...)
		case lower:
			b = append(b, "▄"...)
		default:
			b = append(b, ' ')
		}
	}
	if colours {
		b = append(b, "\x1b[0m"...)
	}
	return append(b, '\n')
}

// encodeQR returns the modules of the smallest code for text, row by row, 1 for a dark
// one, and how many there are on a side. The caller destroys them.
func encodeQR(arena *secret.Arena, text secret.Bytes) (modules secret.Bytes, size int, err error) {
	err = text.Use(func(p []byte) error {
		version := coding.Version(coding.MinVersion)
		for octets(p).Bits(version) > version.DataBytes(qrLevel)*8 {
			if version++; version > coding.MaxVersion {
				return ErrTooLong
			}
		}
		plan, err := coding.NewPlan(version, qrLevel, 0)
		if err != nil {
			return err
		}
		size = len(plan.Pixel)
		if modules, err = arena.Alloc(size * size); err != nil {
			return err
		}
		return modules.Use(func(q []byte) (err error) {
			secret.Do(func() {
				var code *coding.Code
				if code, err = plan.Encode(octets(p)); err != nil {
					return
				}
				for i := range q {
					if code.Black(i%size, i/size) {
						q[i] = 1
					}
				}
			})
			return err
		})
	})
	if err != nil {
		modules.Destroy()
		return secret.Bytes{}, 0, err
	}
	return modules, size, nil
}
