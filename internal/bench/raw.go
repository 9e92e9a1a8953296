package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// rawMessage is how many bytes the raw peer sends back for each request: as many as a
// signature has.
const rawMessage = 600

// serveRaw is the least that a signing agent on a Unix socket could be: it reads
// length-prefixed messages and answers each with one of rawMessage bytes. It runs in a
// process of its own, as the agent does, until it is killed.
func serveRaw(path string) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer func() { _ = c.Close() }()
			in, out := bufio.NewReader(c), make([]byte, 4+rawMessage)
			binary.BigEndian.PutUint32(out, rawMessage)
			for {
				if _, err := readRaw(in); err != nil {
					return
				}
				if _, err := c.Write(out); err != nil {
					return
				}
			}
		}()
	}
}

func readRaw(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > 4096 {
		return nil, errors.New("bench: a raw message is too long")
	}
	p := make([]byte, n)
	_, err := io.ReadFull(r, p)
	return p, err
}

// raw is a connection to serveRaw.
type raw struct {
	net.Conn
	in  *bufio.Reader
	out []byte
}

func (r *raw) call() error {
	if _, err := r.Write(r.out); err != nil {
		return err
	}
	_, err := readRaw(r.in)
	return err
}

func (w *world) startRaw() (stop func(), dial func() (*raw, error), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	path := filepath.Join(w.dir, "raw.sock")
	cmd := exec.Command(self, "-raw", path) // #nosec G204 -- this very program
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	dial = func() (*raw, error) {
		c, err := net.Dial("unix", path)
		if err != nil {
			return nil, err
		}
		out := binary.BigEndian.AppendUint32(nil, uint32(len(signURL))) // #nosec G115 -- a constant
		return &raw{c, bufio.NewReader(c), append(out, signURL...)}, nil
	}
	for range 2000 {
		var c *raw
		if c, err = dial(); err == nil {
			return stop, dial, c.Close()
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	return nil, nil, err
}

// rawRows says what gRPC, decision and record cost over bare messages on a socket.
func rawRows(ctx context.Context, w *world) ([]row, error) {
	stop, dial, err := w.startRaw()
	if err != nil {
		return nil, err
	}
	defer stop()
	one, err := dial()
	if err != nil {
		return nil, err
	}
	defer func() { _ = one.Close() }()
	c, err := w.dial()
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	p50, bare, sign, err := w.alternate(one.call, func() error { return c.doSign(ctx) })
	if err != nil {
		return nil, err
	}
	var throughput []float64
	var ours, theirs float64
	for range w.rounds {
		conns := make([]*raw, clients)
		for i := range conns {
			if conns[i], err = dial(); err != nil {
				return nil, err
			}
		}
		theirs, err = burstOf(clients, func(i int) error { return conns[i].call() })
		for _, r := range conns {
			_ = r.Close()
		}
		if err != nil {
			return nil, err
		}
		if ours, err = w.load(ctx, (*conn).doSign); err != nil {
			return nil, err
		}
		throughput = append(throughput, ours/theirs)
	}
	return []row{
		{"`Sign` p50 / bare length-prefixed echo, 1 client", noTarget, fmt.Sprintf("%.1f", median(p50)), fmt.Sprintf("%s against %s; %s", sign, bare, spread(p50)), false},
		{"`Sign` throughput / bare length-prefixed echo, 64 clients", noTarget, fmt.Sprintf("%.2f", median(throughput)),
			fmt.Sprintf("%.1f k/s against %.1f k/s; %s", ours/1000, theirs/1000, spread(throughput)), false},
	}, nil
}
