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

// writeTime bounds a write to a process that does not read, and answerTime how much later
// than the time of its job an answer may come.
const (
	writeTime  = 5 * time.Second
	answerTime = 5 * time.Second
)

// Conn is the agent's end of a connection to a gateway or an exchanger. It is safe for
// concurrent use.
//
// A process that does not answer within the time of a job, and a little more, hangs, as one
// that was stopped does: the connection is closed then, whoever still waits.
type Conn struct {
	conn net.Conn
	done chan struct{}
	over func()        // closes done, once
	jobs chan struct{} // as many as are under way: those that the process does at once

	write sync.Mutex // held while a request is written

	mu    sync.Mutex // guards what follows
	next  uint32
	under map[uint32]underWay
}

// underWay is a job that has no answer yet. Who asked for it may have gone away.
type underWay struct {
	answer chan Answer // has room for it
	late   *time.Timer
}

// NewConn takes over conn.
func NewConn(conn net.Conn) *Conn {
	c := &Conn{conn: conn, done: make(chan struct{}), jobs: make(chan struct{}, maxJobs), under: make(map[uint32]underWay)}
	c.over = sync.OnceFunc(func() { close(c.done) })
	go c.read()
	return c
}

// Close ends the connection, and with it the process at the other end. Done is closed then:
// nobody takes it for one that could do a job. It waits for nothing.
func (c *Conn) Close() error {
	c.over()
	return c.conn.Close()
}

// Done is closed once the connection has ended, or was closed.
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
	select {
	case c.jobs <- struct{}{}:
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	case <-c.done:
		return Answer{}, ErrGone
	}
	id, answer := c.begin(j.Time() + answerTime)
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

// begin takes a number for a job that is to be answered within d.
func (c *Conn) begin(d time.Duration) (id uint32, answer <-chan Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	id = c.next
	u := underWay{answer: make(chan Answer, 1)}
	u.late = time.AfterFunc(d, func() {
		c.end(id, Answer{Failure: FailedTime})
		_ = c.Close()
	})
	c.under[id] = u
	return id, u.answer
}

// end hands an answer to whoever waits for it. One that nobody asked for is dropped.
func (c *Conn) end(id uint32, a Answer) {
	c.mu.Lock()
	u, ok := c.under[id]
	delete(c.under, id)
	c.mu.Unlock()
	if ok {
		u.late.Stop()
		u.answer <- a
		<-c.jobs
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
		_ = c.Close()
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

// read hands answers to those who wait, until the connection ends.
func (c *Conn) read() {
	defer func() {
		_ = c.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, u := range c.under {
			u.late.Stop()
		}
	}()
	for {
		id, a, err := readReply(c.conn)
		if err != nil {
			return
		}
		c.end(id, a)
	}
}
