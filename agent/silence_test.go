package agent

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/rawhttp2"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// slack is what a busy machine may add to the agent's time limits.
	slack = inTime
	// promptly is for what must not wait for handshakeTime.
	promptly = handshakeTime - time.Second
)

// goroutines is a count to come back to.
type goroutines struct {
	t      testing.TB
	before int
}

// countGoroutines remembers how many goroutines there are once f is warm.
func (f *fixture) countGoroutines() goroutines {
	f.t.Helper()
	for range 8 {
		f.sign("acme")
	}
	n := runtime.NumGoroutine()
	eventually(f.t, inTime, func() string { // until it stands still
		last := n
		time.Sleep(20 * time.Millisecond)
		if n = runtime.NumGoroutine(); n != last {
			return fmt.Sprintf("%d goroutines, %d just now", n, last)
		}
		return ""
	})
	return goroutines{f.t, n}
}

// back waits until what an attack started is gone.
func (g goroutines) back() {
	g.t.Helper()
	deadline := time.Now().Add(inTime)
	for runtime.NumGoroutine() > g.before+2 { // a release pass of locked memory may run
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			g.t.Fatalf("%d goroutines, before it were %d:\n%s", runtime.NumGoroutine(), g.before, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestSilence guards D-01 and D-02: whoever connects and stays silent, or stops in
// the middle of anything, is let go after 5 seconds; everybody else is answered at
// once meanwhile, and nothing is left of it.
func TestSilence(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	base := f.countGoroutines()
	body, err := proto.Marshal(&pb.SignRequest{Url: sandboxURL})
	if err != nil {
		t.Fatal(err)
	}
	sign, stream := rawhttp2.CallHeaders(pb.Signer_Sign_FullMethodName), rawhttp2.CallHeaders(pb.Signer_SignStream_FullMethodName)
	unlock := rawhttp2.CallHeaders(pb.Admin_Unlock_FullMethodName)

	var group sync.WaitGroup
	closes := func(name, path, said string, drip bool) {
		begin := time.Now()
		c := rawDial(t, path)
		group.Go(func() {
			defer func() { _ = c.Close() }()
			if drip {
				dripped := make(chan struct{})
				defer func() { <-dripped }()
				go func() { defer close(dripped); trickle(c, said) }()
			} else if _, err := c.Write([]byte(said)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			n, err := rawhttp2.AwaitClose(c, handshakeTime+slack)
			if name == "half a body" && n == 0 {
				t.Errorf("%s: closed without a word", name)
			}
			if took := time.Since(begin); err != nil || took < handshakeTime/2 {
				t.Errorf("%s: %v after %s, want it closed after %s", name, err, took, handshakeTime)
			}
		})
	}
	ends := func(name, path string, frames ...[]byte) {
		w := http2Dial(t, path)
		w.send(t, frames...)
		group.Go(func() {
			defer func() { _ = w.Close() }()
			if g, err := w.AwaitEnd(1, handshakeTime+slack); err != nil || g.Kind == 0 {
				t.Errorf("%s: frame %+v, %v; want the call to be ended, and the connection kept", name, g, err)
			}
		})
	}
	closes("agent.sock, nothing", f.paths.Agent, "", false)
	closes("admin.sock, nothing", f.paths.Admin, "", false)
	closes("one letter of the preface", f.paths.Agent, "P", false)
	closes("half the preface", f.paths.Admin, string(http2Preface[:12]), false)
	closes("the preface, slowly", f.paths.Agent, string(http2Preface), true)
	closes("the preface and no settings", f.paths.Agent, string(http2Preface), false)
	closes("the preface and no settings, admin", f.paths.Admin, string(http2Preface), false)
	closes("half a request line", f.paths.Agent, "POST /v1/si", false)
	closes("half the headers", f.paths.Agent, "POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\n", false)
	closes("headers, slowly", f.paths.Agent, "POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\nX: "+strings.Repeat("x", 4000), true)
	closes("no body", f.paths.Agent, "POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\nContent-Length: 100\r\n\r\n", false)
	closes("half a body", f.paths.Agent, "POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\nContent-Length: 100\r\n\r\n{\"url\":", false)
	closes("a body of 93 GiB", f.paths.Agent, "POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\nContent-Length: 99999999999\r\n\r\n{}", false)
	closes("a body in endless pieces", f.paths.Agent, "POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat("1\r\nx\r\n", 1000), true)
	ends("call without a message", f.paths.Agent, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, sign))
	ends("stream without a message", f.paths.Agent, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, stream))
	ends("unlock without a message", f.paths.Admin, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, unlock))
	ends("half the prefix", f.paths.Agent, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, sign), rawhttp2.Frame(rawhttp2.FrameData, 0, 1, []byte{0, 0}))
	ends("half a message", f.paths.Agent, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, sign), rawhttp2.Frame(rawhttp2.FrameData, 0, 1, rawhttp2.Message(body[:9], false, len(body))))
	ends("half a message on a stream", f.paths.Agent, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, stream), rawhttp2.Frame(rawhttp2.FrameData, 0, 1, rawhttp2.Message(body[:9], false, len(body))))
	ends("half a message, admin", f.paths.Admin, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, unlock), rawhttp2.Frame(rawhttp2.FrameData, 0, 1, rawhttp2.Message(body[:9], false, 4<<20)))

	var over atomic.Bool
	var honest sync.WaitGroup
	honest.Go(func() {
		meanwhile := 0
		for begin := time.Now(); !over.Load(); time.Sleep(20 * time.Millisecond) {
			if _, err := f.signer.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
				t.Errorf("an honest client: %v", err)
			}
			if time.Since(begin) < promptly {
				meanwhile++
			}
		}
		if meanwhile == 0 {
			t.Errorf("an honest client was not answered within %s", promptly)
		}
	})
	group.Wait()
	over.Store(true)
	honest.Wait()
	base.back()
}

// trickle writes a byte now and then until the other side has had enough.
func trickle(c net.Conn, s string) {
	for i := range len(s) {
		if _, err := c.Write([]byte(s[i : i+1])); err != nil {
			return
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// TestStreamsPerConnection guards D-03: a connection may have 64 calls open; each
// further one is turned away by itself, and an open one still works.
func TestStreamsPerConnection(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	base := f.countGoroutines()
	w := http2Dial(t, f.paths.Agent)
	if w.MaxStreams != maxStreams {
		t.Errorf("the server allows %d streams, want %d", w.MaxStreams, maxStreams)
	}
	const more = 136
	for i := range uint32(maxStreams + more) {
		w.send(t, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 2*i+1, rawhttp2.CallHeaders(pb.Signer_SignStream_FullMethodName)))
	}
	refused := make(map[uint32]bool)
	_ = w.SetReadDeadline(time.Now().Add(inTime))
	for len(refused) < more {
		g, err := rawhttp2.ReadFrame(w)
		if err != nil {
			t.Fatalf("after %d refusals: %v", len(refused), err)
		}
		if g.Kind == rawhttp2.FrameReset {
			const refusedStream = 7
			if g.Payload[3] != refusedStream {
				t.Errorf("stream %d was reset with code %d, want %d", g.Stream, g.Payload[3], refusedStream)
			}
			refused[g.Stream] = true
		}
	}
	for stream := range refused {
		if stream <= 2*maxStreams-1 {
			t.Errorf("stream %d was refused, one of the first %d", stream, maxStreams)
		}
	}
	if grown := runtime.NumGoroutine() - base.before; grown > maxStreams+16 {
		t.Errorf("%d goroutines more", grown)
	}
	// One that is open is answered.
	body, err := proto.Marshal(&pb.SignStreamRequest{Id: 1, Request: &pb.SignRequest{Url: sandboxURL}})
	if err != nil {
		t.Fatal(err)
	}
	w.send(t, rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 3, rawhttp2.Message(body, false, len(body))))
	if g, err := w.AwaitEnd(3, inTime); err != nil || g.Kind != rawhttp2.FrameHeaders {
		t.Errorf("an open stream: got %+v, %v", g, err)
	}
	_ = w.Close()
	base.back()
}

// TestConnectionFlood guards D-01: whoever takes all connections of agent.sock
// cannot keep the owner from locking, and once they are gone all is as before.
func TestConnectionFlood(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	base := f.countGoroutines()
	var held []net.Conn
	hold := func(path string, n int) { // until the agent has waited for handshakeTime
		for range n {
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, c)
		}
	}
	await := func(want int32) string {
		if n := f.agent.connections.Load(); n != want {
			return fmt.Sprintf("%d connections, want %d", n, want)
		}
		return ""
	}
	// filled takes connections until there are as many. Those whose time is over by then are
	// taken anew.
	filled := func(path string, want int32) string {
		if n := want - f.agent.connections.Load(); n > 0 {
			hold(path, int(n))
		}
		return await(want)
	}
	const ofAgent = maxConnections - reservedConnections
	hold(f.paths.Agent, maxConnections+50)
	eventually(t, inTime, func() string { return filled(f.paths.Agent, ofAgent) })
	eventually(t, inTime, func() string {
		more, err := client.Dial(t.Context(), client.WithSocket(f.paths.Agent))
		if err == nil {
			_ = more.Close()
			return filled(f.paths.Agent, ofAgent) + " one connection more: got one"
		}
		if !errors.Is(err, client.ErrAgent) {
			t.Errorf("one connection more: got %v, want ErrAgent", err)
		}
		return ""
	})
	if _, err := f.signer.Status(t.Context()); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
	for range 3 { // the owner, from new connections
		admin := f.dialAdmin()
		if err := admin.Lock(t.Context()); err != nil {
			t.Errorf("Lock: %v", err)
		}
		if _, err := admin.UnlockBy(t.Context(), client.Proof{KeyFile: f.sealer(quickKey)}, 0); err != nil {
			t.Errorf("Unlock: %v", err)
		}
		_ = admin.Close()
	}
	hold(f.paths.Agent, maxConnections)
	eventually(t, inTime, func() string { return filled(f.paths.Agent, ofAgent) })
	hold(f.paths.Agent, maxConnections)
	hold(f.paths.Admin, reservedConnections+20)
	eventually(t, inTime, func() string { return filled(f.paths.Admin, maxConnections) })
	for _, c := range held {
		_ = c.Close()
	}
	base.back()
	if _, err := f.dial().Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	eventually(t, inTime, func() string { return await(3) }) // those of the fixture, and the one just now
}
