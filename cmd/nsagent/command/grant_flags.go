package command

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// errBeginning and errRate say what their flags take.
var (
	errBeginning = errors.New("it takes a date such as 2026-12-01 or 2026-12-01T06:00, or with its zone 2026-12-01T06:00:00Z")
	errRate      = errors.New("it takes a number for a second, minute, hour or day: 5/s, 100/m, 200/h, 1000/d")
)

// beginning is a flag for a point in time to come.
type beginning time.Time

// Set reads a date, or a time with its zone.
func (b *beginning) Set(s string) error {
	t, ok := parseDate(s)
	if !ok {
		return errBeginning
	}
	*b = beginning(t)
	return nil
}

// String returns the value as it is shown in the help.
func (b *beginning) String() string {
	if t := time.Time(*b); !t.IsZero() {
		return t.Format(time.RFC3339)
	}
	return ""
}

// Type names the value in the help.
func (b *beginning) Type() string { return "time" }

// rateUnit is what comes behind the slash of a rate.
type rateUnit struct {
	name    string
	seconds uint64
}

var rateUnits = []rateUnit{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 24 * 3600}}

// rate is a flag such as 200/h.
type rate struct{ Count, Seconds uint64 }

// Set reads a number, a slash and a unit.
func (r *rate) Set(s string) error {
	count, unit, ok := strings.Cut(s, "/")
	n, err := strconv.ParseUint(count, 10, 32)
	if !ok || err != nil || n == 0 {
		return errRate
	}
	for _, u := range rateUnits {
		if u.name == unit {
			*r = rate{n, u.seconds}
			return nil
		}
	}
	return errRate
}

// String returns the value as it is shown in the help.
func (r *rate) String() string {
	if r.Count == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%ds", r.Count, r.Seconds)
}

// Type names the value in the help.
func (r *rate) Type() string { return "rate" }
