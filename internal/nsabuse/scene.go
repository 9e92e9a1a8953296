package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/realagent"
)

const (
	profile = "acme"
	// fewDescriptors is what the honest client's own connections and a vault being
	// read may hold at the moment of looking.
	fewDescriptors = 16
	// settle is how long connections may take to be given back.
	settle = 15 * time.Second
)

// scene is an unlocked agent with one profile.
type scene struct {
	home   *realagent.Home
	agent  *realagent.Agent
	token  []byte // an unlock token for the profile
	before realagent.Use
	honest *honest
}

func newScene(ctx context.Context, bin string) (s *scene, err error) {
	s = &scene{}
	if s.home, err = realagent.NewHome(ctx, bin); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.agent, err = s.home.Start(ctx); err != nil {
		return nil, err
	}
	if err = s.home.Unlock(ctx); err != nil {
		return nil, err
	}
	if _, err = s.home.Run(ctx, realagent.Profile(1), "profile", "add", profile, "--from", "-"); err != nil {
		return nil, err
	}
	token, err := s.home.Run(ctx, realagent.Passphrase, "grant", "new", "-q", "-p", profile, "--ttl", "12h", "--passphrase-fd", "0")
	if err != nil {
		return nil, err
	}
	s.token = bytes.TrimSpace(token)
	if s.honest, err = newHonest(ctx, s.home); err != nil {
		return nil, err
	}
	s.honest.measure(ctx, time.Second, s.redeem) // warm
	s.before, err = s.agent.Use()
	return s, err
}

func (s *scene) close() {
	if s.honest != nil {
		s.honest.close()
	}
	if s.agent != nil {
		_ = s.agent.Stop()
	}
	if s.home != nil {
		s.home.Remove()
	}
}

// run plays one attack in a process of its own while the honest client signs.
func (s *scene) run(ctx context.Context, a attack, length time.Duration) (result, error) {
	r := result{attack: a}
	if a.uid != 0 {
		if err := s.openModes(0o755, 0o666); err != nil {
			return r, err
		}
		defer func() { _ = s.openModes(0o700, 0o600) }()
	}
	denied, err := s.refusals(ctx)
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, length+time.Minute)
	defer cancel()
	attacker := exec.CommandContext(ctx, "/proc/self/exe", "-play", a.name, "-time", length.String(), "-agent", s.home.Paths.Agent, "-admin", s.home.Paths.Admin) // #nosec G204 -- this program
	attacker.Dir, attacker.Env = "/", append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	attacker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if a.uid != 0 {
		attacker.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.uid}
	}
	var out, said bytes.Buffer
	attacker.Stdout, attacker.Stderr = &out, &said
	if a.redeems {
		attacker.Stdin = bytes.NewReader(s.token)
	}
	if err := attacker.Start(); err != nil {
		return r, err
	}
	alongside := s.lookAt
	if a.redeems {
		alongside = s.redeem
	}
	over, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { r.honest = s.honest.measure(over, length+time.Minute, alongside) })
	err = attacker.Wait()
	ended := time.Now()
	stop()
	wait.Wait()
	if err != nil {
		return r, fmt.Errorf("the attacker: %w: %s", err, said.String())
	}
	if err := json.Unmarshal(bytes.TrimSpace(out.Bytes()), &r.tally); err != nil {
		return r, fmt.Errorf("the attacker says %.200q: %w", out.String(), err)
	}
	if err := s.awaitService(ctx); err != nil {
		return r, err
	}
	r.back = time.Since(ended)
	if r.denied, err = s.refusals(ctx); err != nil {
		return r, err
	}
	r.denied -= denied
	r.after, err = s.settled()
	return r, err
}

// awaitService waits until new connections to both sockets are served.
func (s *scene) awaitService(ctx context.Context) error {
	try := func() error {
		h, err := newHonest(ctx, s.home)
		if err != nil {
			return err
		}
		defer h.close()
		if _, err := h.signer.Sign(ctx, client.Request{Profile: profile, URL: realagent.URL}); err != nil {
			return err
		}
		_, err = h.admin.ShowProfile(ctx, profile)
		return err
	}
	for deadline := time.Now().Add(settle); ; time.Sleep(time.Millisecond) {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no service %s after the attack: %w", settle, err)
		}
	}
}

// settled returns what the agent holds once its connections are given back, or what
// it still holds when time is up.
func (s *scene) settled() (realagent.Use, error) {
	for deadline := time.Now().Add(settle); ; time.Sleep(20 * time.Millisecond) {
		u, err := s.agent.Use()
		if err != nil {
			return u, fmt.Errorf("the agent is gone: %w", err)
		}
		if u.Descriptors <= s.before.Descriptors+fewDescriptors || time.Now().After(deadline) {
			return u, nil
		}
	}
}

// openModes lets every user reach both sockets, or shuts them out again: the check
// of the peer has to hold by itself.
func (s *scene) openModes(dir, socket os.FileMode) error {
	var errs []error
	for path := filepath.Dir(s.home.Paths.Agent); len(path) >= len(s.home.Dir()); path = filepath.Dir(path) {
		errs = append(errs, os.Chmod(path, dir))
	}
	for _, path := range []string{s.home.Paths.Agent, s.home.Paths.Admin} {
		errs = append(errs, os.Chmod(path, socket))
	}
	return errors.Join(errs...)
}

// refusals counts the refused peers on record.
func (s *scene) refusals(ctx context.Context) (int, error) {
	out, err := s.home.Run(ctx, "", "audit", "query", "--outcome", "denied", "-o", "json")
	return strings.Count(string(out), "NSA-PEER"), err
}

// honest is a client that asks for nothing special.
type honest struct {
	signer *client.Client
	admin  *client.Admin
}

func newHonest(ctx context.Context, home *realagent.Home) (*honest, error) {
	s, err := client.Dial(ctx, client.WithSocket(home.Paths.Agent))
	if err != nil {
		return nil, err
	}
	a, err := client.DialAdmin(ctx, client.WithSocket(home.Paths.Admin))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &honest{s, a}, nil
}

func (h *honest) close() { _, _ = h.signer.Close(), h.admin.Close() }

// served is how an honest client fared.
type served struct {
	calls, failed   int
	err             error // the first
	p50, p99, worst time.Duration
}

// lookAt looks at a profile on admin.sock.
func (s *scene) lookAt(ctx context.Context) error {
	_, err := s.honest.admin.ShowProfile(ctx, profile)
	return err
}

// redeem shows the unlock token on a connection of its own, and signs by its right.
func (s *scene) redeem(ctx context.Context) error {
	c, err := client.Dial(ctx, client.WithSocket(s.home.Paths.Agent), client.WithUnlockToken(s.token))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = c.Sign(ctx, client.Request{Profile: profile, URL: realagent.URL})
	return err
}

// measure signs every two milliseconds, and does something else now and then, until ctx
// ends or the time is over. The figures are those of signing.
func (h *honest) measure(ctx context.Context, most time.Duration, alongside func(context.Context) error) served {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var s served
	var took []time.Duration
	for ctx.Err() == nil {
		call, end := context.WithTimeout(context.WithoutCancel(ctx), settle)
		begin := time.Now()
		_, err := h.signer.Sign(call, client.Request{Profile: profile, URL: realagent.URL})
		took = append(took, time.Since(begin))
		if err == nil && len(took)%50 == 0 {
			err = alongside(call)
		}
		end()
		if err != nil {
			s.failed++
			if s.err == nil {
				s.err = err
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	slices.Sort(took)
	if s.calls = len(took); s.calls > 0 {
		s.p50, s.p99, s.worst = took[s.calls/2], took[s.calls*99/100], took[s.calls-1]
	}
	return s
}
