package harden

import (
	"errors"
	"fmt"
)

// ErrUnsupported means that this system cannot confine a process in the way asked
// for.
var ErrUnsupported = errors.New("harden: not available on this system")

// AgentSandbox says which files the agent may use once it is confined.
type AgentSandbox struct {
	// ReadWrite are directories in which files may be made, read, written, renamed
	// and removed, and sockets removed. Each must exist.
	ReadWrite []string
	// ReadOnly are files and directories that may be read. Missing ones are left
	// out.
	ReadOnly []string
}

// NetworkSandbox says what a process that talks to the network may use.
type NetworkSandbox struct {
	// ReadOnly are files and directories that may be read: those of name resolution.
	// Missing ones are left out. None may be written.
	ReadOnly []string
	// Ports are the TCP ports that may be connected to; nil means all. Kernels before
	// 6.7 do not know this limit.
	Ports []uint16
}

// Report says what holds for this process.
type Report struct {
	// NonDumpable is true where other processes of the user cannot read or trace
	// this one, and it leaves no core file.
	NonDumpable bool
	// NoNewPrivs is true where no program that it starts can gain rights.
	NoNewPrivs bool
	// LandlockABI is the version in force; 0 means that files are not confined.
	LandlockABI int
	// Seccomp is true where the system calls are filtered on every thread.
	Seccomp bool
	// Why says what is missing and why, a sentence each.
	Why []string
}

// Sentences says in plain words what holds and what is missing, for status.
func (r Report) Sentences() []string {
	var s []string
	if r.NonDumpable {
		s = append(s, "other processes of this user cannot read its memory, and it leaves no core file")
	}
	if r.Seccomp {
		s = append(s, "it cannot start a program, trace a process or open a socket (seccomp, all threads)")
	}
	if r.LandlockABI > 0 {
		s = append(s, fmt.Sprintf("it cannot open files outside its own directories (Landlock ABI %d)", r.LandlockABI))
	}
	return append(s, r.Why...)
}

// missing adds a sentence on what is not there.
func (r *Report) missing(format string, args ...any) {
	r.Why = append(r.Why, fmt.Sprintf(format, args...))
}
