//go:build linux

package keyring

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/keyringtest"
	"github.com/nsagent/nsagent/internal/secret"
)

const (
	// busy is what a busy machine may add to any time.
	busy = 10 * time.Second
	// limit is the longest that any call may take.
	limit = DefaultTimeout + busy
)

// Every way in which a keyring is not there gives its own error, in time, for every
// operation.
func TestBrokenKeyrings(t *testing.T) {
	tests := []struct {
		name string
		kind keyringtest.Kind
		env  func(s *keyringtest.Session) []string
		want error
	}{
		{"locked", keyringtest.Locked, (*keyringtest.Session).Env, ErrLocked},
		{"no collection", keyringtest.NoCollection, (*keyringtest.Session).Env, ErrNoCollection},
		{"no service", keyringtest.NoService, (*keyringtest.Session).Env, ErrNoService},
		{"hanging prompt", keyringtest.Hanging, (*keyringtest.Session).Env, ErrTimeout},
		{"stale address", keyringtest.NoService, func(s *keyringtest.Session) []string {
			if err := s.StopBus(); err != nil {
				t.Error(err)
			}
			return s.Env()
		}, ErrStaleBus},
		{"address of nothing", keyringtest.NoService, func(s *keyringtest.Session) []string {
			return []string{"HOME=" + s.Home, "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent/bus"}
		}, ErrStaleBus},
		{"no bus", keyringtest.NoService, func(s *keyringtest.Session) []string {
			return []string{"HOME=" + s.Home}
		}, ErrNoBus},
		{"bus of another kind", keyringtest.NoService, func(s *keyringtest.Session) []string {
			return []string{"HOME=" + s.Home, "DBUS_SESSION_BUS_ADDRESS=tcp:host=127.0.0.1,port=1;autolaunch:"}
		}, ErrNoBus},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := keyringtest.Start(t, test.kind)
			env := test.env(s)
			a := arena(t)
			v := random(t, a, 32)
			ops := map[string]func(*Door) error{
				"get":    func(d *Door) error { _, err := d.Get(t.Context(), "x"); return err },
				"set":    func(d *Door) error { return d.Set(t.Context(), "x", v) },
				"delete": func(d *Door) error { return d.Delete(t.Context(), "x") },
			}
			var all sync.WaitGroup
			for name, op := range ops {
				try := func() {
					launch, ended := launcher(env, roleHelper)
					start := time.Now()
					err := op(New(a, launch))
					for range 2 { // the limit may pass on a machine that is busy with something else
						if test.want == ErrTimeout || !errors.Is(err, ErrTimeout) {
							break
						}
						<-ended
						launch, ended = launcher(env, roleHelper)
						start = time.Now()
						err = op(New(a, launch))
					}
					took := time.Since(start)
					if !errors.Is(err, test.want) {
						t.Errorf("%s: got %v, want %v", name, err, test.want)
					}
					if took > limit {
						t.Errorf("%s: took %v, want at most %v", name, took, limit)
					}
					t.Logf("%s: %v after %v", name, err, took.Round(time.Millisecond))
					select {
					case err := <-ended:
						if err != nil && test.want != ErrTimeout {
							t.Errorf("%s: the helper ended with %v", name, err)
						}
					case <-time.After(busy):
						t.Errorf("%s: the helper still runs", name)
					}
				}
				if test.want == ErrTimeout { // each takes the whole limit
					all.Go(try)
				} else { // gnome-keyring may hang for ever when several ask at once to unlock it
					try()
				}
			}
			all.Wait()
		})
	}
}

// A bus that takes the connection and never says a word.
func TestSilentBus(t *testing.T) {
	dir, err := os.MkdirTemp("", "nsk")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	launch, ended := launcher([]string{"DBUS_SESSION_BUS_ADDRESS=unix:path=" + path}, roleHelper)
	d := New(arena(t), launch)
	d.Timeout = 200 * time.Millisecond
	if _, err := d.Get(t.Context(), "x"); !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v, want %v", err, ErrTimeout)
	}
	waitEnded(t, ended, busy)
}

// The bus goes away while a prompt is open, which makes go-keyring panic.
func TestBusEndsDuringPrompt(t *testing.T) {
	s, d, _ := session(t, keyringtest.Hanging)
	d.Timeout = busy
	stopped := make(chan error, 1)
	go func() {
		<-s.Prompted
		stopped <- s.StopBus()
	}()
	if _, err := d.Get(t.Context(), "x"); !errors.Is(err, ErrUnavailable) { // and not ErrTimeout
		t.Errorf("got %v, want %v", err, ErrUnavailable)
	}
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(busy):
		t.Error("there was no prompt, or the bus goes on")
	}
}

// godbus would start dbus-launch from PATH where there is no bus. The control
// shows that it does, and that the trap works.
func TestNeverRunsDBusLaunch(t *testing.T) {
	dir := t.TempDir()
	marker := filepath.Join(dir, "was-run")
	script := "#!/bin/sh\n: > " + marker + "\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "dbus-launch"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + dir + ":/usr/bin:/bin", "HOME=" + dir}
	wasRun := func() bool {
		_, err := os.Stat(marker)
		return err == nil
	}
	if _, err := os.Stat(fmt.Sprintf("/run/user/%d", os.Getuid())); err == nil {
		t.Log("this user has a session: the control could find its bus")
	} else if command(env, roleNaive).Run(); !wasRun() {
		t.Fatal("control: go-keyring did not run dbus-launch")
	}
	os.Remove(marker)

	for _, role := range []string{roleBare, roleHelper} {
		for _, address := range []string{"", "autolaunch:", "unix:path=" + dir + "/gone;autolaunch:", "unixexec:path=" + dir + "/dbus-launch"} {
			launch, _ := launcher(append(env, "DBUS_SESSION_BUS_ADDRESS="+address), role)
			_, err := New(arena(t), launch).Get(t.Context(), "x")
			if !errors.Is(err, ErrNoBus) && !errors.Is(err, ErrStaleBus) {
				t.Errorf("%s with %q: got %v", role, address, err)
			}
			if wasRun() {
				t.Fatalf("%s with %q ran dbus-launch", role, address)
			}
		}
	}
}

func TestBrokenHelpers(t *testing.T) {
	refused := errors.New("refused")
	silent, _ := launcher(nil, roleSilent)
	garbage, _ := launcher(nil, roleGarbage)
	tests := []struct {
		name   string
		launch Launch
		want   error
	}{
		{"ends without an answer", silent, ErrUnavailable},
		{"answers nonsense", garbage, ErrUnavailable},
		{"cannot be started", func(context.Context) (*net.UnixConn, error) { return nil, refused }, refused},
		{"cannot be started either", func(context.Context) (*net.UnixConn, error) { return nil, refused }, ErrUnavailable},
		{"takes too long to start", func(ctx context.Context) (*net.UnixConn, error) { <-ctx.Done(); return nil, ctx.Err() }, ErrTimeout},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := New(arena(t), test.launch)
			d.Timeout = busy
			if test.want == ErrTimeout {
				d.Timeout = 200 * time.Millisecond
			}
			if _, err := d.Get(t.Context(), "x"); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// The caller gives up before the door does; the helper ends with it.
func TestCallerGivesUp(t *testing.T) {
	s := keyringtest.Start(t, keyringtest.Hanging)
	launch, ended := launcher(s.Env(), roleHelper)
	d := New(arena(t), launch)
	d.Timeout = busy

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-s.Prompted
		cancel()
	}()
	if _, err := d.Get(ctx, "x"); !errors.Is(err, context.Canceled) || errors.Is(err, ErrTimeout) {
		t.Errorf("cancelled: got %v, want %v", err, context.Canceled)
	}
	waitEnded(t, ended, busy)

	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := d.Get(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrTimeout) {
		t.Errorf("deadline: got %v, want %v", err, ErrTimeout)
	}
	waitEnded(t, ended, busy)
}

// A helper whose keyring blocks ends by itself, also if its socket stays open.
func TestHelperLimitsItself(t *testing.T) {
	s := keyringtest.Start(t, keyringtest.Hanging)
	launch, ended := launcher(s.Env(), roleHelper)
	start := time.Now()
	conn, err := launch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head, err := appendRequest(nil, opGet, "x", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(head); err != nil {
		t.Fatal(err)
	}
	if err := waitEnded(t, ended, serveTimeout+busy); err == nil {
		t.Error("the helper ended well")
	}
	if took := time.Since(start); took < serveTimeout-time.Second {
		t.Errorf("ended after %v, want about %v", took, serveTimeout)
	}
}

// A helper that is sent nothing, or half a request, ends too.
func TestServeEndsWithItsSocket(t *testing.T) {
	for _, sent := range []string{"", "\x01g\x05\x00ab"} {
		launch, ended := launcher(nil, roleHelper)
		conn, err := launch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		waitEnded(t, ended, busy)
	}
}

func TestFullArena(t *testing.T) {
	_, d, a := session(t, keyringtest.Unlocked)
	v := random(t, a, 32)
	if err := d.Set(t.Context(), "x", v); err != nil {
		t.Fatal(err)
	}
	for n := 8 << 10; n > 0; { // leave no room
		if _, err := a.Alloc(n); err != nil {
			n /= 2
		}
	}
	if _, err := d.Get(t.Context(), "x"); !errors.Is(err, secret.ErrFull) {
		t.Errorf("got %v, want %v", err, secret.ErrFull)
	}
}
