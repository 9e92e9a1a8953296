package harden

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// denied are system calls that no process of ours needs after its start, by what
// they would give to somebody who has taken it over. Names that an architecture
// does not have are left out.
func denied() []string {
	return []string{
		// start a program, or carry the keys into another process
		"execve", "execveat", "fork", "vfork",
		// read or change another process
		"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease",
		"pidfd_getfd", "kcmp", "perf_event_open",
		// a wide attack surface in the kernel
		"bpf", "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd",
		"add_key", "request_key", "keyctl", "modify_ldt", "iopl", "ioperm", "vm86", "vm86old",
		"lookup_dcookie", "nfsservctl", "uselib", "sysfs", "_sysctl", "remap_file_pages", "personality",
		"fanotify_init", "open_by_handle_at", "quotactl", "quotactl_fd", "acct", "syslog", "vhangup",
		// another view of the file system, or another namespace
		"mount", "umount", "umount2", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig",
		"fsmount", "fspick", "mount_setattr", "pivot_root", "chroot", "unshare", "setns",
		// the machine itself
		"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot",
		"swapon", "swapoff", "sethostname", "setdomainname",
		"settimeofday", "stime", "clock_settime", "clock_settime64", "clock_adjtime", "clock_adjtime64", "adjtimex",
	}
}

// deniedToAgent are denied to the agent too. Its sockets are open by then and helpers'
// come to it as descriptors, so a socket that it made could only be a way out: to the
// session bus, to systemd, to an ssh-agent, which all trust its user.
func deniedToAgent() []string {
	return []string{"socket", "socketpair", "connect", "bind", "listen"}
}

// conditionalForAgent are those of deniedToAgent where they are one call with a number
// (386 and others of that age).
func conditionalForAgent() []seccomp.NameWithConditions {
	var c []seccomp.NameWithConditions
	for _, number := range []uint64{1, 2, 3, 4, 8} { // socket, bind, connect, listen, socketpair
		c = append(c, only("socketcall", 0, seccomp.Equal, number))
	}
	return c
}

// conditionalForHelper leaves Unix sockets, by which the keyring is reached.
func conditionalForHelper() []seccomp.NameWithConditions {
	return []seccomp.NameWithConditions{
		only("socket", 0, seccomp.NotEqual, unix.AF_UNIX),
		only("socketpair", 0, seccomp.NotEqual, unix.AF_UNIX),
	}
}

// conditionalForNetwork leaves sockets of IP, by which NetSuite and name servers are
// reached.
func conditionalForNetwork() []seccomp.NameWithConditions {
	var c []seccomp.NameWithConditions
	for _, number := range []uint64{2, 4, 8} { // bind, listen, socketpair
		c = append(c, only("socketcall", 0, seccomp.Equal, number))
	}
	return append(c, only("socket", 0, seccomp.NotEqual, unix.AF_INET, unix.AF_INET6))
}

// conditional are system calls denied for some arguments.
func conditional() []seccomp.NameWithConditions {
	return []seccomp.NameWithConditions{
		only("clone", 0, seccomp.BitsNotSet, unix.CLONE_THREAD), // threads, no processes
		// no new code
		only("mmap", 2, seccomp.BitsSet, unix.PROT_EXEC),
		only("mprotect", 2, seccomp.BitsSet, unix.PROT_EXEC),
		only("pkey_mprotect", 2, seccomp.BitsSet, unix.PROT_EXEC),
		// no typing into a terminal
		only("ioctl", 1, seccomp.Equal, unix.TIOCSTI),
		only("ioctl", 1, seccomp.Equal, unix.TIOCLINUX),
	}
}

// only names a call for a condition on one argument, which has to hold for each value.
func only(name string, arg uint32, op seccomp.Operation, values ...uint64) seccomp.NameWithConditions {
	c := seccomp.NameWithConditions{Name: name}
	for _, value := range values {
		c.Conditions = append(c.Conditions, seccomp.Condition{Argument: arg, Operation: op, Value: value})
	}
	return c
}

// role is whose filter it is.
type role int

const (
	helperRole role = iota
	agentRole
	networkRole
)

// policy returns the filter for an architecture: everything is allowed but what is
// named. The flags of clone3 are in memory, where a filter cannot read them: it is
// said not to exist, and the C library falls back to clone.
func policy(info *arch.Info, who role) seccomp.Policy {
	names, conditions := denied(), conditional()
	switch who {
	case agentRole:
		names, conditions = append(names, deniedToAgent()...), append(conditions, conditionalForAgent()...)
	case networkRole:
		names, conditions = append(names, "socketpair", "bind", "listen"), append(conditions, conditionalForNetwork()...)
	default:
		conditions = append(conditions, conditionalForHelper()...)
	}
	eperm := seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(unix.EPERM)}
	for _, name := range names {
		if _, ok := info.SyscallNames[name]; ok {
			eperm.Names = append(eperm.Names, name)
		}
	}
	for _, c := range conditions {
		if _, ok := info.SyscallNames[c.Name]; ok {
			eperm.NamesWithCondtions = append(eperm.NamesWithCondtions, c)
		}
	}
	enosys := seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}}
	return seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{eperm, enosys}}
}

// filterCalls applies the filters to all threads.
func filterCalls(r *Report, who role) error {
	info, err := arch.GetInfo("")
	if err != nil {
		r.missing("its system calls are not filtered: no table for %s", runtime.GOARCH)
		return nil
	}
	if !seccomp.Supported() {
		r.missing("its system calls are not filtered: the kernel has no seccomp")
		return nil
	}
	filter := seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: policy(info, who)}
	runtime.LockOSThread() // no_new_privs is set on this thread and the filter loaded by it
	defer runtime.UnlockOSThread()
	if err := seccomp.LoadFilter(filter); err != nil {
		return err
	}
	if err := onlyNative(uint32(info.ID)); err != nil {
		return err
	}
	r.Seccomp, r.NoNewPrivs = true, true
	return nil
}

// onlyNative refuses the system calls of other architectures. On amd64 a process can
// call as a 32-bit one (int 0x80), with other numbers: the filter above lets pass
// what it has no numbers for.
func onlyNative(auditArch uint32) error {
	const archOffset = 4 // of struct seccomp_data
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: archOffset},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: auditArch},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]} // #nosec G115 -- four
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog))) // #nosec G103 -- the system call takes a pointer
	runtime.KeepAlive(program)
	if errno != 0 {
		return fmt.Errorf("refusing foreign system calls: %w", errno)
	}
	return nil
}
