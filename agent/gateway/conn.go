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

// Do has the request of j made. The error is ErrGone, that of ctx, or one of a job that
// is malformed; that the request failed is in the Answer.
func (c *Conn) Do(ctx context.Context, j Job, p Payload) (Answer, error) {
	if err := j.check(); err != nil {
		return Answer{}, err
	}
	text, err := encode(j)
	if err == nil {
		authorization, body := p.lengths()
		err = checkLengths(len(text), authorization, body)
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
	if err := c.send(id, text, p); err != nil {
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

// send writes one request, its payload from where it lies. One that is cut off makes the
// connection useless.
func (c *Conn) send(id uint32, job []byte, p Payload) error {
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTime)) // a write fails at once where this does
	err := lend(p.Authorization, func(authorization []byte) error {
		return lend(p.Body, func(body []byte) error {
			all := net.Buffers{append(requestHeader(id, len(job), len(authorization), len(body)), job...)}
			for _, part := range [][]byte{authorization, body} {
				if len(part) > 0 {
					all = append(all, part)
				}
			}
			_, err := all.WriteTo(c.conn)
			return err
		})
	})
	if err != nil {
		_ = c.conn.Close()
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return nil
}

// lend calls f with the bytes of p, which may be nil.
func lend(p Part, f func([]byte) error) error {
	if p == nil {
		return f(nil)
	}
	return p.Use(f)
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
