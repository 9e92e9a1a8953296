package memscan

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// stopTimeout is how long the threads of a process get to stop.
const stopTimeout = 5 * time.Second

// Stopped stops a process with SIGSTOP, waits until each of its threads stands
// still, calls f, and lets it go on: a snapshot of a process under load. The
// process must be the caller's to signal.
func Stopped(pid int, f func() error) (err error) {
	if pid == os.Getpid() {
		return ErrSelf
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stopping process %d: %w", pid, reason(err))
	}
	defer func() {
		if cont := syscall.Kill(pid, syscall.SIGCONT); err == nil && cont != nil {
			err = fmt.Errorf("continuing process %d: %w", pid, reason(cont))
		}
	}()
	for deadline := time.Now().Add(stopTimeout); ; time.Sleep(time.Millisecond) {
		done, err := allStopped(pid)
		if err != nil {
			return fmt.Errorf("stopping process %d: %w", pid, reason(err))
		}
		if done {
			return f()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("stopping process %d: threads still run after %v", pid, stopTimeout)
		}
	}
}

// allStopped reports whether every thread is in state T.
func allStopped(pid int) (bool, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false, err
	}
	if len(tasks) == 0 {
		return false, ErrGone
	}
	for _, path := range tasks {
		stat, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // the thread ended
		}
		if err != nil {
			return false, err
		}
		// The name in parentheses may hold anything; the state follows it.
		i := bytes.LastIndexByte(stat, ')')
		if i < 0 || i+2 >= len(stat) {
			return false, fmt.Errorf("parsing %s", path)
		}
		switch stat[i+2] {
		case 'T', 't':
		case 'Z', 'X':
			return false, ErrGone
		default:
			return false, nil
		}
	}
	return true, nil
}
