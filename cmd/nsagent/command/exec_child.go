package command

import (
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/givenfd"
)

// runChild runs a program to its end and returns its exit code. It is in the process
// group of nsagent, so that the shell's job control and what is typed at the terminal
// reach both, and the terminal stays as the program sets it.
//
// Where the socket ends before the program does, that is said, and the program goes on.
func (e *env) runChild(child *exec.Cmd, s *client.Socket) (int, error) {
	tty := openTTY()
	if tty != nil {
		defer func() { _ = tty.Close() }()
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, passedOn()...)
	defer signal.Stop(signals)
	if err := startPlain(child); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	go func() {
		_ = child.Wait() // the state says how it ended
		close(ended)
	}()
	over := time.NewTimer(time.Until(time.Unix(s.Opened.GetExpiresAt(), 0)))
	defer over.Stop()
	e.awaitEnd(ended, over.C, s.Ended(), signals, func(sig os.Signal) {
		if !sentToAll(sig, tty) {
			_ = child.Process.Signal(sig) // it has ended where this fails
		}
	})
	return exitCodeOf(child.ProcessState), nil
}

// awaitEnd waits for the end of a program, passes signals on meanwhile, and says that the
// time of its socket is over, or the socket gone, also where that is just before the end.
func (e *env) awaitEnd(ended <-chan struct{}, over <-chan time.Time, gone <-chan struct{}, signals <-chan os.Signal, pass func(os.Signal)) {
	sayOver := func() {
		e.note("the time of the socket is over; the program goes on, and what it asks for is refused")
	}
	sayGone := func() {
		gone = nil
		e.note("the agent has closed the socket, or gone; the program goes on, and what it asks for fails")
	}
	for {
		select {
		case <-ended:
			select {
			case <-over:
				sayOver()
			default:
			}
			select {
			case <-gone:
				sayGone()
			default:
			}
			return
		case sig := <-signals:
			pass(sig)
		case <-over:
			sayOver()
		case <-gone:
			sayGone()
		}
	}
}

// startPlain starts a program with signals as it expects them.
func startPlain(child *exec.Cmd) error {
	// Main ignores this one, and a program would inherit that.
	signal.Reset(syscall.SIGPIPE)
	defer signal.Ignore(syscall.SIGPIPE)
	if signal.Ignored(syscall.SIGINT) {
		// A shell without job control ignores both for a program in the background. Go
		// keeps that for the first alone.
		signal.Ignore(syscall.SIGQUIT)
	}
	return child.Start()
}

// passedOn are the signals that are passed on to the program. One that nsagent was
// started to ignore stays ignored, there too.
func passedOn() []os.Signal {
	all := []os.Signal{syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH}
	if !signal.Ignored(syscall.SIGINT) {
		all = append(all, syscall.SIGINT, syscall.SIGQUIT)
	}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// openTTY returns the controlling terminal, or nil where there is none.
func openTTY() *os.File {
	f, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	return f
}

// sentToAll reports whether a signal has reached the program too: one that the terminal
// sends to all in its foreground, or the hangup of a terminal that is gone, of which the
// kernel tells the leader of the session alone, and that one, or its end, all others. Who
// sends one of these to nsagent alone at a terminal should send SIGTERM.
func sentToAll(sig os.Signal, tty *os.File) bool {
	if tty == nil {
		return false
	}
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP) // #nosec G115 -- a descriptor fits
	switch sig {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH:
		return err == nil && group == unix.Getpgrp()
	case syscall.SIGHUP:
		leader, _ := unix.Getsid(0)
		return err != nil && leader != os.Getpid()
	default:
		return false
	}
}

// exitCodeOf returns the exit code that a program ended with, or that of its signal.
func exitCodeOf(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return execSignal + int(ws.Signal())
	}
	return s.ExitCode()
}

// descriptors are those that a process was started with above the first three, and what
// they are.
type descriptors map[int]unix.Stat_t

// inheritedDescriptors returns the descriptors that a program started now would get.
func inheritedDescriptors() descriptors {
	all := make(descriptors)
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return all
	}
	for _, entry := range open {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd < 3 {
			continue
		}
		if givenfd.Check(fd) != nil {
			continue
		}
		var is unix.Stat_t
		if unix.Fstat(fd, &is) == nil {
			all[fd] = is
		}
	}
	return all
}

// passOn lets a program that is started get those that are still what they were.
func (d descriptors) passOn() {
	for fd, was := range d {
		var is unix.Stat_t
		if unix.Fstat(fd, &is) == nil && is.Dev == was.Dev && is.Ino == was.Ino {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0) // #nosec G115 -- a descriptor fits
		}
	}
}
