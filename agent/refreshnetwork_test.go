package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/client"
)

// relay passes connections at address on to NetSuite, until it is closed.
func relay(t *testing.T, address, to string) (at string, closeIt func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			context.AfterFunc(ctx, func() { _ = in.Close(); _ = out.Close() })
			group.Go(func() { _, _ = io.Copy(out, in) })
			group.Go(func() { _, _ = io.Copy(in, out) })
		}
	})
	var once sync.Once
	closeIt = func() {
		once.Do(func() {
			_ = l.Close()
			cancel()
			group.Wait()
		})
	}
	t.Cleanup(closeIt)
	return l.Addr().String(), closeIt
}

// A refresh that never left this machine is no interrupted one: what NetSuite says later is
// told as it is.
func TestRefreshWithoutNetwork(t *testing.T) {
	w := startCode(t)
	at, cut := relay(t, "127.0.0.1:0", strings.TrimPrefix(w.ep.URL, "https://"))
	l := w.public("p")
	l.Profile.Endpoint = "https://" + at
	w.login(l)
	w.mustToken("p")
	cut()
	w.aged()
	if _, err := w.tokenOf("p"); !errors.Is(err, client.ErrNetwork) {
		t.Errorf("without a network: got %v", err)
	}
	_, _ = relay(t, at, strings.TrimPrefix(w.ep.URL, "https://"))
	w.clock.Add(int64(shortestPause))
	if !w.server.RefreshSandbox("1234567_SB1") {
		t.Fatal("there is no such account")
	}
	if _, err := w.tokenOf("p"); !errors.Is(err, client.ErrConsent) || strings.Contains(err.Error(), "interrupted") {
		t.Errorf("with a token that is over: got %v", err)
	}
	w.consent("p", "refused")
}
