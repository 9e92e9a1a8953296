package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// ErrGone says that the process at the other end is gone, or wrote nonsense. Whether it
// has done the job is not known.
var ErrGone = errors.New("gateway: gone")

// writeTime bounds a write to a process that does not read.
const writeTime = 5 * time.Second

// Lender lends bytes for the time of a call, as secret.Bytes does. They are written to
// the socket from where they are.
type Lender interface {
	Len() int
	Use(f func(p []byte) error) error
}

// Plain lends bytes that are no secret.
type Plain []byte

// Len returns how many there are.
func (p Plain) Len() int { return len(p) }

// Use lends them.
func (p Plain) Use(f func(p []byte) error) error { return f(p) }

// Conn is the agent's end of a connection to a gateway or an exchanger. It is safe for
// concurrent use.
type Conn struct {
	conn net.Conn
	done chan struct{}

	write sync.Mutex // held while a request is written

	mu      sync.Mutex // guards what follows
	next    uint32
	waiting map[uint32]chan Answer
}

// NewConn takes over conn.
func NewConn(conn net.Conn) *Conn {
	c := &Conn{conn: conn, done: make(chan struct{}), waiting: make(map[uint32]chan Answer)}
	go c.read()
	return c
}

// Close ends the connection, and with it the process at the other end.
func (c *Conn) Close() error { return c.conn.Close() }

// Done is closed once the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Do has a job done, with the value of the header Authorization and a body, of which
// each may be Plain(nil). The error is ErrGone, that of ctx, or one of a job that is
// malformed; that the request failed is in the Answer.
func (c *Conn) Do(ctx context.Context, j Job, authorization, body Lender) (Answer, error) {
	if err := j.check(); err != nil {
		return Answer{}, err
	}
	text, err := encode(j)
	if err == nil {
		err = checkLengths(len(text), authorization.Len(), body.Len())
	}
	if err != nil {
		return Answer{}, err
	}
	answer := make(chan Answer, 1)
	c.mu.Lock()
	c.next++
	id := c.next
	c.waiting[id] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()
	if err := c.send(id, text, authorization, body); err != nil {
		return Answer{}, err
	}
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	case <-c.done:
		select {
		case a := <-answer: // it came before the end
			return a, nil
		default:
			return Answer{}, ErrGone
		}
	}
}

// send writes one request. One that is cut off makes the connection useless.
func (c *Conn) send(id uint32, job []byte, authorization, body Lender) error {
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTime)) // a write fails at once where this does
	put := func(p []byte) error {
		if len(p) == 0 {
			return nil
		}
		_, err := c.conn.Write(p)
		return err
	}
	err := put(append(requestHeader(id, len(job), authorization.Len(), body.Len()), job...))
	for _, l := range []Lender{authorization, body} {
		if err == nil && l.Len() > 0 {
			err = l.Use(put)
		}
	}
	if err != nil {
		_ = c.conn.Close()
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return nil
}

// read hands answers to those who wait. What nobody waits for any more is dropped.
func (c *Conn) read() {
	defer close(c.done)
	defer func() { _ = c.conn.Close() }()
	for {
		id, a, err := readReply(c.conn)
		if err != nil {
			return
		}
		c.mu.Lock()
		answer, ok := c.waiting[id]
		delete(c.waiting, id)
		c.mu.Unlock()
		if ok {
			answer <- a
		}
	}
}
