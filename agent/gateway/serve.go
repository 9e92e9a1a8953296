package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// maxJobs is how many jobs the gateway does at once; more wait in the socket.
const maxJobs = 64

// Serve is the gateway: it does the jobs that come over conn, many at once, until conn
// ends, which is no error. confine is called once everything is read that the process
// needs of the system; nil means nothing.
func Serve(ctx context.Context, conn net.Conn, confine func() error) error {
	f, err := newFetcher()
	if err != nil {
		return err
	}
	defer f.close()
	if confine != nil {
		if err := confine(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxJobs)
	out := &replies{conn: conn}
	for {
		q, err := readRequest(conn)
		if errors.Is(err, io.EOF) {
			cancel()
			return nil
		}
		if err != nil {
			return err
		}
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			out.send(q.id, f.do(ctx, q))
			q.clear()
		})
	}
}

// ServeOnce is an exchanger: it does the one job that comes over conn, and returns. What
// the job carried is in the memory of this process, which is to end. confine is called
// with the port of the job's URL, before anything is sent; nil means nothing.
func ServeOnce(ctx context.Context, conn net.Conn, confine func(port uint16) error) error {
	f, err := newFetcher()
	if err != nil {
		return err
	}
	defer f.close()
	q, err := readRequest(conn)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	port, err := q.job.port()
	if err != nil {
		return err
	}
	if confine != nil {
		if err := confine(port); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // an agent that is gone wants nothing any more
		_, _ = conn.Read(make([]byte, 1))
		cancel()
	}()
	a := f.do(ctx, q)
	q.clear()
	(&replies{conn: conn}).send(q.id, a)
	return nil
}

// replies writes answers, one after the other.
type replies struct {
	conn net.Conn

	mu sync.Mutex // held while one is written
}

func (r *replies) send(id uint32, a Answer) {
	b, err := appendReply(nil, id, a)
	if err != nil {
		b, err = appendReply(nil, id, Answer{Failure: FailedAnswer})
	}
	if err != nil {
		return // not even that: the agent sees the time run out
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.conn.Write(b) // the agent is gone where this fails, which the reader sees
	clear(b)
}
