//go:build linux

package harden

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Everything that the agent does after its start goes on in the sandbox.
func TestAgentWorks(t *testing.T) {
	needsLandlock(t)
	pid := startSleeper(t, "plain")
	for _, nobody := range []bool{true, false} {
		out := run(t, command(nobody, "working", directory(t), fmt.Sprint(pid)))
		t.Logf("as nobody %v: %s", nobody, out)
	}
}

// childWorking does what the agent does.
func childWorking(args []string) error {
	dir := args[0]
	if err := Process(); err != nil {
		return err
	}
	l, err := net.Listen("unix", filepath.Join(dir, "agent.sock"))
	if err != nil {
		return err
	}
	caller, err := net.Dial("unix", l.Addr().String()) // somebody else's end
	if err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	r, err := Agent(AgentSandbox{ReadWrite: []string{dir}, ReadOnly: []string{"/proc"}})
	if err != nil {
		return err
	}
	if len(r.Sentences()) == 0 {
		return errors.New("no sentence")
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"http over the socket", func() error { return roundTrip(l, caller) }},
		{"the path of the socket is gone", func() error { return expect("stat", stat(l.Addr().String()), fs.ErrNotExist) }},
		{"descriptor passing", func() error { return passDescriptor(pair) }},
		{"saving a file", func() error { return save(dir) }},
		{"locked memory", lockedMemory},
		{"pidfd and poll", pidfd},
		{"threads and garbage collection", threads},
		{"peer facts", func() error { return peerFacts(args[1]) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func stat(path string) error {
	_, err := os.Stat(path)
	return err
}

// roundTrip serves, makes a request over a connection that waits, and ends serving.
func roundTrip(l net.Listener, caller net.Conn) error {
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }),
		ReadHeaderTimeout: 20 * time.Second}
	go srv.Serve(l)
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return caller, nil
	}}}
	resp, err := client.Get("http://agent/")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "ok" {
		return fmt.Errorf("got %q, %v, want ok", body, err)
	}
	return nil
}

// passDescriptor sends a descriptor over a socketpair and uses it at the other end.
func passDescriptor(pair [2]int) error {
	if err := unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(pair[1]), nil, 0); err != nil {
		return err
	}
	buf, oob := make([]byte, 8), make([]byte, unix.CmsgSpace(4))
	_, oobn, _, _, err := unix.Recvmsg(pair[1], buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	conn, err := net.FileConn(os.NewFile(uintptr(fds[0]), "passed"))
	if err != nil {
		return err
	}
	return conn.Close()
}

// save replaces a file as the vault does.
func save(dir string) error {
	old, tmp := filepath.Join(dir, "vault"), filepath.Join(dir, "tmp")
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("data")
	err = errors.Join(err, f.Sync(), f.Truncate(2), f.Close())
	d, openErr := os.Open(dir)
	if openErr != nil {
		return openErr
	}
	defer d.Close()
	return errors.Join(err, os.Rename(tmp, old), d.Sync(), os.Mkdir(filepath.Join(dir, "audit"), 0o700),
		os.WriteFile(filepath.Join(dir, "audit", "log"), []byte("x"), 0o600), os.Remove(old))
}

// lockedMemory makes pages as the arena does.
func lockedMemory() error {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	fd, err := unix.MemfdSecret(0)
	if err == nil {
		err = unix.Close(fd)
	} else if errors.Is(err, unix.ENOSYS) {
		err = nil // not in this kernel
	}
	return errors.Join(err, unix.Mlock(mem), unix.Madvise(mem, unix.MADV_DONTDUMP), unix.Mprotect(mem, unix.PROT_NONE), unix.Munmap(mem))
}

// pidfd asks whether a process runs.
func pidfd() error {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return err
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	if n != 0 {
		err = errors.Join(err, fmt.Errorf("poll: got %d", n))
	}
	return errors.Join(err, unix.Close(fd))
}

// threads starts some, which needs clone and preemption by signals.
func threads() error {
	stop := time.Now().Add(50 * time.Millisecond)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			runtime.LockOSThread()
			for time.Now().Before(stop) {
			}
		})
	}
	runtime.GC()
	all.Wait()
	return nil
}

// peerFacts reads of a process outside what the agent needs, and prints whether its
// executable can be read.
func peerFacts(pid string) error {
	for _, name := range []string{"stat", "status", "cgroup", "cmdline"} {
		if _, err := os.ReadFile("/proc/" + pid + "/" + name); err != nil {
			return err
		}
	}
	exe, err := os.Readlink("/proc/" + pid + "/exe")
	if err == nil {
		return fmt.Errorf("the executable of a process outside can be read: %s; the package comment says otherwise", exe)
	}
	fmt.Println(strings.TrimSpace(err.Error()))
	return nil
}
