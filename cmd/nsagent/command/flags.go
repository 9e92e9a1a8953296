package command

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsagent/nsagent/internal/nearest"
)

// takes returns a check that a command gets the arguments that it names and no others;
// the last ones may be left out if they stand in brackets, as in the usage line. The
// message repeats no argument: it may be a secret in the wrong place.
func takes(names ...string) cobra.PositionalArgs {
	needed, sep := len(names), " and "
	for needed > 0 && strings.HasPrefix(names[needed-1], "[") {
		needed, sep = needed-1, " "
	}
	all := strings.Join(names, sep)
	return func(c *cobra.Command, args []string) error {
		command := strings.TrimPrefix(c.CommandPath(), "nsagent ")
		see := "see:  " + c.CommandPath() + " --help"
		switch {
		case len(args) < needed:
			return usage(names[len(args)]+" is missing", command+" takes "+all, see)
		case len(args) > len(names) && len(names) == 0:
			return usage(command+" takes no arguments", "nothing but flags may stand behind it", see)
		case len(args) > len(names):
			return usage("too many arguments", command+" takes "+all+" only; quote it if it has blanks", see)
		default:
			return nil
		}
	}
}

// takesCertificateID is the annotation of a command whose argument is the ID of a
// certificate.
const takesCertificateID = "certificate-id"

// dashedIDsLast puts the ID of a certificate that begins with a dash, as one in 64 does,
// where it is taken for an argument and no flag. No flag looks like one.
func dashedIDsLast(root *cobra.Command, args []string) []string {
	if c, _, err := root.Find(args); err != nil || c.Annotations[takesCertificateID] == "" || slices.Contains(args, "--") {
		return args
	}
	ids, others := []string{"--"}, []string(nil)
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") && isCertificateID(arg) {
			ids = append(ids, arg)
		} else {
			others = append(others, arg)
		}
	}
	return append(others, ids...)
}

// isCertificateID reports whether s is of the form of the ID that NetSuite gives a
// certificate: a SHA-256 hash in base64url.
func isCertificateID(s string) bool {
	b, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// flagError puts what the flag parser says into other words. It never repeats the
// value of a flag, and tells of one that is an unlock token.
func flagError(c *cobra.Command, err error) error {
	see := "see:  " + c.CommandPath() + " --help"
	// The types of these errors belong to a module that only cobra imports.
	var value interface{ GetValue() string }
	var named interface{ GetSpecifiedName() string }
	switch {
	case errors.As(err, &value):
		if token := tokenAmong(value.GetValue()); token != nil {
			return token
		}
		flag, cause, _ := strings.Cut(afterLast(err.Error(), `" for "`), `" flag: `)
		if flag == "" {
			flag = "the flag"
		}
		if example := valueExample(cause); example != "" {
			see = "as in:  " + afterLast(" "+flag, " ") + " " + example
		}
		return usage("wrong value for "+flag, valueFault(cause), see)
	case errors.As(err, &named):
		name := named.GetSpecifiedName()
		if token := tokenAmong(name); token != nil {
			return token
		}
		if strings.HasPrefix(err.Error(), "flag needs an argument") {
			return usage(dashes(name)+" needs a value", "nothing stands behind it", see)
		}
		return usage("unknown flag "+dashes(name), cmp.Or(flagHint(c, name), c.CommandPath()+" has none of that name"), see)
	default:
		return usage("a flag is not well-formed", "it is written --name VALUE or --name=VALUE", see)
	}
}

func afterLast(s, sep string) string {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[i+len(sep):]
	}
	return ""
}

// valueFault says what a flag takes, from the parser's complaint.
func valueFault(cause string) string {
	switch {
	case slices.Contains([]string{errDuration.Error(), errPositive.Error(), errMoment.Error(), errSeq.Error(), errBeginning.Error(), errRate.Error()}, cause):
		return cause
	case strings.Contains(cause, "ParseInt"), strings.Contains(cause, "ParseUint"):
		return "it takes a number"
	case strings.Contains(cause, "ParseBool"):
		return "it takes true or false"
	default:
		return "that is none that it takes"
	}
}

// valueExample is a value that a flag takes, by the parser's complaint; "" where that does not
// tell.
func valueExample(cause string) string {
	return map[string]string{
		errDuration.Error(): "8h", errPositive.Error(): "10", errMoment.Error(): "24h", errBeginning.Error(): "2026-12-01T06:00", errRate.Error(): "200/h",
	}[cause]
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return fmt.Sprintf("--%.40s", name)
}

// flagHint asks whether another flag was meant, or says why there is none.
func flagHint(c *cobra.Command, name string) string {
	if len(name) == 1 {
		return ""
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	hint := secretHint(name)
	begins := func(flag string) bool { return strings.HasPrefix(flag, name) }
	if hint != "" && slices.ContainsFunc(names, begins) {
		return hint // one such as --passphrase is meant to take the value itself
	}
	if near := nearest.Name(name, names); near != "" && (hint == "" || secretHint(near) != "") {
		return didYouMean("--" + near)
	}
	return hint
}

// secretHint tells people who look for a flag that takes a secret why there is
// none. One that names a file or a descriptor would take none: other commands have it.
func secretHint(name string) string {
	if strings.HasSuffix(name, "-file") || strings.HasSuffix(name, "-fd") {
		return ""
	}
	for _, word := range []string{"secret", "pass", "token", "key", "pin"} {
		if strings.Contains(strings.ToLower(name), word) {
			return "no flag takes a secret, since others could read it in the list of processes"
		}
	}
	return ""
}

// errDuration says what a duration looks like.
var errDuration = errors.New("it takes a time such as 45m, 8h or 30d")

var errMoment = errors.New("it takes a time ago such as 24h or 30d, or a date such as 2026-11-28 or 2026-11-28T09:30")

// moment is a flag for a point in time: so long ago, or a date.
type moment time.Time

// Set reads 8h, 30d, 2026-11-28, 2026-11-28T09:30, or a time with its zone.
func (m *moment) Set(s string) error {
	if ago, err := parseSpan(s); err == nil {
		*m = moment(time.Now().Add(-ago))
		return nil
	}
	t, ok := parseDate(s)
	if !ok {
		return errMoment
	}
	*m = moment(t)
	return nil
}

// parseDate reads 2026-11-28, 2026-11-28T09:30, or a time with its zone.
func parseDate(s string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, true
	}
	for _, layout := range []string{time.DateOnly, time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// String returns the value as it is shown in the help.
func (m *moment) String() string {
	if t := time.Time(*m); !t.IsZero() {
		return t.Format(time.RFC3339)
	}
	return ""
}

// Type names the value in the help.
func (m *moment) Type() string { return "time" }

// duration is a flag that also knows days. It does not take 0, which would count as not
// given.
type duration time.Duration

// Set reads a time such as 90s, 8h or 30d.
func (d *duration) Set(s string) error {
	v, err := parseSpan(s)
	if err == nil && v == 0 {
		err = errDuration
	}
	if err == nil {
		*d = duration(v)
	}
	return err
}

// parseSpan reads a time such as 0s, 90s, 8h or 30d.
func parseSpan(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errDuration
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return 0, errDuration
	}
	return v, nil
}

// String returns the value as it is shown in the help.
func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return time.Duration(*d).String()
}

// Type names the value in the help.
func (d *duration) Type() string { return "time" }

// errPositive says what a number of things looks like.
var errPositive = errors.New("it takes a number, 1 or more")

// positive is a flag for a number of things. It does not take 0, which would count as not given.
type positive uint64

// Set reads a number.
func (n *positive) Set(s string) error {
	v, err := strconv.ParseUint(s, 10, strconv.IntSize-1)
	if err != nil || v == 0 {
		return errPositive
	}
	*n = positive(v)
	return nil
}

// String returns the value as it is shown in the help.
func (n *positive) String() string {
	if *n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(*n), 10)
}

// Type names the value in the help.
func (n *positive) Type() string { return "number" }

// rotateAfter is a flag for an age, or never.
type rotateAfter struct {
	seconds int64
	given   bool
}

// Set reads an age such as 180d, or never.
func (r *rotateAfter) Set(s string) error {
	var d duration
	if s != "never" {
		if err := d.Set(s); err != nil {
			return err
		}
	}
	r.seconds, r.given = int64(time.Duration(d)/time.Second), true
	return nil
}

// String returns the value as it is shown in the help.
func (r *rotateAfter) String() string { return "" }

// Type names the value in the help.
func (r *rotateAfter) Type() string { return "time" }
