package agent

import (
	"net"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/nsagent/nsagent/internal/peercred"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// BenchmarkSign is one signature without the socket: decision, audit entry, header.
func BenchmarkSign(b *testing.B) {
	f := start(b)
	f.unlock()
	f.addTBA("acme")
	c := &caller{peer: ownPeer(b), has: ofOwner()}
	q := &pb.SignRequest{Profile: "acme", Url: sandboxURL}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.agent.sign(b.Context(), c, q); err != nil {
			b.Fatal(err)
		}
	}
}

// ownPeer returns this process as a peer.
func ownPeer(t testing.TB) *peercred.Peer {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p, err := peercred.Identify(server.(*net.UnixConn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = client.Close(), server.Close(), p.Close() })
	return p
}

// BenchmarkSignOverSocket is one signature of 64 in flight, with client and agent in this
// process, so that one profile has the work of both.
func BenchmarkSignOverSocket(b *testing.B) {
	f := start(b)
	f.unlock()
	f.addTBA("acme")
	c := f.through(f.paths.Agent)
	s, err := c.Stream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for name, sign := range map[string]func() error{
		"unary":  func() error { _, err := c.Sign(b.Context(), request("acme")); return err },
		"stream": func() error { _, err := s.Sign(b.Context(), request("acme")); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(64 / runtime.GOMAXPROCS(0))
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := sign(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
