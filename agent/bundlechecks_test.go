package agent

import (
	"errors"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/grantkey"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/secrettest"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault/bundle"
)

// TestBundleIsRecorded: a bundle is not served where that cannot be recorded.
func TestBundleIsRecorded(t *testing.T) {
	f := owner(t)
	text, token := f.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	r := newRunner(t)
	r.mustServe(text, token.Text())
	if err := r.agent.audit.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.agent.startBundle(t.Context()); !errors.Is(err, audit.ErrClosed) || !strings.Contains(err.Error(), "recording the bundle") {
		t.Errorf("got %v", err)
	}
}

// TestNoBundleToSettle: an agent that has a vault ends as any other where the time that its
// grants have seen is not written down yet. That is for the ledger of a bundle.
func TestNoBundleToSettle(t *testing.T) {
	f, ahead := unlockedAhead(t)
	c := f.show(f.mint(unlocktoken.Caveats{}, "acme"))
	ahead.Store(int64(clockStep / 2))
	if _, err := c.Sign(t.Context(), request("acme")); err != nil {
		t.Fatal(err)
	}
	if _, is := f.grantClock().news(true); !is {
		t.Fatal("control: the time is written down")
	}
	f.restart() // which fails if the agent does
}

// packed returns what a bundle is to hold of acme.
func (p bundleParts) packed() packed {
	p.t.Helper()
	one := packed{credential: p.id("acme"), profile: p.agent.session.profiles["acme"].forBundle()}
	p.t.Cleanup(func() { one.destroy() })
	var err error
	if one.signOnly, err = p.agent.session.vault.OpenSignOnly("acme"); err == nil {
		one.share, err = p.agent.arena.Random(grantkey.ShareSize)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return one
}

// seal seals a bundle of one profile, under a policy.
func (p bundleParts) seal(one packed, policy []byte) ([]byte, error) {
	return p.agent.sealBundle(mustRead(p.t, p.token), p.issuer, []packed{one}, policy, nil, p.agent.session.vault.SignGrant)
}

// Wherever the room in locked memory ends while a bundle is sealed, that is what is said.
func TestBundleIsSealedInItsRoom(t *testing.T) {
	p := partsOf(t)
	one := p.packed()
	for blocks := 0; ; blocks++ {
		empty := secrettest.LeaveRoom(p.agent.arena, blocks)
		text, err := p.seal(one, nil)
		empty()
		if err == nil && blocks > 1 { // the share once more, and its key
			return
		}
		if !errors.Is(err, secret.ErrFull) || text != nil {
			t.Fatalf("room for %d blocks: got %d bytes, %v, want ErrFull", blocks, len(text), err)
		}
	}
}

// TestBundleIsSealedUnderAPolicy: where the policy in force goes into no bundle, none is made,
// and nothing is granted.
func TestBundleIsSealedUnderAPolicy(t *testing.T) {
	p := partsOf(t)
	if text, err := p.seal(p.packed(), make([]byte, bundle.MaxMeta)); refusedWith(err) != pb.CodePolicy || text != nil {
		t.Errorf("too large: got %d bytes, %v", len(text), err)
	}
	if err := p.agent.session.vault.SetPolicy(t.Context(), []byte("?"), nil, nil); err != nil {
		t.Fatal(err)
	}
	n, share := p.planned(t, true)
	defer share.Destroy()
	before := len(p.grants(t))
	if _, err := p.agent.storeGrant(t.Context(), p.agent.session, n, share, "passphrase"); refusedWith(err) != pb.CodePolicy {
		t.Errorf("none that can be read: got %v", err)
	}
	if now := len(p.grants(t)); now != before {
		t.Errorf("%d grants were made", now-before)
	}
}
