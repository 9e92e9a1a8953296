package calltrap

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Trap is on a process from Attach to Detach.
type Trap struct {
	pid     int
	handler Handler
	calls   map[uint64]known

	// threads are those that are traced. What is under way in each is nil between calls,
	// and for calls that are not looked at. The tracing thread alone uses it.
	threads map[int]*Call
	waiting map[int]bool // not stopped yet since Attach

	leave sync.Once
	ended atomic.Bool // Detach was called
	done  chan struct{}
	err   error // why the trap is gone, where Detach is not the reason
}

// Attach puts a trap on a process. From its return on, no call of any thread passes it.
// The caller must Detach.
func Attach(pid int, h Handler) (*Trap, error) {
	t := &Trap{pid: pid, handler: h, calls: calls(), threads: make(map[int]*Call), waiting: make(map[int]bool), done: make(chan struct{})}
	ready := make(chan error, 1)
	// All of ptrace is for one thread to do.
	go onOwnThread(func() {
		defer close(t.done)
		err := t.seize()
		if err == nil {
			err = t.run(func() bool { return len(t.waiting) == 0 })
		}
		ready <- err
		if err != nil {
			return
		}
		if t.err = t.run(t.ended.Load); t.err == nil {
			t.err = t.release()
		}
	})
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("putting a trap on process %d: %w", pid, err)
	}
	return t, nil
}

// onOwnThread runs f on a thread that has started no process: waiting for the threads of
// a traced process, it would take the end of such a child from whoever waits for it.
func onOwnThread(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if b, err := os.ReadFile("/proc/thread-self/children"); err == nil && len(b) > 0 {
		done := make(chan struct{})
		go func() { defer close(done); onOwnThread(f) }()
		<-done
		return
	}
	f()
}

// Detach lets the process go on alone. A process that has ended meanwhile is no error.
func (t *Trap) Detach() error {
	t.leave.Do(func() {
		t.ended.Store(true)
		t.nudge()
	})
	<-t.done
	return t.err
}

// nudge makes a thread stop, so that the trap looks around. A Go program takes no notice
// of the signal.
func (t *Trap) nudge() { _ = unix.Kill(t.pid, unix.SIGURG) }

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE

// seize begins to trace every thread, also those that come into being meanwhile.
func (t *Trap) seize() error {
	for more := true; more; {
		more = false
		entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(t.pid), "task"))
		if err != nil {
			return err
		}
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil {
				return err
			}
			if _, ours := t.threads[tid]; ours {
				continue
			}
			switch err := ptrace(unix.PTRACE_SEIZE, tid, 0, options); {
			case errors.Is(err, unix.ESRCH):
				continue // it has ended
			case errors.Is(err, unix.EPERM) && len(t.threads) > 0:
				// Traced already: a child of one of ours.
			case err != nil:
				return fmt.Errorf("tracing thread %d: %w", tid, err)
			}
			more = true
			t.threads[tid], t.waiting[tid] = nil, true
			if err := unix.PtraceInterrupt(tid); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("stopping thread %d: %w", tid, err)
			}
		}
	}
	return nil
}

// run handles what the threads do until enough says so or none is left. It leaves no
// refused call half done.
func (t *Trap) run(enough func() bool) error {
	for len(t.threads) > 0 && (!enough() || t.refusing()) {
		tid, status, err := wait()
		if errors.Is(err, unix.ECHILD) {
			clear(t.threads)
			clear(t.waiting)
			return nil
		}
		if err != nil {
			return fmt.Errorf("waiting for process %d: %w", t.pid, err)
		}
		delete(t.waiting, tid)
		if status.Exited() || status.Signaled() {
			delete(t.threads, tid)
			continue
		}
		if _, ours := t.threads[tid]; !ours {
			t.threads[tid] = nil
		}
		pass, err := t.stopped(tid, status)
		if err == nil {
			err = ptrace(unix.PTRACE_SYSCALL, tid, 0, uintptr(pass))
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // killed where it stood
			return fmt.Errorf("tracing thread %d: %w", tid, err)
		}
	}
	return nil
}

// refusing reports whether some thread is in a call that was refused and has to be given
// its errno.
func (t *Trap) refusing() bool {
	for _, c := range t.threads {
		if c != nil && c.Refused != 0 {
			return true
		}
	}
	return false
}

// release stops each thread and detaches it, and those that come into being meanwhile.
func (t *Trap) release() error {
	for tid := range t.threads {
		if err := unix.PtraceInterrupt(tid); err != nil {
			delete(t.threads, tid)
		}
	}
	released := make(map[int]bool)
	for len(t.threads) > 0 {
		tid, status, err := wait()
		if errors.Is(err, unix.ECHILD) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("leaving process %d: %w", t.pid, err)
		}
		released[tid] = true
		delete(t.threads, tid)
		if !status.Stopped() {
			continue
		}
		if child, ok := cloned(tid, status); ok && !released[child] && unix.Tgkill(t.pid, child, 0) == nil {
			t.threads[child] = nil // it stops by itself, at its start
		}
		if err := ptrace(unix.PTRACE_DETACH, tid, 0, uintptr(passed(status))); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("leaving thread %d: %w", tid, err)
		}
	}
	return nil
}

// cloned returns the thread that a stopped one has just made.
func cloned(tid int, status unix.WaitStatus) (child int, ok bool) {
	if uint32(status)>>16 != unix.PTRACE_EVENT_CLONE {
		return 0, false
	}
	n, err := unix.PtraceGetEventMsg(tid)
	return int(n), err == nil // #nosec G115 -- a thread number
}

func wait() (tid int, status unix.WaitStatus, err error) {
	for {
		tid, err = unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
		if !errors.Is(err, unix.EINTR) {
			return tid, status, err
		}
	}
}

// systemCallStop is the signal by which a stop at a system call shows.
const systemCallStop = unix.SIGTRAP | 0x80

// passed returns the signal that a stopped thread was about to get, or 0.
func passed(status unix.WaitStatus) syscall.Signal {
	event := uint32(status) >> 16
	if sig := status.StopSignal(); event == 0 && sig != systemCallStop {
		return sig
	}
	return 0
}

// stopped handles the stop of a thread and returns the signal to pass on.
func (t *Trap) stopped(tid int, status unix.WaitStatus) (pass syscall.Signal, err error) {
	if child, ok := cloned(tid, status); ok {
		if _, known := t.threads[child]; !known {
			t.threads[child] = nil
		}
	}
	if status.StopSignal() != systemCallStop {
		return passed(status), nil
	}
	at, err := position(tid)
	if err != nil {
		return 0, err
	}
	switch at.op {
	case unix.PTRACE_SYSCALL_INFO_ENTRY:
		return 0, t.enter(tid, at)
	case unix.PTRACE_SYSCALL_INFO_EXIT:
		return 0, t.exit(tid, int64(at.nr)) // #nosec G115 -- the same bits
	}
	return 0, nil
}

func (t *Trap) enter(tid int, at callInfo) error {
	c := t.decode(tid, at.nr, at.args)
	t.threads[tid] = c
	if c == nil || t.handler.Before == nil {
		return nil
	}
	if c.Refused = t.handler.Before(c); c.Refused == 0 {
		return nil
	}
	return setRegisters(tid, func(r *unix.PtraceRegs) { r.Orig_rax = ^uint64(0) }) // no such call
}

func (t *Trap) exit(tid int, result int64) error {
	c := t.threads[tid]
	if c == nil {
		return nil
	}
	t.threads[tid] = nil
	errno := c.Refused
	if c.Result = result; errno != 0 {
		c.Result = -int64(errno)
	}
	if t.handler.After != nil {
		errno = cmp.Or(t.handler.After(c), errno)
	}
	if errno == 0 {
		return nil
	}
	return setRegisters(tid, func(r *unix.PtraceRegs) { r.Rax = uint64(-int64(errno)) }) // #nosec G115 -- the same bits
}

func setRegisters(tid int, change func(*unix.PtraceRegs)) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	change(&r)
	return unix.PtraceSetRegs(tid, &r)
}

// callInfo is struct ptrace_syscall_info of linux/ptrace.h. At an exit, nr is the result.
type callInfo struct {
	op   uint8
	_    [3]uint8
	_    uint32
	_    [2]uint64
	nr   uint64
	args [6]uint64
}

// position tells whether a thread enters or leaves a call.
func position(tid int) (at callInfo, err error) {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), unsafe.Sizeof(at), uintptr(unsafe.Pointer(&at)), 0, 0) // #nosec G103 -- x/sys has no function for it
	if errno != 0 {
		return at, errno
	}
	return at, nil
}

func ptrace(request, tid int, address, data uintptr) error {
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), address, data, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
