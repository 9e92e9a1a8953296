package agent

import (
	"net"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/rawhttp2"
)

// rawDial connects to a socket and speaks no protocol yet.
func rawDial(t testing.TB, path string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("unix", path, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wire is a connection on which the HTTP/2 preface was exchanged.
type wire struct{ *rawhttp2.Conn }

// http2Dial connects and exchanges the preface and settings.
func http2Dial(t testing.TB, path string, settings ...byte) wire {
	t.Helper()
	c, err := rawhttp2.Open(rawDial(t, path), settings...)
	if err != nil {
		t.Fatal(err)
	}
	return wire{c}
}

// send writes frames.
func (w wire) send(t testing.TB, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if _, err := w.Write(f); err != nil {
			t.Fatalf("writing a frame: %v", err)
		}
	}
}

// unixConn returns c as what it is.
func unixConn(t testing.TB, c net.Conn) *net.UnixConn {
	t.Helper()
	u, ok := c.(*net.UnixConn)
	if !ok {
		t.Fatalf("a connection of type %T", c)
	}
	return u
}
