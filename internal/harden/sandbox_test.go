//go:build linux

package harden

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/needs"
)

// needsLandlock skips where the kernel has none; it fails where that is required.
func needsLandlock(t *testing.T) {
	t.Helper()
	abi, err := llsys.LandlockGetABIVersion()
	if err == nil && abi > 0 {
		return
	}
	needs.Missing(t, "landlock", fmt.Sprintf("ABI %d, %v", abi, err))
}

// What is denied to a confined process works in one that is not: without the
// control the test could pass for another reason.
func TestAgentDenies(t *testing.T) {
	needsLandlock(t)
	for _, user := range []struct {
		name   string
		nobody bool
	}{{"as nobody", true}, {"as is", false}} {
		t.Run(user.name, func(t *testing.T) {
			run(t, command(user.nobody, "free", directory(t), directory(t)))
			run(t, command(user.nobody, "confined", directory(t), directory(t)))
		})
	}
}

// attempts are what a process that was taken over would try. Each returns nil where
// it worked.
func attempts(inside, outside string) map[string]func() error {
	socket := func(domain int) func() error {
		return func() error {
			fd, err := unix.Socket(domain, unix.SOCK_STREAM, 0)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	tries := map[string]func() error{
		"socket inet":  socket(unix.AF_INET),
		"socket inet6": socket(unix.AF_INET6),
		"socket netlink": func() error {
			fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)
			if err == nil {
				unix.Close(fd)
			}
			return err
		},
		"socket unix": socket(unix.AF_UNIX),
		"socketpair": func() error {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err == nil {
				err = errors.Join(unix.Close(pair[0]), unix.Close(pair[1]))
			}
			return err
		},
		"connect unix": func() error {
			c, err := net.Dial("unix", filepath.Join(inside, "bus"))
			if err == nil {
				err = c.Close()
			}
			return err
		},
		"listen inside": func() error {
			f, err := os.CreateTemp(inside, "s")
			if err != nil {
				return err
			}
			return closed(net.Listen("unix", f.Name()+".sock"))
		},
		"listen":          func() error { return closed(net.Listen("tcp", "127.0.0.1:0")) },
		"exec":            func() error { return exec.Command("/proc/self/exe", "harden", "process", inside).Run() },
		"ptrace":          trace,
		"mmap executable": mapExecutable,
		"mprotect executable": func() error {
			mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
			if err != nil {
				return err
			}
			defer unix.Munmap(mem)
			return unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC)
		},
		"read outside":     func() error { _, err := os.ReadFile("/etc/passwd"); return err },
		"list outside":     func() error { _, err := os.ReadDir("/etc"); return err },
		"write outside":    func() error { return os.WriteFile(filepath.Join(outside, "w"), nil, 0o600) },
		"make outside":     func() error { return os.Mkdir(filepath.Join(outside, "d"), 0o700) },
		"remove outside":   func() error { return os.Remove(filepath.Join(outside, "old")) },
		"truncate outside": func() error { return os.Truncate(filepath.Join(outside, "kept"), 0) },
		"listen outside":   func() error { return closed(net.Listen("unix", filepath.Join(outside, "s"))) },
		"link inside":      func() error { return os.Symlink("/etc/passwd", filepath.Join(inside, "link")) },
		"pipe inside":      func() error { return unix.Mkfifo(filepath.Join(inside, "pipe"), 0o600) },
		signalParent:       func() error { return unix.Kill(os.Getppid(), 0) },
	}
	if abi, _ := llsys.LandlockGetABIVersion(); abi < 6 {
		delete(tries, signalParent)
	}
	if abi, _ := llsys.LandlockGetABIVersion(); abi < 3 {
		delete(tries, "truncate outside")
	}
	return tries
}

// signalParent is the attempt that fails without a sandbox where the parent belongs
// to another user.
const signalParent = "signal the parent"

// closed closes a listener that could be opened.
func closed(l net.Listener, err error) error {
	if err == nil {
		err = l.Close()
	}
	return err
}

// trace asks about a process that it does not trace. Where the call is allowed the
// kernel answers that there is none such; to be traced for real would stop this
// process at its next signal.
func trace() error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_CONT, uintptr(os.Getppid()), 0, 0, 0, 0)
	if errno != unix.ESRCH {
		return errno
	}
	return nil
}

// mapExecutable maps a page that could hold code.
func mapExecutable() error {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err == nil {
		err = unix.Munmap(mem)
	}
	return err
}

// fill puts files into the outside directory that the attempts need.
func fill(outside string) error {
	return errors.Join(os.WriteFile(filepath.Join(outside, "old"), nil, 0o600),
		os.WriteFile(filepath.Join(outside, "kept"), []byte("kept"), 0o600))
}

// childFree makes every attempt without a sandbox.
func childFree(args []string) error {
	if err := fill(args[1]); err != nil {
		return err
	}
	bus, err := net.Listen("unix", filepath.Join(args[0], "bus"))
	if err != nil {
		return err
	}
	defer bus.Close()
	var errs error
	for name, try := range attempts(args[0], args[1]) {
		if name == signalParent && os.Geteuid() == nobody { // the parent is root's
			continue
		}
		errs = errors.Join(errs, expect(name, try(), nil))
	}
	return errs
}

// childConfined makes every attempt in the sandbox: on threads that were there
// before it, and on new ones.
func childConfined(args []string) error {
	inside, outside := args[0], args[1]
	if err := fill(outside); err != nil {
		return err
	}
	bus, err := net.Listen("unix", filepath.Join(inside, "bus"))
	if err != nil {
		return err
	}
	defer bus.Close()
	const threads = 8
	var ready, done sync.WaitGroup
	confined := make(chan struct{})
	results := make(chan error, 2*threads)
	work := func() {
		runtime.LockOSThread()
		ready.Done()
		<-confined
		results <- allDenied(attempts(inside, outside))
	}
	ready.Add(threads)
	for range threads {
		done.Go(work)
	}
	ready.Wait()
	if err := Process(); err != nil {
		return err
	}
	r, err := Agent(AgentSandbox{ReadWrite: []string{inside}, ReadOnly: []string{"/proc", "/no/such/file"}})
	if err != nil {
		return err
	}
	if !r.Seccomp || r.LandlockABI < 1 || !r.NoNewPrivs || !r.NonDumpable {
		return fmt.Errorf("report: got %+v", r)
	}
	close(confined)
	ready.Add(threads)
	for range threads {
		done.Go(work)
	}
	done.Wait()
	var errs error
	for range 2 * threads {
		errs = errors.Join(errs, <-results)
	}
	if data, err := os.ReadFile(filepath.Join("/proc/self/root", outside, "kept")); err == nil {
		errs = errors.Join(errs, fmt.Errorf("read around the sandbox through /proc: %q", data))
	}
	return errors.Join(errs, deniedCalls())
}

// allDenied makes every attempt and returns what was not denied.
func allDenied(tries map[string]func() error) error {
	var errs error
	for name, try := range tries {
		if err := try(); !errors.Is(err, fs.ErrPermission) { // EPERM or EACCES
			errs = errors.Join(errs, fmt.Errorf("%s: got %v, want it denied", name, err))
		}
	}
	return errs
}

// deniedCalls makes every denied call that this architecture has, with arguments
// that would do no harm, and wants EPERM of each.
func deniedCalls() error {
	info, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	var errs error
	for _, name := range append(denied(), deniedToAgent()...) {
		nr, ok := info.SyscallNames[name]
		if !ok || name == "fork" || name == "vfork" { // those two would return twice
			continue
		}
		_, _, errno := syscall.RawSyscall6(uintptr(nr), 0, 0, 0, 0, 0, 0)
		if errno != unix.EPERM {
			errs = errors.Join(errs, fmt.Errorf("%s: got %v, want %v", name, errno, unix.EPERM))
		}
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_CLONE3, 0, 0, 0, 0, 0, 0)
	return errors.Join(errs, expect("clone3", errno, unix.ENOSYS))
}

// The names in the filter must be those of the kernel: a misspelt one would be left
// out silently.
func TestDeniedNamesExist(t *testing.T) {
	known := map[string]bool{}
	for _, info := range []*arch.Info{arch.X86_64, arch.I386, arch.AARCH64, arch.ARM} {
		for name := range info.SyscallNames {
			known[name] = true
		}
	}
	for _, name := range append(denied(), deniedToAgent()...) {
		if !known[name] {
			t.Errorf("no architecture has %q", name)
		}
	}
	for _, info := range []*arch.Info{arch.X86_64, arch.AARCH64} {
		for _, name := range []string{"execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "bpf",
			"io_uring_setup", "userfaultfd", "kexec_load", "mount", "pidfd_getfd"} {
			if _, ok := info.SyscallNames[name]; !ok {
				t.Errorf("%s has no %q", info.Name, name)
			}
		}
	}
}

func TestMissingDirectory(t *testing.T) {
	run(t, command(false, "missing", filepath.Join(directory(t), "none")))
}

// childMissing names a directory that is not there.
func childMissing(args []string) error {
	if _, err := Agent(AgentSandbox{ReadWrite: args}); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := os.ReadFile("/etc/passwd"); err != nil {
		return fmt.Errorf("confined after an error: %w", err)
	}
	if _, err := Agent(AgentSandbox{ReadWrite: []string{"/proc/self/exe"}}); err == nil || !strings.Contains(err.Error(), "not a directory") {
		return fmt.Errorf("a file as directory: got %v", err)
	}
	return nil
}
