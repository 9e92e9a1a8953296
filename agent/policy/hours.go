package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // so that zones mean the same on every machine, and in the agent's sandbox
)

// Hours are times of the week in a time zone, by the clock on the wall there: where the
// clock is put forward, the hour that is left out does not come, and where it is put
// back, the hour that comes twice counts twice.
type Hours struct {
	text string
	days [7]bool // by time.Weekday, on which the time begins
	// from and to are minutes of the day: from is in, to is out. Where to is not after
	// from, the time ends on the next day.
	from, to int
	zone     *time.Location
}

// String returns the hours as they stand in the policy.
func (h Hours) String() string { return h.text }

var errHours = errors.New(`hours look like "Mon-Fri 06:00-20:00 Europe/Berlin", or "Sat,Sun 22:00-06:00 UTC"`)

// parseHours reads "DAYS HH:MM-HH:MM ZONE".
func parseHours(text string) (h Hours, err error) {
	h.text = text
	parts := strings.Split(text, " ")
	if len(parts) != 3 {
		return h, errHours
	}
	from, to, ok := strings.Cut(parts[1], "-")
	if !ok || !h.parseDays(parts[0]) {
		return h, errHours
	}
	if h.from, ok = minutes(from); !ok || h.from == 24*60 {
		return h, errHours
	}
	if h.to, ok = minutes(to); !ok || h.to == h.from {
		return h, errHours
	}
	// What "Local" means depends on the machine.
	if h.zone, err = time.LoadLocation(parts[2]); err != nil || parts[2] == "Local" || parts[2] == "" {
		return h, fmt.Errorf("there is no time zone %.40q: it is a name such as Europe/Berlin, or UTC", parts[2])
	}
	return h, nil
}

// parseDays reads days and ranges of days, with commas between.
func (h *Hours) parseDays(text string) bool {
	for part := range strings.SplitSeq(text, ",") {
		a, b, ranged := strings.Cut(part, "-")
		if !ranged {
			b = a
		}
		first, ok1 := weekday(a)
		last, ok2 := weekday(b)
		if !ok1 || !ok2 {
			return false
		}
		for d := first; ; d = (d + 1) % 7 {
			if h.days[d] {
				return false // twice
			}
			h.days[d] = true
			if d == last {
				break
			}
		}
	}
	return true
}

func weekday(name string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if d.String()[:3] == name {
			return d, true
		}
	}
	return 0, false
}

// minutes reads "HH:MM", up to "24:00".
func minutes(text string) (int, bool) {
	if text == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil && len(text) == len("15:04")
}

// holds reports whether t is within h.
func (h *Hours) holds(t time.Time) bool {
	t = t.In(h.zone)
	now, today := t.Hour()*60+t.Minute(), t.Weekday()
	if h.from < h.to {
		return h.days[today] && now >= h.from && now < h.to
	}
	return h.days[today] && now >= h.from || h.days[(today+6)%7] && now < h.to
}
