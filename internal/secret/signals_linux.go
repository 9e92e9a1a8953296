package secret

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// withoutSignals calls f on a thread to which no signal is delivered meanwhile.
// Otherwise the kernel would save the registers, and with them the state of a
// hash or a cipher, on the thread's signal stack, where they stay until the next
// signal or garbage collection; and the runtime, which preempts busy goroutines
// by signal every 10 ms, would see to it that one comes.
//
// Faults of the thread itself stay unblocked: the kernel would kill the process.
func withoutSignals(f func()) {
	var block, before unix.Sigset_t
	block.Val[0] = ^block.Val[0] &^ faults
	block.Val[1] = ^block.Val[1] // signals 33 to 64 where a word has 32 bits
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.PthreadSigmask(unix.SIG_BLOCK, &block, &before) == nil {
		defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	}
	f()
}

// faults are the signals that an instruction or a system call causes itself.
const faults = 1<<(unix.SIGSEGV-1) | 1<<(unix.SIGBUS-1) | 1<<(unix.SIGFPE-1) |
	1<<(unix.SIGILL-1) | 1<<(unix.SIGTRAP-1) | 1<<(unix.SIGSYS-1)
