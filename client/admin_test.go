package client_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// sealer returns a Sealer of text, as the command line makes them.
func sealer(t *testing.T, arena *secret.Arena, text string) client.Sealer {
	return func(to client.SealTo) ([]byte, error) {
		b, err := arena.Take([]byte(text))
		if err != nil {
			t.Error(err)
			return nil, err
		}
		defer b.Destroy()
		return secret.SealTo(to.PublicKey, secret.SealContext{
			VaultID: to.VaultID, Instance: to.Instance, Method: to.Method, Profile: to.Profile, Field: to.Field,
		}, b)
	}
}

// TestAdmin walks through what an administrator's program does.
func TestAdmin(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	arena, err := secret.NewArena(secret.ArenaConfig{Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	a, c := d.dialAdmin(t), d.dial(t)
	ctx := t.Context()
	seal := func(text string) client.Sealer { return sealer(t, arena, text) }

	p := &pb.Profile{Name: "new", Account: "7654321-sb2", Auth: "tba", ConsumerKey: strings.Repeat("a", 64), TokenId: strings.Repeat("b", 64)}
	secrets := map[string]client.Sealer{"consumer_secret": seal(strings.Repeat("c", 64)), "token_secret": seal(strings.Repeat("d", 64))}
	added, err := a.AddProfile(ctx, p, secrets)
	if err != nil || added.GetAccount() != "7654321_SB2" || added.GetAccess() != "write" || added.GetCreatedAt() == 0 {
		t.Fatalf("AddProfile: got %v, %v", added, err)
	}
	if _, err := a.AddProfile(ctx, p, secrets); !errors.Is(err, client.ErrExists) {
		t.Errorf("AddProfile again: got %v, want ErrExists", err)
	}
	p.Name = "other"
	for name, wrong := range map[string]map[string]client.Sealer{
		"none": nil, "one": {"token_secret": seal("d")}, "another": {"private_key": seal("d")},
	} {
		if _, err := a.AddProfile(ctx, p, wrong); !errors.Is(err, client.ErrCredential) {
			t.Errorf("AddProfile with secrets %s: got %v, want ErrCredential", name, err)
		}
	}
	broken := errors.New("no such secret")
	if _, err := a.AddProfile(ctx, p, map[string]client.Sealer{"token_secret": func(client.SealTo) ([]byte, error) { return nil, broken }}); !errors.Is(err, broken) {
		t.Errorf("AddProfile with a sealer that fails: got %v", err)
	}
	if _, err := a.AddProfile(ctx, p, map[string]client.Sealer{"consumer_secret": garble(seal("c")), "token_secret": seal("d")}); !errors.Is(err, client.ErrRequest) {
		t.Errorf("AddProfile with a box that was changed: got %v, want ErrRequest", err)
	}
	if got, err := a.ShowProfile(ctx, "new"); err != nil || got.GetTokenId() != p.GetTokenId() {
		t.Errorf("ShowProfile: got %v, %v", got, err)
	}
	if r, err := c.Sign(ctx, client.Request{Profile: "new", URL: "https://7654321-sb2.restlets.api.netsuite.com/"}); err != nil || r.GetAccount() != "7654321_SB2" {
		t.Errorf("Sign with the new profile: got %v, %v", r, err)
	}
	if err := a.RemoveProfile(ctx, "new"); err != nil {
		t.Errorf("RemoveProfile: %v", err)
	}
	for _, name := range []string{"new", "", "\xff"} {
		if err := a.RemoveProfile(ctx, name); !errors.Is(err, client.ErrNoProfile) {
			t.Errorf("RemoveProfile(%q): got %v, want ErrNoProfile", name, err)
		}
		if got, err := a.ShowProfile(ctx, name); !errors.Is(err, client.ErrNoProfile) || got != nil {
			t.Errorf("ShowProfile(%q): got %v, %v, want ErrNoProfile", name, got, err)
		}
	}

	if err := a.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sign(ctx, client.Request{URL: customer}); !errors.Is(err, client.ErrLocked) {
		t.Errorf("Sign after Lock: got %v, want ErrLocked", err)
	}
	if _, err := a.Unlock(ctx, seal("wrong"), 0); !errors.Is(err, client.ErrPassphrase) {
		t.Errorf("Unlock: got %v, want ErrPassphrase", err)
	}
	if _, err := a.Unlock(ctx, nil, 0); !errors.Is(err, client.ErrPassphrase) {
		t.Errorf("Unlock without a passphrase: got %v, want ErrPassphrase", err)
	}
	// Half a second is not "as configured", which is twelve hours.
	for hard, want := range map[time.Duration]int64{500 * time.Millisecond: 1, 90 * time.Second: 90} {
		if u, err := a.Unlock(ctx, seal(passphrase), hard); err != nil || u.GetHardSeconds() != want || u.GetProfiles() != 4 {
			t.Errorf("Unlock for %s: got %v, %v", hard, u, err)
		}
	}
	if _, err := a.Unlock(ctx, seal(passphrase), -time.Millisecond); !errors.Is(err, client.ErrRequest) {
		t.Errorf("Unlock for a negative time: got %v, want ErrRequest", err)
	}
}

// garble changes what a Sealer returns.
func garble(s client.Sealer) client.Sealer {
	return func(to client.SealTo) ([]byte, error) {
		box, err := s(to)
		return append(bytes.Clone(box), 0), err
	}
}
