package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// helperTime is how long a keyring helper may live; its caller gives up after
	// five seconds.
	helperTime = 6 * time.Second
	// maxHelpers is how many may live at once.
	maxHelpers = 4
	// stopTime is how long the agent may take to end after it was asked to.
	stopTime = 10 * time.Second
)

// Config says what Run starts.
type Config struct {
	// Exe is the program of all children.
	Exe string
	// AgentArgs and KeyringArgs are the arguments of the agent and of a keyring
	// helper.
	AgentArgs, KeyringArgs []string
	// Env is the environment to choose from; see ChildEnv.
	Env []string
	// Stdout and Stderr are those of the agent; nil means none.
	Stdout, Stderr io.Writer
}

// supervisor is the parent at work. All of it runs on one thread: the kernel ties
// the death signal of a child to the thread that started it.
type supervisor struct {
	cfg     Config
	link    *net.UnixConn
	helpers int
	reaped  chan struct{}
}

// request is a packet from the agent, or the end of them.
type request struct {
	message
	err error
}

// Run starts the agent and serves it until it ends; its exit status is the error,
// an *exec.ExitError, or nil. When ctx ends the agent is asked to end, and killed
// if it does not within ten seconds.
func Run(ctx context.Context, cfg Config) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ours, theirs, err := socketpair(unix.SOCK_SEQPACKET)
	if err != nil {
		return err
	}
	defer func() { _ = ours.Close() }()
	agent := command(cfg, cfg.AgentArgs, theirs, syscall.SIGTERM)
	agent.Stdout, agent.Stderr = cfg.Stdout, cfg.Stderr
	err = agent.Start()
	_ = theirs.Close()
	if err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- agent.Wait() }()

	s := &supervisor{cfg: cfg, link: ours, reaped: make(chan struct{}, maxHelpers)}
	requests := make(chan request)
	go s.read(requests)
	stop := ctx.Done()
	for {
		select {
		case err := <-ended:
			return err
		case <-stop:
			stop = nil
			_ = agent.Process.Signal(syscall.SIGTERM)
			defer time.AfterFunc(stopTime, func() { _ = agent.Process.Kill() }).Stop()
		case <-s.reaped:
			s.helpers--
		case r := <-requests:
			if r.err != nil {
				requests = nil // the agent is about to end, or speaks nonsense
				continue
			}
			s.answer(r.message)
		}
	}
}

// read hands over what the agent asks, until it asks nothing more.
func (s *supervisor) read(to chan<- request) {
	b := make([]byte, maxMessage+1)
	for {
		n, err := s.link.Read(b)
		if err == nil && n == 0 {
			err = io.EOF
		}
		r := request{err: err}
		if err == nil {
			r.message, r.err = parseMessage(append([]byte(nil), b[:n]...))
		}
		to <- r
		if r.err != nil {
			return
		}
	}
}

// answer answers one request.
func (s *supervisor) answer(m message) {
	var err error
	switch m.kind {
	case kindKeyring:
		err = s.answerKeyring(m)
	case kindExe:
		err = s.answerExe(m)
	default:
		err = errMessage
	}
	if err != nil {
		text := err.Error()
		m.kind, m.body = kindFailure, []byte(text[:min(len(text), 200)])
		_, _ = s.link.Write(m.encode()) // the agent is gone where this fails
	}
}

func (s *supervisor) answerKeyring(m message) error {
	if s.helpers == maxHelpers {
		return errors.New("too many keyring helpers at once")
	}
	end, err := startHelper(s.cfg, s.cfg.KeyringArgs, s.reaped)
	if err != nil {
		return err
	}
	s.helpers++
	defer func() { _ = end.Close() }()
	file, err := end.File()
	if err != nil {
		return fmt.Errorf("handing over the helper: %w", err)
	}
	defer func() { _ = file.Close() }()
	m.body = nil
	_, _, err = s.link.WriteMsgUnix(m.encode(), unix.UnixRights(int(file.Fd())), nil) // #nosec G115 -- a descriptor fits
	return err
}

// answerExe reads which program a process runs. Whether the number still means
// the same process is for the agent to say, which holds its pidfd.
func (s *supervisor) answerExe(m message) error {
	pid, err := m.pid()
	if err != nil {
		return err
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return fmt.Errorf("reading an executable: %w", err)
	}
	m.body = []byte(path)
	_, err = s.link.Write(m.encode())
	return err
}

// startHelper starts a helper process and returns our end of its socketpair. It is
// killed after helperTime; reaped gets a value once it is gone.
func startHelper(cfg Config, args []string, reaped chan<- struct{}) (*net.UnixConn, error) {
	ours, theirs, err := socketpair(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	helper := command(cfg, args, theirs, syscall.SIGKILL)
	err = helper.Start()
	_ = theirs.Close()
	if err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("starting the keyring helper: %w", err)
	}
	kill := time.AfterFunc(helperTime, func() { _ = helper.Process.Kill() })
	go func() {
		_ = helper.Wait() // its answer says how it went
		kill.Stop()
		reaped <- struct{}{}
	}()
	return ours, nil
}

// command returns a child with its end of a socketpair as descriptor 3.
func command(cfg Config, args []string, link *os.File, death syscall.Signal) *exec.Cmd {
	c := exec.Command(cfg.Exe, args...) // #nosec G204 -- this very program
	c.Env = ChildEnv(cfg.Env)
	c.ExtraFiles = []*os.File{link}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: death}
	return c
}

// ChildEnv returns what a child gets of an environment: where files and the
// session bus are, and the language. Unlock tokens and everything else stay out.
func ChildEnv(env []string) []string {
	var out []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "HOME", "LANG", "TZ", "DBUS_SESSION_BUS_ADDRESS", "NSAGENT_SOCK", "NSAGENT_ADMIN_SOCK", "NSAGENT_CONFIG", "GOCOVERDIR":
			out = append(out, kv)
		default:
			if strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "LC_") {
				out = append(out, kv)
			}
		}
	}
	return out
}

// socketpair returns two connected ends: of kind SOCK_SEQPACKET, which keeps
// packets apart, for the agent, and SOCK_STREAM for a helper.
func socketpair(kind int) (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socketpair: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "child") // #nosec G115 -- a descriptor fits
	ours, err = unixConn(os.NewFile(uintptr(fds[0]), "parent"))
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// unixConn turns a descriptor into a connection; f is closed.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer func() { _ = f.Close() }()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("using a socketpair: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("using a socketpair: %w: not a unix socket", errMessage)
	}
	return u, nil
}
