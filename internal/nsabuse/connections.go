package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/nsagent/nsagent/internal/rawhttp2"
)

// retry is how long a worker waits where the agent has no room for it.
const retry = 5 * time.Millisecond

// socket is where worker i goes: every eighth to admin.sock.
func (t target) socket(i int) string {
	if i%8 == 7 {
		return t.Admin
	}
	return t.Agent
}

// dial connects; nil where there is no room. The connection closes when ctx ends.
func dial(ctx context.Context, path string) net.Conn {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		pause(ctx, retry)
		return nil
	}
	context.AfterFunc(ctx, func() { _ = c.Close() })
	return c
}

// open connects and begins HTTP/2; nil where there is no room.
func open(ctx context.Context, path string, settings ...byte) *rawhttp2.Conn {
	c := dial(ctx, path)
	if c == nil {
		return nil
	}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	h, err := rawhttp2.Open(c, settings...)
	if err != nil {
		_ = c.Close()
		pause(ctx, retry)
		return nil
	}
	_ = c.SetDeadline(time.Time{})
	return h
}

// otherUser asks both sockets in both protocols; not a byte may come back.
func otherUser(ctx context.Context, on target, t *count) {
	greetings := []string{"GET /v1/status HTTP/1.1\r\nHost: nsagent\r\n\r\n", rawhttp2.Preface + string(rawhttp2.Frame(rawhttp2.FrameSettings, 0, 0, nil))}
	repeat(ctx, 8, func(i int) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", on.socket(i))
		if err != nil {
			if late := net.Error(nil); !errors.As(err, &late) || !late.Timeout() { // time was over
				t.wrong("another user could not even try: %v", err)
			}
			pause(ctx, retry)
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, greetings[i%2])
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, _ := io.Copy(io.Discard, c); n > 0 {
			t.through("another user was answered")
		}
		t.done(1)
	})
}

// silent connects, says nothing, and comes back when it is turned out.
func silent(ctx context.Context, on target, t *count) {
	repeat(ctx, 200, func(i int) {
		if c := dial(ctx, on.socket(i)); c != nil {
			t.done(1)
			if n, _ := io.Copy(io.Discard, c); n > 0 {
				t.through("silence was answered")
			}
			_ = c.Close()
		}
	})
}

// trickle says half of something, slowly.
func trickle(ctx context.Context, on target, t *count) {
	says := []string{rawhttp2.Preface, "POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\nX: ", "POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\nContent-Length: 100\r\n\r\n{", "P"}
	repeat(ctx, 150, func(i int) {
		c := dial(ctx, on.socket(i))
		if c == nil {
			return
		}
		defer func() { _ = c.Close() }()
		t.done(1)
		said := says[i%len(says)]
		for n := range len(said) - 1 {
			if _, err := io.WriteString(c, said[n:n+1]); err != nil {
				return
			}
			if n > 10 {
				pause(ctx, 100*time.Millisecond)
			}
		}
		_, _ = io.Copy(io.Discard, c)
	})
}

// churn opens and closes.
func churn(ctx context.Context, on target, t *count) {
	repeat(ctx, 8, func(i int) {
		if c := dial(ctx, on.socket(i)); c != nil {
			t.done(1)
			if i%2 == 0 {
				_, _ = io.WriteString(c, rawhttp2.Preface)
			}
			_ = c.Close()
		}
	})
}

// hoard takes all connections of agent.sock and keeps them alive.
func hoard(ctx context.Context, on target, t *count) {
	repeat(ctx, 300, func(int) {
		if h := open(ctx, on.Agent); h != nil {
			t.done(1)
			_, _ = io.Copy(io.Discard, h)
			_ = h.Close()
		}
	})
}

// noise says random things, half of the time after a proper beginning.
func noise(ctx context.Context, on target, t *count) {
	repeat(ctx, 8, func(i int) {
		r := rand.New(rand.NewPCG(rand.Uint64(), 1)) // #nosec G404 -- noise
		var c net.Conn
		if i%2 == 0 {
			c = dial(ctx, on.socket(i))
		} else if h := open(ctx, on.socket(i)); h != nil {
			c = h
		}
		if c == nil {
			return
		}
		defer func() { _ = c.Close() }()
		t.done(1)
		b := make([]byte, 4096)
		for range 1 + r.IntN(16) {
			for j := range b {
				b[j] = byte(r.Uint32()) // #nosec G115 -- noise
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, _ = io.Copy(io.Discard, c)
	})
}
