package harden

import (
	"errors"
	"fmt"
	"unsafe"

	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// privateUmask keeps new files and sockets from group and others.
const privateUmask = 0o077

// Unreadable makes the process unreadable for others of the same user; it leaves no core
// file. Call it as the first statement: what was readable before may have been read. It
// holds for all threads, and not for programs that are started later.
func Unreadable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("making the process unreadable: %w", err)
	}
	return nil
}

// Readable undoes what Unreadable does, for a process that holds no secret: others of the
// same user can tell which program it is, and read its memory. Who has opened that keeps it,
// also where the process is made unreadable again.
func Readable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("making the process readable: %w", err)
	}
	return nil
}

// Name gives the process the name that ps and top show, of at most 15 bytes. One that was
// executed by a descriptor would be called by the number of that. It has to be called on
// the first thread, so at the start of main.
func Name(name string) {
	if unix.Gettid() != unix.Getpid() {
		return
	}
	if b, err := unix.BytePtrFromString(name); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(b)), 0, 0, 0) // #nosec G103 -- the kernel wants a pointer; a name is for people
	}
}

// Process does what Unreadable does, forbids core files and new privileges, and sets
// umask 0077, for all threads. Programs that are started later inherit all of that but
// the first, which Readable undoes.
func Process() error {
	if err := Unreadable(); err != nil {
		return err
	}
	// A core that is piped to a program ignores the limit; a process that is not
	// dumpable leaves none either way.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core files: %w", err)
	}
	unix.Umask(privateUmask)
	if err := llsys.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbidding new privileges: %w", err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		return errors.Join(errors.New("harden: the process is still readable for others"), err)
	}
	return nil
}

// state returns what holds for the process already.
func state() Report {
	var r Report
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if r.NonDumpable = err == nil && dumpable == 0; !r.NonDumpable {
		r.missing("other processes of this user can read its memory")
	}
	noNewPrivs, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	r.NoNewPrivs = err == nil && noNewPrivs == 1
	return r
}
