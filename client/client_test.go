package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
)

const (
	suitetalk = "https://1234567-sb1.suitetalk.api.netsuite.com"
	restlets  = "https://1234567-sb1.restlets.api.netsuite.com"
	customer  = suitetalk + "/services/rest/record/v1/customer/1"
)

// TestManyGoroutines shares one client among 64 goroutines. Every header is good
// for one send, so all nonces differ.
func TestManyGoroutines(t *testing.T) {
	t.Parallel()
	c := shared(t).agent.dial(t)
	var nonces sync.Map
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for n := range 25 {
				url := fmt.Sprintf("%s?goroutine=%d&n=%d", customer, i, n)
				r, err := c.Sign(t.Context(), client.Request{URL: url})
				if err != nil {
					t.Error(err)
					return
				}
				if r.GetUrl() != url || !strings.HasPrefix(r.GetAuthorization(), `OAuth realm="1234567_SB1"`) {
					t.Errorf("got %v for %s", r, url)
				}
				if _, again := nonces.LoadOrStore(r.GetNonce(), true); again {
					t.Errorf("the nonce %s came twice", r.GetNonce())
				}
			}
		})
	}
	wg.Wait()
}

// TestRestart stops the agent in each way it can end and starts it again: a new
// process on the same socket. Clients go on with it by themselves.
func TestRestart(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*daemon) error{
		"terminated": (*daemon).stop,
		"killed":     func(d *daemon) error { d.kill(t); return nil },
		"asked to stop": func(d *daemon) error {
			if err := d.dialAdmin(t).Stop(t.Context()); err != nil {
				return err
			}
			<-d.ended
			d.supervisor = nil
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startDaemon(t)
			c, admin := d.dial(t), d.dialAdmin(t)
			sign := func() error {
				_, err := c.Sign(t.Context(), client.Request{URL: customer})
				return err
			}
			fastest := time.Hour
			for round := range 3 {
				if err := sign(); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				if err := end(d); err != nil {
					t.Fatal(err)
				}
				// While it is down, each call says so at once, and grpc backs off
				// for longer and longer.
				for range 5 {
					if err := sign(); !errors.Is(err, client.ErrAgent) || !strings.Contains(err.Error(), "agent.sock") {
						t.Errorf("while it is down: got %v, want ErrAgent with the path", err)
					}
					if err := admin.Lock(t.Context()); !errors.Is(err, client.ErrAgent) {
						t.Errorf("Lock while it is down: got %v, want ErrAgent", err)
					}
				}
				d.mustStart(t)
				// The very first call reaches the new agent, which is locked.
				begin := time.Now()
				if err := sign(); !errors.Is(err, client.ErrLocked) {
					t.Errorf("after the restart: got %v, want ErrLocked", err)
				}
				fastest = min(fastest, time.Since(begin))
				d.mustUnlock(t)
				if _, err := admin.ShowProfile(t.Context(), "acme-sb1"); err != nil {
					t.Errorf("ShowProfile after the restart: %v", err)
				}
			}
			// grpc by itself would have tried again after a second, at best.
			if fastest > 500*time.Millisecond {
				t.Errorf("the first call after a restart took %s at least", fastest)
			}
		})
	}
}

// TestRestartUnderLoad restarts the agent while 64 goroutines sign. Between the
// two agents calls fail with ErrAgent and ErrLocked, and with nothing else.
func TestRestartUnderLoad(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c := d.dial(t)
	stop, before, after := make(chan struct{}), make(chan struct{}, 64), make(chan struct{}, 64)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			failed := false
			for {
				_, err := c.Sign(t.Context(), client.Request{URL: customer})
				switch {
				case err == nil && !failed:
					notify(before)
				case err == nil:
					notify(after)
				case errors.Is(err, client.ErrAgent), errors.Is(err, client.ErrLocked):
					failed = true
				default:
					t.Errorf("got %v, want ErrAgent or ErrLocked", err)
				}
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	<-before
	d.kill(t)
	d.mustStart(t)
	d.mustUnlock(t)
	for range 64 {
		select {
		case <-after:
		case <-time.After(inTime):
			t.Error("no signature after the restart")
		}
	}
	close(stop)
	wg.Wait()
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// TestHangingAgent asks an agent that is stopped: it takes connections and answers
// nothing. Deadlines hold, and Dial does not wait for ever without one.
func TestHangingAgent(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c := d.dial(t)
	goOn := d.hang(t)
	within := func(what string, most time.Duration, want error, f func(context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if err := f(ctx); !errors.Is(err, want) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%s: got %v, want %v in one line", what, err, want)
		}
		if took := time.Since(begin); took > most {
			t.Errorf("%s took %s", what, took)
		}
	}
	within("Sign", inTime, context.DeadlineExceeded, func(ctx context.Context) error {
		_, err := c.Sign(ctx, client.Request{URL: customer})
		return err
	})
	within("Sign, cancelled", inTime, context.Canceled, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		time.AfterFunc(50*time.Millisecond, cancel)
		_, err := c.Sign(ctx, client.Request{URL: customer})
		return err
	})
	within("Dial", inTime, context.DeadlineExceeded, func(ctx context.Context) error {
		_, err := client.Dial(ctx, client.WithSocket(d.socket()))
		return err
	})
	within("Dial without a deadline", client.AnswerTime+inTime, client.ErrAgent, func(context.Context) error {
		_, err := client.Dial(t.Context(), client.WithSocket(d.socket()))
		return err
	})
	waiting := make(chan error, 1)
	go func() {
		_, err := c.Sign(t.Context(), client.Request{URL: customer})
		waiting <- err
	}()
	goOn()
	if err := <-waiting; err != nil {
		t.Errorf("Sign once the agent goes on: %v", err)
	}
}

// TestSilentSuccessor puts a listener that says nothing in the place of an agent
// that is gone. A call without a deadline ends all the same.
func TestSilentSuccessor(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c := d.dial(t)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.Sign(t.Context(), client.Request{URL: customer}); !errors.Is(err, client.ErrAgent) {
			t.Errorf("while nobody listens: got %v, want ErrAgent", err)
		}
	}
	serve(t, d.socket(), func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	begin := time.Now()
	if _, err := c.Sign(t.Context(), client.Request{URL: customer}); !errors.Is(err, client.ErrAgent) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("got %v, want ErrAgent of one that does not answer", err)
	}
	if took := time.Since(begin); took > client.AnswerTime+inTime {
		t.Errorf("it took %s", took)
	}
}

// TestHangingAgentNoDeadline waits for the probe of the connection, which ends a
// call that has no deadline.
func TestHangingAgentNoDeadline(t *testing.T) {
	t.Parallel() // it takes a minute
	d := startDaemon(t)
	c := d.dial(t)
	d.hang(t)
	begin := time.Now()
	if _, err := c.Sign(t.Context(), client.Request{URL: customer}); !errors.Is(err, client.ErrAgent) {
		t.Errorf("got %v, want ErrAgent", err)
	}
	if took := time.Since(begin); took > time.Minute+2*inTime {
		t.Errorf("it took %s", took)
	}
}

// TestClosed uses a client after Close, and closes it under a call in flight.
func TestClosed(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c, admin := d.dial(t), d.dialAdmin(t)
	stream, err := c.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.hang(t)
	inFlight := make(chan error, 2)
	go func() {
		_, err := c.Sign(t.Context(), client.Request{URL: customer})
		inFlight <- err
	}()
	go func() {
		_, err := stream.Sign(t.Context(), client.Request{URL: customer})
		inFlight <- err
	}()
	time.Sleep(20 * time.Millisecond) // whether they wait already or not, they must end
	for range 2 {
		if err := errors.Join(c.Close(), admin.Close()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	for range 2 {
		select {
		case err := <-inFlight:
			if !errors.Is(err, client.ErrClosed) {
				t.Errorf("in flight: got %v, want ErrClosed", err)
			}
		case <-time.After(inTime):
			t.Fatal("a call in flight does not end")
		}
	}
	ctx := t.Context()
	for name, f := range map[string]func() error{
		"Sign":            func() error { _, err := c.Sign(ctx, client.Request{URL: customer}); return err },
		"Passport":        func() error { _, err := c.Passport(ctx, "", ""); return err },
		"ConnectPassword": func() error { _, err := c.ConnectPassword(ctx, ""); return err },
		"Assertion":       func() error { _, err := c.Assertion(ctx, client.AssertionRequest{}); return err },
		"Profiles":        func() error { _, err := c.Profiles(ctx); return err },
		"Status":          func() error { _, err := c.Status(ctx); return err },
		"Stream":          func() error { _, err := c.Stream(ctx); return err },
		"Stream.Sign":     func() error { _, err := stream.Sign(ctx, client.Request{URL: customer}); return err },
		"Stream.Close":    func() error { return errors.Join(stream.Close(), client.ErrClosed) },
		"Admin.Lock":      func() error { return admin.Lock(ctx) },
		"Admin.Unlock":    func() error { _, err := admin.Unlock(ctx, nil, 0); return err },
	} {
		if err := f(); !errors.Is(err, client.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
}

// TestRefusals holds the errors of an agent that answers against the sentinels,
// and their text against what a person needs.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c := shared(t).agent.dial(t)
	ctx := t.Context()
	sign := func(r client.Request) func() error {
		return func() error { _, err := c.Sign(ctx, r); return err }
	}
	tests := []struct {
		name string
		call func() error
		want error
		says string
	}{
		{"a foreign host", sign(client.Request{URL: "https://7654321.suitetalk.api.netsuite.com/"}), client.ErrHost, "acme-sb1"},
		{"no such profile", sign(client.Request{Profile: "nope", URL: customer}), client.ErrNoProfile, "nope"},
		{"a write in production", sign(client.Request{Profile: "acme-prod", Method: "DELETE", URL: "https://1234567.suitetalk.api.netsuite.com/x"}), client.ErrReadOnly, "acme-prod"},
		{"no URL", sign(client.Request{}), client.ErrURL, ""},
		{"a URL that is not UTF-8", sign(client.Request{URL: customer + "?q=\xff"}), client.ErrURL, ""},
		{"a profile that is not UTF-8", sign(client.Request{Profile: "\xff", URL: customer}), client.ErrNoProfile, ""},
		{"a method that is not UTF-8", sign(client.Request{Method: "G\xffT", URL: customer}), client.ErrRequest, ""},
		{"a long URL", sign(client.Request{URL: customer + "?q=" + strings.Repeat("x", 20_000)}), client.ErrURL, "16384"},
		{"a URL that no agent takes", sign(client.Request{URL: customer + "?q=" + strings.Repeat("x", 300_000)}), client.ErrRequest, "bytes"},
		{"a form that no agent takes", sign(client.Request{Method: "POST", URL: customer, ContentType: "application/x-www-form-urlencoded", Body: make([]byte, 300_000)}), client.ErrRequest, "131072"},
		{"an assertion without a certificate", func() error { _, err := c.Assertion(ctx, client.AssertionRequest{}); return err }, client.ErrRequest, "TBA"},
		{"a scope that is not UTF-8", func() error {
			_, err := c.Assertion(ctx, client.AssertionRequest{Profile: "acme-sb1-m2m", Scopes: []string{"\xff"}})
			return err
		}, client.ErrDenied, "scope"},
		{"a header with a certificate", sign(client.Request{Profile: "acme-sb1-m2m", URL: customer}), client.ErrRequest, "M2M"},
		{"a version that there is not", func() error { _, err := c.Passport(ctx, "", "\xff"); return err }, client.ErrRequest, ""},
	}
	for _, test := range tests {
		err := test.call()
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %v that says %q", test.name, err, test.want, test.says)
			continue
		}
		e := (*client.Error)(nil)
		if !errors.As(err, &e) || e.Message == "" || strings.ContainsAny(e.Error(), "\r\n") || !strings.HasSuffix(e.Error(), "["+string(e.Code)+"]") {
			t.Errorf("%s: %q is not a sentence with a code", test.name, err)
		}
		if errors.Is(err, client.ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, client.ErrInternal) {
			t.Errorf("%s: %v matches what it is not", test.name, err)
		}
	}
	// A body that is not a form is not signed, however long, and not sent.
	if _, err := c.Sign(ctx, client.Request{Method: "POST", URL: customer, ContentType: "application/json", Body: make([]byte, 10<<20)}); err != nil {
		t.Errorf("a long JSON body: %v", err)
	}
	if _, err := c.Sign(ctx, client.Request{Method: "POST", URL: customer, ContentType: "application/x-www-form-urlencoded", Body: []byte(strings.Repeat("x", 128<<10))}); err != nil {
		t.Errorf("the longest form: %v", err)
	}
}
