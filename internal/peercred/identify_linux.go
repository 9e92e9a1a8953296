package peercred

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Identify returns who is at the other end of conn. The caller must close the
// Peer; NewConn ties it to the connection.
//
// Errors: ErrPeerGone where that process has exited already.
func Identify(conn *net.UnixConn) (*Peer, error) { return identify(conn, peerPidfd) }

// identify is Identify with the way to a pidfd given: the fallback is tested on
// kernels that do not need it.
func identify(conn *net.UnixConn, pidfdOf func(socket int, cred *unix.Ucred) (int, error)) (*Peer, error) {
	var p *Peer
	err := control(conn, func(fd int) error {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return fmt.Errorf("reading the peer's credentials: %w", err)
		}
		p = &Peer{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}
		pidfd, err := pidfdOf(fd, cred)
		switch {
		case err == nil:
			p.open, p.pidfd = true, pidfd
			return nil
		case errors.Is(err, unix.ESRCH):
			return ErrPeerGone
		case !errors.Is(err, unix.ENOPROTOOPT):
			return fmt.Errorf("opening the peer's pidfd: %w", err)
		}
		return p.openByNumber(cred)
	})
	if err != nil {
		return nil, err
	}
	if err := p.Alive(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// peerPidfd asks the socket for a pidfd of the process that connected
// (Linux 6.5 and later; ENOPROTOOPT before).
func peerPidfd(socket int, _ *unix.Ucred) (int, error) {
	return unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
}

// openByNumber opens the pidfd by process number and makes sure that start time
// and uid were read from the process that the pidfd names.
func (p *Peer) openByNumber(cred *unix.Ucred) error {
	p.Weaker = true
	fd, err := unix.PidfdOpen(int(cred.Pid), 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrPeerGone
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", cred.Pid, err)
	}
	p.open, p.pidfd = true, fd
	start, uid, err := processFacts(cred.Pid)
	if err == nil {
		err = p.Alive() // still there: its number was its own while /proc was read
	}
	if err == nil && uid != cred.Uid {
		err = ErrPeerGone // another user's process has the number now
	}
	if err != nil {
		return errors.Join(err, p.Close())
	}
	p.Start = start
	return nil
}

// processFacts returns the start time of a process in clock ticks since boot, and
// its effective uid.
func processFacts(pid int32) (start uint64, uid uint32, err error) {
	dir := "/proc/" + strconv.Itoa(int(pid))
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("reading when process %d started: %w", pid, gone(err))
	}
	if start, err = startTime(stat); err != nil {
		return 0, 0, fmt.Errorf("reading when process %d started: %w", pid, err)
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return 0, 0, fmt.Errorf("reading whose process %d is: %w", pid, gone(err))
	}
	if uid, err = effectiveUID(status); err != nil {
		return 0, 0, fmt.Errorf("reading whose process %d is: %w", pid, err)
	}
	return start, uid, nil
}

// gone turns the errors of a vanished /proc directory into ErrPeerGone.
func gone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return ErrPeerGone
	}
	return err
}

// startTime returns field 22 of /proc/PID/stat. The command in field 2 may hold
// spaces and parentheses, so fields count from its last closing one.
func startTime(stat []byte) (uint64, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, errors.New("no command in the line")
	}
	fields := bytes.Fields(stat[end+1:])
	const startField = 22 - 3 // fields holds the third and later ones
	if len(fields) <= startField {
		return 0, errors.New("line too short")
	}
	return strconv.ParseUint(string(fields[startField]), 10, 64)
}

// effectiveUID returns the second number of the Uid line of /proc/PID/status.
func effectiveUID(status []byte) (uint32, error) {
	for line := range bytes.Lines(status) {
		rest, ok := bytes.CutPrefix(line, []byte("Uid:"))
		if !ok {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) < 2 {
			break
		}
		uid, err := strconv.ParseUint(string(fields[1]), 10, 32)
		return uint32(uid), err // #nosec G115 -- parsed as 32 bits
	}
	return 0, errors.New("no uid in the status")
}

// alive asks a pidfd whether its process runs. A pidfd becomes readable when the
// process exits, before it is reaped; and unlike a signal, poll needs no right over
// another user's process.
func alive(pidfd int) error {
	fds := [1]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}} // #nosec G115 -- a descriptor fits
	for {
		n, err := unix.Poll(fds[:], 0)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("asking whether the peer runs: %w", err)
		case n != 0:
			return ErrPeerGone
		}
		return nil
	}
}

// exeOf reads the path of the executable of a process.
func exeOf(pid int32) (string, error) {
	return os.Readlink("/proc/" + strconv.Itoa(int(pid)) + "/exe")
}

// closePidfd closes the descriptor.
func closePidfd(fd int) error { return unix.Close(fd) }

// ServerUID returns the uid of the process that listens at the other end of conn.
func ServerUID(conn *net.UnixConn) (uid uint32, err error) {
	err = control(conn, func(fd int) error {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return fmt.Errorf("reading the server's credentials: %w", err)
		}
		uid = cred.Uid
		return nil
	})
	return uid, err
}

// control runs f with the descriptor of conn.
func control(conn *net.UnixConn, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("reaching the socket: %w", err)
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil { // #nosec G115 -- a descriptor fits
		return fmt.Errorf("reaching the socket: %w", err)
	}
	return inner
}
