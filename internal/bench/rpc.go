package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/nsagent/nsagent/internal/peercred"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	pairedCalls = 3000
	burst       = 1500 * time.Millisecond
	clients     = 64
)

// conn is a bare gRPC connection to the agent: health serves as the empty echo on
// the same socket, behind the same interceptors.
type conn struct {
	*grpc.ClientConn
	sign pb.SignerClient
	echo healthpb.HealthClient
}

func (w *world) dial() (*conn, error) {
	path := w.socket(w.agent.home)
	own := func(uid uint32) bool { return uid == uint32(os.Geteuid()) }
	c, err := grpc.NewClient("passthrough:///nsagent", grpc.WithTransportCredentials(peercred.NewClientCredentials(own)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))
	if err != nil {
		return nil, err
	}
	return &conn{c, pb.NewSignerClient(c), healthpb.NewHealthClient(c)}, nil
}

func (c *conn) doSign(ctx context.Context) error {
	_, err := c.sign.Sign(ctx, &pb.SignRequest{Profile: profile, Url: signURL})
	return err
}

func (c *conn) doEcho(ctx context.Context) error {
	_, err := c.echo.Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

func rpcRows(ctx context.Context, w *world) ([]row, error) {
	ratio, echo, sign, err := w.paired(ctx)
	if err != nil {
		return nil, err
	}
	rows := []row{{"`Sign` p50 / empty gRPC echo on the same socket, 1 client", "≤ 1.20", fmt.Sprintf("%.2f", median(ratio)),
		fmt.Sprintf("%s against %s; %s", sign, echo, spread(ratio)), median(ratio) <= 1.20}}

	var throughput, stream []float64
	var perSign, perEcho, perStream float64
	for range w.rounds {
		if perEcho, err = w.load(ctx, (*conn).doEcho); err != nil {
			return nil, err
		}
		if perSign, err = w.load(ctx, (*conn).doSign); err != nil {
			return nil, err
		}
		throughput = append(throughput, perSign/perEcho)
		unary, err := w.unary(ctx)
		if err != nil {
			return nil, err
		}
		if perStream, err = w.stream(ctx); err != nil {
			return nil, err
		}
		stream = append(stream, perStream/unary)
	}
	return append(rows,
		row{"`Sign` throughput / echo, 64 clients", "≥ 0.75", fmt.Sprintf("%.2f", median(throughput)),
			fmt.Sprintf("%.1f k/s against %.1f k/s; %s", perSign/1000, perEcho/1000, spread(throughput)), median(throughput) >= 0.75},
		row{"`SignStream` / unary `Sign` throughput, 64 in flight", "≥ 2.5", fmt.Sprintf("%.2f", median(stream)),
			fmt.Sprintf("%.1f k/s streamed; %s", perStream/1000, spread(stream)), median(stream) >= 2.5},
	), nil
}

// paired alternates echo and sign on one connection.
func (w *world) paired(ctx context.Context) (ratio []float64, echo, sign time.Duration, err error) {
	c, err := w.dial()
	if err != nil {
		return nil, 0, 0, err
	}
	defer func() { _ = c.Close() }()
	return w.alternate(func() error { return c.doEcho(ctx) }, func() error { return c.doSign(ctx) })
}

// alternate calls a and b in turns and returns the ratio b/a of the medians of each
// round, and the medians of the last.
func (w *world) alternate(a, b func() error) (ratio []float64, ofA, ofB time.Duration, err error) {
	for range w.rounds {
		var as, bs []time.Duration
		for range pairedCalls {
			begin := time.Now()
			if err := a(); err != nil {
				return nil, 0, 0, err
			}
			middle := time.Now()
			if err := b(); err != nil {
				return nil, 0, 0, err
			}
			as, bs = append(as, middle.Sub(begin)), append(bs, time.Since(middle))
		}
		ofA, ofB = median(as), median(bs)
		ratio = append(ratio, float64(ofB)/float64(ofA))
	}
	return ratio, ofA.Round(time.Microsecond), ofB.Round(time.Microsecond), nil
}

// load returns calls a second by 64 clients, each with a connection of its own.
func (w *world) load(ctx context.Context, call func(*conn, context.Context) error) (float64, error) {
	conns := make([]*conn, clients)
	for i := range conns {
		c, err := w.dial()
		if err != nil {
			return 0, err
		}
		defer func() { _ = c.Close() }()
		if err := call(c, ctx); err != nil { // connects
			return 0, err
		}
		conns[i] = c
	}
	return burstOf(clients, func(i int) error { return call(conns[i], ctx) })
}

// unary returns signatures a second with 64 in flight on one connection.
func (w *world) unary(ctx context.Context) (float64, error) {
	c, err := w.dial()
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	return burstOf(clients, func(int) error { return c.doSign(ctx) })
}

// stream returns signatures a second with 64 in flight on one stream.
func (w *world) stream(ctx context.Context) (float64, error) {
	s, err := w.agent.client.Stream(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }()
	return burstOf(clients, func(int) error {
		_, err := s.Sign(ctx, benchRequest)
		return err
	})
}

// burstOf runs f in n goroutines for the time of a burst and returns calls a
// second.
func burstOf(n int, f func(i int) error) (float64, error) {
	counts, errs := make([]int, n), make([]error, n)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for time.Since(begin) < burst {
				if errs[i] = f(i); errs[i] != nil {
					return
				}
				counts[i]++
			}
		})
	}
	wg.Wait()
	took := time.Since(begin).Seconds()
	total := 0
	for i := range n {
		if errs[i] != nil {
			return 0, errs[i]
		}
		total += counts[i]
	}
	return float64(total) / took, nil
}
