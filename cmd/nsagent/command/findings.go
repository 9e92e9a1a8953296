package command

import (
	"strings"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// found is one thing that was looked at, as people see it.
type found struct {
	level, name string
	// text says what was found, why what follows from it, fix what to type. The last
	// two may be empty.
	text, why, fix string
}

// leastText is how narrow text beside the names of findings may be.
const leastText = 24

// printFound prints what was looked at, each with its reason and what to type below it.
// Where there is little room beside the names, the text is below them.
func (e *env) printFound(all []found) error {
	level, name := 0, 0
	for _, f := range all {
		level, name = max(level, columnsOf(f.level)), max(name, columnsOf(oneLine(f.name)))
	}
	indent := level + name + 4
	below := e.screen.sheet()-indent < leastText
	if below {
		indent = level + 2
	}
	for _, f := range all {
		var lines []string
		for _, text := range []string{f.text, f.why} {
			if text != "" {
				lines = append(lines, wrap(oneLine(text), e.screen.sheet()-indent)...)
			}
		}
		if f.fix != "" {
			lines = append(lines, "-> "+oneLine(f.fix)) // whole, to be copied
		}
		if len(lines) == 0 {
			lines = []string{""} // that it was looked at is something to say, too
		}
		head := e.screen.paint(levelColour(f.level), pad(f.level, level)) + "  " + pad(oneLine(f.name), name) + "  "
		if below {
			lines = append([]string{""}, lines...)
		}
		for _, line := range lines {
			if err := e.print(strings.TrimRight(head+line, " ")); err != nil {
				return err
			}
			head = strings.Repeat(" ", indent)
		}
	}
	return nil
}

// levelColour returns how the word is shown that says how bad a finding is.
func levelColour(level string) colour {
	switch level {
	case "ok", "works":
		return green
	case "warn", "note", "limited", "stale":
		return yellow
	case "problem", "refused", "unreached":
		return red
	default:
		return bold
	}
}

// printChecks prints what the agent looked at, and returns an error if something is
// wrong.
func (e *env) printChecks(r pb.ChecksJSON) error {
	if e.json() {
		if err := e.printJSON(r); err != nil {
			return err
		}
	} else if err := e.printFound(append(foundOf(r.Checks), foundSurfaces(r.Surfaces)...)); err != nil {
		return err
	}
	for _, c := range r.Checks {
		if c.State == "problem" {
			return &client.Error{Code: pb.CodeCheck, Message: "a check found a problem", Why: c.Name + ": " + c.Detail, Next: c.Remedy}
		}
	}
	return nil
}

func foundOf(checks []pb.CheckJSON) []found {
	out := make([]found, 0, len(checks))
	for _, c := range checks {
		out = append(out, found{level: c.State, name: c.Name, text: c.Detail, fix: c.Remedy})
	}
	return out
}
