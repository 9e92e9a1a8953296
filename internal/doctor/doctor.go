// Package doctor looks at what nsagent needs of the machine it runs on, and says of
// each thing whether it is well, why not, and what to type. It changes nothing, and
// needs no right that a normal user lacks.
//
// What is true of the agent, the vault and the keyring is for its caller to add.
package doctor

import (
	"path/filepath"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	// OK is as it should be.
	OK Level = "ok"
	// Warn works, with less protection or less comfort than there could be.
	Warn Level = "warn"
	// Problem keeps something from working, or lets somebody else in.
	Problem Level = "problem"
)

// Finding is what a check found out.
type Finding struct {
	// Check is the stable name of the check, such as "clock.rtc".
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Text says what was found, in one line.
	Text string `json:"text"`
	// Why says what follows from it, where that is not plain. May be empty.
	Why string `json:"why,omitempty"`
	// Fix is what to type or do. Problems and warnings have one.
	Fix string `json:"fix,omitempty"`
}

// Host is the machine, as the kernel shows it. The zero value is the real one.
type Host struct {
	// Root stands before /proc and /sys; empty except in tests.
	Root string
}

func (h Host) path(name string) string { return filepath.Join("/", h.Root, name) }

// ok returns a finding with nothing to do.
func ok(check, text string) Finding { return Finding{Check: check, Level: OK, Text: text} }

// warn and problem return findings with something to do.
func warn(check, text, why, fix string) Finding {
	return Finding{Check: check, Level: Warn, Text: text, Why: why, Fix: fix}
}

func problem(check, text, why, fix string) Finding {
	return Finding{Check: check, Level: Problem, Text: text, Why: why, Fix: fix}
}
