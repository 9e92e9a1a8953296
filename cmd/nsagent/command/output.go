package command

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// sink is stdout. It keeps the first failure, so that no output is lost in silence
// where the writer does not look, as that of help does not.
type sink struct {
	w   io.Writer
	err error
}

// Write writes b, unless an earlier write has failed.
func (s *sink) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(b)
	s.err = err
	return n, err
}

// failed returns the first failure in the form of an error for people.
func (s *sink) failed() error {
	if s.err == nil {
		return nil
	}
	return fmt.Errorf("writing the output: %w", s.err)
}

// printJSON writes v as a document of its own; jsonl puts it on one line.
func (e *env) printJSON(v any) error {
	opts := []json.Options{jsontext.EscapeForHTML(false), json.Deterministic(true)}
	if e.output == "json" {
		opts = append(opts, jsontext.WithIndent("  "))
	}
	b, err := json.Marshal(v, opts...)
	if err != nil {
		return fmt.Errorf("formatting the output: %w", err)
	}
	defer clear(b) // a token may be in it
	return e.printLine(b)
}

// printLine prints a line of data that may be a secret, without making a string of it.
func (e *env) printLine(line []byte) error {
	_, _ = e.stdout.Write(line)
	return e.print("")
}

// print writes a line of data.
func (e *env) print(line string) error {
	_, _ = io.WriteString(e.stdout, line+"\n")
	return e.stdout.failed()
}

// sheet writes names and values, one a line, long values over several lines.
func (e *env) sheet(rows [][2]string) error {
	width := 0
	for _, r := range rows {
		width = max(width, columnsOf(r[0]))
	}
	for _, r := range rows {
		name := r[0]
		for _, part := range wrap(oneLine(r[1]), e.screen.sheet()-width-2) {
			if err := e.print(strings.TrimRight(pad(name, width)+"  "+part, " ")); err != nil {
				return err
			}
			name = ""
		}
	}
	return nil
}

// wrap breaks s between words into lines of at most width columns. What is to be typed,
// after a colon and two blanks, is as one word: it stays on one line, to be copied.
func wrap(s string, width int) []string {
	lines := []string{""}
	text, command, typed := strings.Cut(s, ":  ")
	words := strings.Split(text, " ")
	if typed {
		words[len(words)-1] += ":"
		words = append(words, " "+command)
	}
	for _, word := range words {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case columnsOf(*last)+1+columnsOf(word) > width:
			lines = append(lines, strings.TrimPrefix(word, " "))
		default:
			*last += " " + word
		}
	}
	return lines
}

// day shows an instant that may be missing, for people: in their own time, which it names.
func day(unix int64, missing string) string {
	if unix == 0 {
		return missing
	}
	return time.Unix(unix, 0).Local().Format("2006-01-02 15:04 MST")
}

// dayOf is day for an instant in the form for programs; "" for none.
func dayOf(form string) string {
	t, err := time.Parse(time.RFC3339, form)
	if err != nil {
		return ""
	}
	return day(t.Unix(), "")
}

// localTime is day for an instant of which seconds count.
func localTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// echo says on stderr which account a use was for.
func (e *env) echo(profile, account, environment string) {
	e.say("nsagent: %s", inWhich(profile, account, environment))
}

// inWhich names a profile, or several of one account, together with account and
// environment, as far as they are known.
func inWhich(profile, account, environment string) string {
	return strings.Join(slices.DeleteFunc([]string{profile, account, strings.ToUpper(environment)}, func(s string) bool { return s == "" }), " · ")
}

// count returns "1 profile", "2 profiles", "1 entry", "2 entries".
func count(n uint64, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(thing, "y"))
	default:
		return fmt.Sprintf("%d %ss", n, thing)
	}
}

// seconds shows a number of seconds the way people say it: 45s, 5m30s, 59m, 12h,
// 7d. From ten minutes on it is rounded to minutes, from two days on to hours.
func seconds(n int64) string {
	d := time.Duration(max(n, 0)) * time.Second
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		d = d.Round(time.Hour)
	case d >= 10*time.Minute:
		d = d.Round(time.Minute)
	}
	s := ""
	if d >= 2*day {
		s = fmt.Sprintf("%dd", d/day)
		d %= day
	}
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / unit.d; n > 0 {
			s += fmt.Sprintf("%d%s", n, unit.name)
		}
		d %= unit.d
	}
	if s == "" {
		return "0s"
	}
	return s
}

// printList writes items in the form that was asked for: one JSON document, one a line, or
// a table, in whose place none says that there is nothing.
func printList[T any](e *env, items []T, none string, table func() [][]string) error {
	switch e.output {
	case "json":
		return e.printJSON(items)
	case "jsonl":
		for _, i := range items {
			if err := e.printJSON(i); err != nil {
				return err
			}
		}
		return nil
	}
	if len(items) == 0 {
		e.say("%s", none)
		return nil
	}
	return e.table(table())
}
