package harden

import (
	"errors"
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Rights to files under Landlock. None has the right to execute: what the process
// could run is not its own to choose.
const (
	fileRead  = landlock.AccessFSSet(llsys.AccessFSReadFile)
	dirRead   = fileRead | landlock.AccessFSSet(llsys.AccessFSReadDir)
	dirChange = landlock.AccessFSSet(llsys.AccessFSWriteFile | llsys.AccessFSTruncate |
		llsys.AccessFSMakeReg | llsys.AccessFSMakeDir |
		llsys.AccessFSRemoveFile | llsys.AccessFSRemoveDir)
)

// Agent confines the calling process for good, on all threads: files by Landlock,
// system calls by seccomp. Sockets that are open stay usable, and so do those that
// come as descriptors; no other is made, bound or connected. The Report says what the kernel could do; a kernel
// without Landlock or seccomp is no error.
//
// Errors: a ReadWrite directory that is missing, or a kernel that has one of the
// two and refuses to apply it. The process must end then: it may be confined in
// part.
func Agent(s AgentSandbox) (Report, error) {
	r := state()
	if err := confineFiles(s, &r); err != nil {
		return r, fmt.Errorf("confining files: %w", err)
	}
	if err := filterCalls(&r, agentRole); err != nil {
		return r, fmt.Errorf("filtering system calls: %w", err)
	}
	return r, nil
}

// Helper confines the calling process for good, on all threads, by the filter of
// system calls of Agent, with Unix sockets left, and without confining files.
func Helper() (Report, error) {
	r := state()
	if err := filterCalls(&r, helperRole); err != nil {
		return r, fmt.Errorf("filtering system calls: %w", err)
	}
	return r, nil
}

// Network confines the calling process for good, on all threads: it can connect over
// IP, listen nowhere, make no Unix socket, and write no file.
func Network(s NetworkSandbox) (Report, error) {
	r := state()
	rules, err := rulesOf(AgentSandbox{ReadOnly: s.ReadOnly})
	if err != nil {
		return r, fmt.Errorf("confining files: %w", err)
	}
	config := landlock.V11
	if s.Ports == nil {
		config.HandledAccessNet &^= llsys.AccessNetConnectTCP
	}
	for _, port := range s.Ports {
		rules = append(rules, landlock.ConnectTCP(port))
	}
	if err := restrict(config, rules, &r); err != nil {
		return r, fmt.Errorf("confining files: %w", err)
	}
	if err := filterCalls(&r, networkRole); err != nil {
		return r, fmt.Errorf("filtering system calls: %w", err)
	}
	return r, nil
}

// confineFiles applies Landlock with every kind of right that the kernel knows:
// files, TCP, and, from ABI 6, signals and abstract sockets to processes outside.
func confineFiles(s AgentSandbox, r *Report) error {
	rules, err := rulesOf(s)
	if err != nil {
		return err
	}
	return restrict(landlock.V11, rules, r)
}

// restrict applies config, as far as the kernel knows it, with rules.
func restrict(config landlock.Config, rules []landlock.Rule, r *Report) error {
	abi, err := llsys.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		r.missing("it can open every file of this user: the kernel has no Landlock, or it is off (%s)", noLandlock(err))
		return nil
	}
	if abi < threadSyncABI && !signalsToThreads() {
		config.Scoped &^= llsys.ScopeSignal
		r.missing("it can send signals to other processes: the kernel's Landlock would stop signals between its own threads")
	}
	if err := config.BestEffort().Restrict(rules...); err != nil {
		return err
	}
	r.LandlockABI, r.NoNewPrivs = min(abi, knownABI), true
	return nil
}

const (
	knownABI      = 11 // that of config
	threadSyncABI = 8  // from here on all threads share one domain
)

// signalsToThreads says whether a thread can signal the others when each is in a
// domain of its own; the Go runtime preempts threads by signals. Kernels where it
// cannot lack the fix of erratum 2.
func signalsToThreads() bool {
	const erratum2 = 1 << (2 - 1)
	errata, err := llsys.LandlockGetErrata()
	return err == nil && errata&erratum2 != 0
}

// noLandlock says why there is none.
func noLandlock(err error) string {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return "not in the boot option lsm="
	case errors.Is(err, unix.ENOSYS):
		return "Linux before 5.13"
	case err != nil:
		return err.Error()
	}
	return "version 0"
}

// rulesOf returns the rules of a sandbox.
func rulesOf(s AgentSandbox) ([]landlock.Rule, error) {
	var rules []landlock.Rule
	for _, dir := range s.ReadWrite {
		if fi, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("looking at a directory of the sandbox: %w", err)
		} else if !fi.IsDir() {
			return nil, fmt.Errorf("looking at a directory of the sandbox: %q is not a directory", dir)
		}
		rules = append(rules, landlock.PathAccess(dirRead|dirChange, dir))
	}
	for _, path := range s.ReadOnly {
		fi, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking at a file of the sandbox: %w", err)
		}
		access := fileRead
		if fi.IsDir() {
			access = dirRead
		}
		rules = append(rules, landlock.PathAccess(access, path))
	}
	return rules, nil
}
