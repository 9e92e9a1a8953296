package supervise

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// ErrParent means that the parent is gone or does not do what was asked.
var ErrParent = errors.New("supervise: parent process")

// linkDescriptor is where a child finds its end of the socketpair.
const linkDescriptor = 3

// writeTime bounds a write to a parent that does not read, such as a stopped one.
const writeTime = 5 * time.Second

// Link is the agent's way to its parent. It is safe for concurrent use.
type Link struct {
	conn *net.UnixConn
	done chan struct{}

	mu      sync.Mutex // guards what follows
	seq     uint32
	waiting map[uint32]chan reply
}

type reply struct {
	message
	file *os.File // what the answer carried
	err  error
}

// orphanTime is how long an agent may take to end after its parent has.
const orphanTime = 5 * time.Second

// Parent returns the link of a process that Run started. Once the parent is gone
// the process should end by itself; it is killed if it has not after five seconds,
// so that keys never outlive what answers for them.
func Parent() (*Link, error) { return parentWithin(orphanTime) }

// parentWithin is Parent with the time given.
func parentWithin(orphanTime time.Duration) (*Link, error) {
	conn, err := ParentConn()
	if err != nil {
		return nil, err
	}
	l := newLink(conn)
	go func() {
		<-l.done
		time.Sleep(orphanTime)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}()
	return l, nil
}

// ParentConn returns the raw socketpair, which is what a helper talks on.
func ParentConn() (*net.UnixConn, error) {
	conn, err := unixConn(os.NewFile(linkDescriptor, "parent"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrParent, err)
	}
	return conn, nil
}

func newLink(conn *net.UnixConn) *Link {
	l := &Link{conn: conn, done: make(chan struct{}), waiting: make(map[uint32]chan reply)}
	go l.read()
	return l
}

// Done is closed once the parent is gone.
func (l *Link) Done() <-chan struct{} { return l.done }

// Launch starts a keyring helper and returns the connection to it, which the
// caller closes.
func (l *Link) Launch(ctx context.Context) (*net.UnixConn, error) {
	return l.launch(ctx, kindKeyring, "keyring helper")
}

// LaunchGateway starts a gateway, which ends with the connection to it.
func (l *Link) LaunchGateway(ctx context.Context) (*net.UnixConn, error) {
	return l.launch(ctx, kindGateway, "gateway")
}

// LaunchExchanger starts a process that makes one request and ends, at the latest with
// the connection to it.
func (l *Link) LaunchExchanger(ctx context.Context) (*net.UnixConn, error) {
	return l.launch(ctx, kindExchanger, "exchanger")
}

// LaunchPrompter starts a process that asks somebody for approvals, which ends with the
// connection to it.
func (l *Link) LaunchPrompter(ctx context.Context) (*net.UnixConn, error) {
	return l.launch(ctx, kindPrompter, "prompter")
}

func (l *Link) launch(ctx context.Context, kind byte, name string) (*net.UnixConn, error) {
	r, err := l.ask(ctx, kind, nil)
	if err != nil {
		return nil, fmt.Errorf("starting the %s: %w", name, err)
	}
	return unixConn(r.file)
}

// Listen returns a socket that listens at a path, for whoever gets at it. The directory
// has to be ours, and closed to the writing of others. The caller closes the socket, and
// calls Unlisten.
func (l *Link) Listen(ctx context.Context, path string) (*os.File, error) {
	r, err := l.ask(ctx, kindListen, []byte(path))
	if err != nil {
		return nil, fmt.Errorf("listening at %s: %w", path, err)
	}
	return r.file, nil
}

// Unlisten removes the path of a socket from Listen.
func (l *Link) Unlisten(ctx context.Context, path string) error {
	if _, err := l.ask(ctx, kindUnlisten, []byte(path)); err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

// Exe returns the path of the program that the process runs. It says nothing
// about whether the process behind the number is still the same.
func (l *Link) Exe(ctx context.Context, pid int32) (string, error) {
	r, err := l.ask(ctx, kindExe, binary.BigEndian.AppendUint32(nil, uint32(pid))) // #nosec G115 -- the kernel's pid_t
	if err != nil {
		return "", fmt.Errorf("reading an executable: %w", err)
	}
	return string(r.body), nil
}

// Ready tells the parent that the agent serves. There is no answer.
func (l *Link) Ready() error {
	_ = l.conn.SetWriteDeadline(time.Now().Add(writeTime)) // a write fails at once where this does
	if _, err := l.conn.Write(message{kind: kindReady}.encode()); err != nil {
		return fmt.Errorf("%w: %w", ErrParent, err)
	}
	return nil
}

// Given returns the descriptors that a process which Run started was given beside its
// link: n of them, as many as Config.Sockets and Config.Inputs have together, in this
// order. The caller closes them.
func Given(n int) []*os.File {
	var files []*os.File
	for fd := linkDescriptor + 1; fd <= linkDescriptor+n; fd++ {
		files = append(files, os.NewFile(uintptr(fd), "given")) // #nosec G115 -- a descriptor fits
	}
	return files
}

// ask sends a request and waits for its answer.
func (l *Link) ask(ctx context.Context, kind byte, body []byte) (reply, error) {
	answer := make(chan reply, 1)
	l.mu.Lock()
	l.seq++
	m := message{kind: kind, seq: l.seq, body: body}
	l.waiting[m.seq] = answer
	l.mu.Unlock()
	_ = l.conn.SetWriteDeadline(time.Now().Add(writeTime)) // a write fails at once where this does
	if _, err := l.conn.Write(m.encode()); err != nil {
		l.forget(m.seq)
		return reply{}, fmt.Errorf("%w: %w", ErrParent, err)
	}
	select {
	case r := <-answer:
		if r.err != nil {
			return reply{}, r.err
		}
		return r, nil
	case <-ctx.Done():
		l.forget(m.seq)
		select {
		case r := <-answer: // it came while we gave up
			if r.file != nil {
				_ = r.file.Close()
			}
		default:
		}
		return reply{}, ctx.Err()
	case <-l.done:
		return reply{}, fmt.Errorf("%w: gone", ErrParent)
	}
}

// forget gives up on an answer.
func (l *Link) forget(seq uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, seq)
}

// read hands answers to those who wait, until the parent is gone.
func (l *Link) read() {
	defer close(l.done)
	b, oob := make([]byte, maxMessage+1), make([]byte, 64)
	for {
		n, oobn, _, _, err := l.conn.ReadMsgUnix(b, oob)
		if err != nil || n == 0 {
			return
		}
		m, err := parseMessage(append([]byte(nil), b[:n]...))
		if err != nil {
			return
		}
		r := reply{message: m}
		switch {
		case m.kind == kindFailure:
			r.err = fmt.Errorf("%w: %s", ErrParent, m.body)
		case m.carries() || oobn > 0:
			r.file, r.err = receiveFile(oob[:oobn])
		}
		l.mu.Lock()
		answer, waiting := l.waiting[m.seq]
		delete(l.waiting, m.seq)
		if waiting {
			answer <- r
		}
		l.mu.Unlock()
		if !waiting && r.file != nil {
			_ = r.file.Close()
		}
	}
}

func receiveFile(oob []byte) (*os.File, error) {
	fd, err := oneDescriptor(oob)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "passed"), nil // #nosec G115 -- a descriptor fits
}
