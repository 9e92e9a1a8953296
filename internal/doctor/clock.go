package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// allowed is how far a clock may be off before NetSuite refuses its signatures.
const allowed = 5 * time.Minute

// setClock is what to type about a clock.
const setClock = "start a time service:  timedatectl set-ntp true   (or install chrony)"

// Mark is an instant that has been on this machine, so that no clock that is right
// shows an earlier one.
type Mark struct {
	Time time.Time
	What string // such as "the vault was last written"
}

// Modified returns when a file was last written, as a mark; false where there is
// none.
func Modified(path, what string) (Mark, bool) {
	fi, err := os.Lstat(path)
	if err != nil {
		return Mark{}, false
	}
	return Mark{fi.ModTime(), what}, true
}

// Clock judges the clock by what can be known without a network: what the kernel
// says about its discipline, the battery-backed clock, and what was seen before.
func (h Host) Clock(marks []Mark) []Finding {
	now := time.Now()
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	steady := err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
	out := []Finding{discipline(steady, err, time.Duration(t.Maxerror)*time.Microsecond)}
	if rtc, err := h.rtc(); err == nil {
		out = append(out, battery(now.Sub(rtc), steady))
	} else if !errors.Is(err, fs.ErrNotExist) {
		out = append(out, ok("clock.rtc", "the battery-backed clock cannot be read"))
	}
	return append(out, seen(now, marks))
}

// discipline judges what the kernel says about the clock.
func discipline(steady bool, err error, within time.Duration) Finding {
	const check = "clock.sync"
	switch {
	case err != nil:
		return warn(check, "the kernel does not say whether the clock is kept in step", "NetSuite refuses a signature that is more than five minutes off", setClock)
	case !steady:
		return warn(check, "nothing keeps the clock in step", "NetSuite refuses a signature that is more than five minutes off", setClock)
	case within > allowed:
		return problem(check, fmt.Sprintf("the clock may be off by %s", within.Round(time.Second)), "NetSuite refuses a signature that is more than five minutes off", setClock)
	default:
		return ok(check, fmt.Sprintf("kept in step, within %s", max(within, time.Millisecond).Round(time.Millisecond)))
	}
}

// rtc returns what the battery-backed clock shows.
func (h Host) rtc() (time.Time, error) {
	b, err := os.ReadFile(h.path("/sys/class/rtc/rtc0/since_epoch"))
	if err != nil {
		return time.Time{}, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the battery-backed clock: %w", err)
	}
	return time.Unix(n, 0), nil
}

// battery judges how far the clock is ahead of the battery-backed one. That one may
// run in local time, where another system on the machine wants it so.
func battery(ahead time.Duration, steady bool) Finding {
	const check = "clock.rtc"
	const zone, slack = 15 * time.Minute, 2 * time.Minute
	off := ahead.Abs()
	rest := (off + zone/2) % zone
	local := off <= 14*time.Hour && off > zone/2 && (rest-zone/2).Abs() <= slack
	switch {
	case off <= allowed:
		return ok(check, "agrees with the battery-backed clock")
	case steady:
		return ok(check, fmt.Sprintf("the battery-backed clock is %s off; the one that counts is kept in step", off.Round(time.Second)))
	case local:
		return ok(check, fmt.Sprintf("the battery-backed clock is %s off, as one in local time is", off.Round(time.Minute)))
	default:
		return problem(check, fmt.Sprintf("the clock and the battery-backed one differ by %s", off.Round(time.Second)), "one of them is wrong, and nothing keeps the clock in step", setClock)
	}
}

// seen judges the clock by what it has shown before.
func seen(now time.Time, marks []Mark) Finding {
	const check = "clock.seen"
	worst := Mark{Time: now.Add(allowed)}
	for _, m := range marks {
		if m.Time.After(worst.Time) {
			worst = m
		}
	}
	if worst.What == "" {
		return ok(check, "not behind anything that was seen before")
	}
	return problem(check, fmt.Sprintf("the clock is %s behind: then %s", worst.Time.Sub(now).Round(time.Second), worst.What),
		"it was set back, or it was ahead then", setClock)
}
