package supervise

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/socketpath"
)

const (
	// helperTime is how long a keyring helper may live; its caller gives up after
	// five seconds.
	helperTime = 6 * time.Second
	// maxHelpers is how many may live at once.
	maxHelpers = 4
	// A gateway lives as long as the agent keeps its connection; one that hangs may
	// still be there when the next is asked for.
	maxGateways = 2
	// An exchanger makes one request, which takes a minute at most.
	exchangerTime = 75 * time.Second
	maxExchangers = 8
	// A prompter lives as long as the agent keeps its connection; one that has just closed
	// it may still be there when the next is asked for.
	maxPrompters = 2
	// maxLooks is how many looks at processes there are at once, and maxLooksAtOne how many
	// of them at one process. The agent gives each of its sockets a share, and looks at a
	// process once at a time on each; but it gives up on a file that does not come, which
	// here nobody can stop reading.
	maxLooks, maxLooksAtOne = 2048, 16
	// stopTime is how long the agent may take to end after it was asked to.
	stopTime = 10 * time.Second
)

// Config says what Run starts.
type Config struct {
	// Exe is the program of all children. They run a copy of it in memory, made
	// once, where the system allows that.
	Exe string
	// AgentArgs, KeyringArgs, GatewayArgs, ExchangerArgs and PrompterArgs are the arguments
	// of the agent, and of the processes that it may ask for; nil means that there is none.
	AgentArgs, KeyringArgs, GatewayArgs, ExchangerArgs, PrompterArgs []string
	// Env is the environment to choose from; see ChildEnv.
	Env []string
	// Stdout and Stderr are those of the agent; nil means none.
	Stdout, Stderr io.Writer
	// Sockets are listening sockets that the agent gets as its descriptors from 4 on.
	// They stay open here, and stay the caller's.
	Sockets []*os.File
	// Inputs are what the agent reads at its start, as its descriptors behind those of
	// Sockets. Run closes them once the agent has them.
	Inputs []*os.File
	// Ready is called when the agent says that it serves, and Stopping when it is asked
	// to end; nil means nothing.
	Ready, Stopping func()
}

// supervisor is the parent at work.
type supervisor struct {
	cfg     Config
	prog    *program
	link    *net.UnixConn
	helpers map[byte]*helpers
	bound   map[string]*socketpath.Bound
	reaped  chan byte     // the kind of each helper that has ended
	late    chan message  // each request for a helper that has waited its time
	over    chan struct{} // closed when Run returns
	looking looking       // the looks at processes
}

// request is a packet from the agent, or the end of them.
type request struct {
	message
	err error
}

// Run starts the agent and serves it until it ends; its exit status is the error,
// an *exec.ExitError, or nil. When ctx ends, or the process is sent SIGINT, SIGTERM
// or SIGHUP, the agent is asked to end; where ctx ended it is killed if it does not
// within ten seconds.
//
// The agent is a session of its own, without a terminal: what is typed there reaches
// it through Run alone, and once.
//
// No other process of the user can read a child, from its first instruction on. A
// child gets descriptors 0, 1, 2 and its link, and the agent those of cfg.Sockets and cfg.Inputs; to
// that end Run marks all others of this process close-on-exec.
//
// Where the agent fails, connections that wait at cfg.Sockets are closed: who listens
// there beside us would otherwise start us for them again and again.
func Run(ctx context.Context, cfg Config) error {
	KeepDescriptors()
	prog := newProgram(cfg.Exe)
	defer prog.close()
	err := run(ctx, cfg, prog)
	if err != nil {
		TurnAway(cfg.Sockets)
	}
	return err
}

// TurnAway closes the connections that wait at sockets.
func TurnAway(sockets []*os.File) {
	for _, s := range sockets {
		fd := int(s.Fd()) // #nosec G115 -- a descriptor fits
		if unix.SetNonblock(fd, true) != nil {
			continue
		}
		for {
			conn, _, err := unix.Accept(fd)
			if err != nil {
				break
			}
			_ = unix.Close(conn)
		}
	}
}

// run is Run with the program of all children given.
func run(ctx context.Context, cfg Config, prog *program) error {
	ours, theirs, err := socketpair(unix.SOCK_SEQPACKET)
	if err != nil {
		return err
	}
	defer func() { _ = ours.Close() }()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, endSignals()...)
	defer signal.Stop(signals)
	agent, ended, err := prog.start(func(exe string) *exec.Cmd {
		c := command(exe, cfg.AgentArgs, cfg.Env, theirs, syscall.SIGTERM, slices.Concat(cfg.Sockets, cfg.Inputs)...)
		c.SysProcAttr.Setsid = true
		c.Stdout, c.Stderr = cfg.Stdout, cfg.Stderr
		return c
	})
	_ = theirs.Close()
	for _, input := range cfg.Inputs {
		_ = input.Close()
	}
	if err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}

	s := &supervisor{cfg: cfg, prog: prog, link: ours, helpers: helpersOf(cfg), bound: make(map[string]*socketpath.Bound), reaped: make(chan byte, maxHelpers+maxGateways), late: make(chan message), over: make(chan struct{})}
	defer close(s.over)
	defer s.unlistenAll()
	requests := make(chan request)
	go s.read(requests)
	stop := ctx.Done()
	for {
		select {
		case err := <-ended:
			s.hear(requests)
			return err
		case <-signals:
			call(cfg.Stopping)
			_ = agent.Process.Signal(syscall.SIGTERM)
		case <-stop:
			stop = nil
			call(cfg.Stopping)
			_ = agent.Process.Signal(syscall.SIGTERM)
			defer time.AfterFunc(stopTime, func() { _ = agent.Process.Kill() }).Stop()
		case kind := <-s.reaped:
			s.helpers[kind].live--
			s.helpNext(kind)
		case m := <-s.late:
			s.helpNoMore(m)
		case r := <-requests:
			if r.err != nil {
				requests = nil // the agent is about to end, or speaks nonsense
				continue
			}
			s.answer(r.message)
		}
	}
}

// hear takes what the agent said before its end: that it serves, if it does.
func (s *supervisor) hear(requests <-chan request) {
	for requests != nil {
		r := <-requests
		if r.err != nil {
			return
		}
		if r.kind == kindReady {
			call(s.cfg.Ready)
		}
	}
}

// call calls f, if there is one.
func call(f func()) {
	if f != nil {
		f()
	}
}

// endSignals are the signals that ask for an end. Each reaches the agent as SIGTERM,
// which it answers by locking. A hangup that the caller has chosen to ignore (nohup)
// stays ignored.
func endSignals() []os.Signal {
	all := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
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
		select {
		case to <- r:
		case <-s.over:
			return
		}
		if r.err != nil {
			return
		}
	}
}

// answer answers one request.
func (s *supervisor) answer(m message) {
	s.limitWrite()
	var err error
	switch m.kind {
	case kindKeyring, kindGateway, kindExchanger, kindPrompter:
		err = s.askHelper(m)
	case kindExe:
		err = s.answerExe(m)
	case kindProcess:
		err = s.answerProcess(m)
	case kindListen:
		err = s.answerListen(m)
	case kindUnlisten:
		err = s.answerUnlisten(m)
	case kindReady:
		call(s.cfg.Ready)
	default:
		err = errMessage
	}
	s.refuse(m, err)
}

// limitWrite bounds what is written next: an agent that does not read must not keep signals
// from being passed on.
func (s *supervisor) limitWrite() { _ = s.link.SetWriteDeadline(time.Now().Add(writeTime)) }

// refuse answers a request that failed; err may be nil.
func (s *supervisor) refuse(m message, err error) {
	if err != nil {
		text := err.Error()
		m.kind, m.body = kindFailure, []byte(text[:min(len(text), 200)])
		_, _ = s.link.Write(m.encode()) // the agent is gone where this fails
	}
}

// hand sends an answer with a descriptor.
func (s *supervisor) hand(m message, file *os.File) error {
	_, _, err := s.link.WriteMsgUnix(m.encode(), unix.UnixRights(int(file.Fd())), nil) // #nosec G115 -- a descriptor fits
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
