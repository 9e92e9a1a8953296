package systemd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// firstDescriptor is that of the first socket passed.
const firstDescriptor = 3

// maxSockets is how many are taken; there are two.
const maxSockets = 16

// ErrSockets means that what was passed are not the sockets of this service.
var ErrSockets = errors.New("systemd: sockets passed")

// Socket is one that was passed. It is close-on-exec. Nothing is known about it yet:
// whoever listens on it checks what it is.
type Socket struct {
	// Name is what FileDescriptorName= says; empty where it was not passed.
	Name string
	File *os.File
}

// Take returns the sockets that systemd passed to this process, if any, and where it
// wants to be told about it; both may be empty. It unsets the variables, so that no
// child takes them to be its own. It may be called once: the descriptors are taken
// over.
//
// Variables meant for another process are ignored. The error wraps ErrSockets.
//
// Source: sd_listen_fds(3), sd_notify(3).
func Take(getenv func(string) string, unsetenv func(string) error) ([]Socket, Manager, error) {
	m := Manager{socket: getenv("NOTIFY_SOCKET")}
	names, err := parseListen(getenv("LISTEN_PID"), getenv("LISTEN_FDS"), getenv("LISTEN_FDNAMES"), os.Getpid())
	for _, name := range []string{"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"} {
		if e := unsetenv(name); e != nil {
			return nil, m, fmt.Errorf("unsetting %s: %w", name, e)
		}
	}
	if err != nil {
		return nil, m, err
	}
	passed, err := receive(firstDescriptor, names)
	return passed, m, err
}

// receive takes over the descriptors from first on, one a name.
func receive(first int, names []string) ([]Socket, error) {
	var passed []Socket
	for i, name := range names {
		fd := first + i
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil { // #nosec G115 -- a descriptor fits
			return nil, fmt.Errorf("%w: descriptor %d is not open", ErrSockets, fd)
		}
		unix.CloseOnExec(fd)
		passed = append(passed, Socket{Name: name, File: os.NewFile(uintptr(fd), name)}) // #nosec G115 -- a descriptor fits
	}
	return passed, nil
}

// parseListen returns the names of the sockets passed, in the order of their
// descriptors; none where pid is another process or nothing.
func parseListen(pid, count, names string, self int) ([]string, error) {
	if pid == "" || count == "" {
		return nil, nil
	}
	n, err := number(pid)
	if err != nil {
		return nil, fmt.Errorf("%w: LISTEN_PID: %w", ErrSockets, err)
	}
	if n != self {
		return nil, nil
	}
	if n, err = number(count); err == nil && n > maxSockets {
		err = fmt.Errorf("more than %d", maxSockets)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: LISTEN_FDS: %w", ErrSockets, err)
	}
	if names == "" {
		return make([]string, n), nil
	}
	list := strings.Split(names, ":")
	if len(list) != n {
		return nil, fmt.Errorf("%w: LISTEN_FDNAMES has %d names for %d sockets", ErrSockets, len(list), n)
	}
	return list, nil
}

// number reads a positive decimal number as systemd writes it.
func number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 || s != strconv.FormatUint(n, 10) {
		return 0, errors.New("not a positive number")
	}
	return int(n), nil // #nosec G115 -- 31 bits
}

// Pick returns the socket for each of paths, in their order, and closes none. A
// socket belongs to a path by its name, which is the last element of the path, or,
// where its name is none of those, by where it is bound. Every socket has to be
// wanted, and every path to have one.
func Pick(passed []Socket, paths ...string) ([]*os.File, error) {
	picked := make([]*os.File, len(paths))
	for _, s := range passed {
		i, err := wanted(s, paths)
		if err != nil {
			return nil, err
		}
		if picked[i] != nil {
			return nil, fmt.Errorf("%w: there are two for %s", ErrSockets, paths[i])
		}
		picked[i] = s.File
	}
	for i, f := range picked {
		if f == nil {
			return nil, fmt.Errorf("%w: there is none for %s", ErrSockets, paths[i])
		}
	}
	return picked, nil
}

// wanted returns which of paths a socket is for.
func wanted(s Socket, paths []string) (int, error) {
	for i, path := range paths {
		if s.Name != "" && s.Name == path[strings.LastIndexByte(path, '/')+1:] {
			return i, nil
		}
	}
	at := "no path"
	if addr, err := unix.Getsockname(int(s.File.Fd())); err == nil { // #nosec G115 -- a descriptor fits
		if u, ok := addr.(*unix.SockaddrUnix); ok && u.Name != "" {
			at = u.Name
		}
	}
	for i, path := range paths {
		if at == path {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: one is bound to %s, which is neither of %s", ErrSockets, at, strings.Join(paths, ", "))
}
