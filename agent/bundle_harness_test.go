package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// mintBundle returns a bundle of profiles of f, which is unlocked, and its token.
func (f *fixture) mintBundle(limits unlocktoken.Caveats, known []oidc.Issuer, profiles ...string) ([]byte, *unlocktoken.Token) {
	f.t.Helper()
	check := func(err error) {
		f.t.Helper()
		if err != nil {
			f.t.Fatal(err)
		}
	}
	v := f.agent.session.vault
	issuer, err := v.GrantKey()
	check(err)
	var a unlocktoken.Authority
	a.Vault, a.Mode, a.IssuedAt, a.Caveats = unlocktoken.ID(v.ID()), unlocktoken.Detached, time.Now().Unix(), limits
	_, _ = rand.Read(a.Grant[:])
	var shares []unlocktoken.Share
	var all []packed
	for _, name := range profiles {
		id, ok := v.RecordID(name)
		if !ok {
			f.t.Fatalf("no record %q", name)
		}
		s := unlocktoken.Share{Credential: unlocktoken.ID(id)}
		_, _ = rand.Read(s.Key[:])
		key := s.Key
		share, err := f.agent.arena.Take(key[:])
		check(err)
		signOnly, err := v.OpenSignOnly(name)
		check(err)
		p := packed{credential: s.Credential, profile: f.agent.session.profiles[name].forBundle(), signOnly: signOnly, share: share}
		defer p.destroy()
		all = append(all, p)
		shares, a.Caveats.Credentials = append(shares, s), append(a.Caveats.Credentials, s.Credential)
	}
	if a.Caveats.NotAfter == 0 {
		a.Caveats.NotAfter = a.IssuedAt + 3600
	}
	var seed [32]byte
	_, _ = rand.Read(seed[:])
	next := ed25519.NewKeyFromSeed(seed[:])
	chain, err := unlocktoken.NewChain(a, ed25519.PublicKey(next[32:]), v.SignGrant)
	check(err)
	g, err := chain.Read()
	check(err)
	policy, err := f.agent.session.policyForBundle()
	check(err)
	text, err := f.agent.sealBundle(g, issuer, all, policy, known, v.SignGrant)
	check(err)
	token, err := unlocktoken.New(unlocktoken.IssuerHash(issuer[:]), shares, chain, seed)
	check(err)
	return text, token
}

// cleanHome returns the paths of a machine that has nothing.
func cleanHome(t testing.TB) socketpath.Paths {
	t.Helper()
	home, err := os.MkdirTemp("", "nsh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	p, err := socketpath.Find(socketpath.Options{Getenv: func(k string) string { return map[string]string{"HOME": home}[k] }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// runner is an agent that serves a bundle on a machine of its own.
type runner struct {
	*fixture
	idToken []byte
	wall    time.Time // zero: the machine's clock
}

// newRunner returns a machine without an agent yet.
func newRunner(t testing.TB) *runner {
	t.Helper()
	arena, err := secret.NewArena(secret.ArenaConfig{Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	return &runner{fixture: &fixture{t: t, paths: cleanHome(t), arena: arena}}
}

// serve runs an agent with a bundle; the error is why it does not.
func (r *runner) serve(text, token []byte, change ...func(*Config)) error {
	r.t.Helper()
	take := func(b []byte) func(*secret.Arena) (secret.Bytes, error) {
		return func(a *secret.Arena) (secret.Bytes, error) { return a.Take(bytes.Clone(b)) }
	}
	cfg := Config{
		Log: slog.New(slog.NewTextHandler(r.t.Output(), nil)), Paths: r.paths, Version: "test", Bundle: &BundleConfig{Text: text, Token: take(token)},
		Boottime: func() time.Duration { return Boottime() + time.Duration(r.clock.Load()) },
		Gateway:  func(context.Context) (*net.UnixConn, error) { return gatewayHere(r.t) },
		Clock: func() time.Time {
			if r.wall.IsZero() {
				return time.Now()
			}
			return r.wall
		},
	}
	if r.idToken != nil {
		cfg.Bundle.IDToken = take(r.idToken)
	}
	for _, c := range change {
		c(&cfg)
	}
	ready := make(chan struct{})
	cfg.Ready = func() { close(ready) }
	a, err := New(r.t.Context(), cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		return err
	}
	r.agent, r.ended = a, ended
	r.t.Cleanup(func() {
		cancel()
		r.waitEnd()
	})
	r.signer = r.dial()
	return nil
}

// gatewayHere starts a gateway in this process.
func gatewayHere(t testing.TB) (*net.UnixConn, error) {
	t.Helper()
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "g"), Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	ours, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(dir, "g"), Net: "unix"})
	if err != nil {
		return nil, err
	}
	theirs, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	go func() { _ = gateway.Serve(context.Background(), theirs, nil) }()
	return ours, nil
}

// mustServe serves a bundle.
func (r *runner) mustServe(text, token []byte) {
	r.t.Helper()
	if err := r.serve(text, token); err != nil {
		r.t.Fatal(err)
	}
}

// end stops the agent.
func (r *runner) end() {
	r.t.Helper()
	if err := r.dialAdmin().Stop(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.waitEnd()
}

// try signs a GET of path.
func (r *runner) try(profile, method, path string) error {
	_, err := r.signer.Sign(r.t.Context(), client.Request{Profile: profile, Method: method, URL: "https://1234567-sb1.suitetalk.api.netsuite.com" + path})
	return err
}

// owner is an agent with a vault and the profiles acme and other.
func owner(t testing.TB) *fixture {
	t.Helper()
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	return f
}
