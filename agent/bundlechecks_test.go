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
	if !f.agent.grantClock.isNews(true) {
		t.Fatal("control: the time is written down")
	}
	f.restart() // which fails if the agent does
}

// Wherever the room in locked memory ends while a bundle is sealed, that is what is said.
func TestBundleIsSealedInItsRoom(t *testing.T) {
	p := partsOf(t)
	v := p.agent.session.vault
	one := packed{credential: p.id("acme"), profile: p.agent.session.profiles["acme"].forBundle()}
	defer func() { one.destroy() }()
	var err error
	if one.signOnly, err = v.OpenSignOnly("acme"); err == nil {
		one.share, err = p.agent.arena.Random(grantkey.ShareSize)
	}
	if err != nil {
		t.Fatal(err)
	}
	for blocks := 0; ; blocks++ {
		empty := secrettest.LeaveRoom(p.agent.arena, blocks)
		text, err := p.agent.sealBundle(mustRead(t, p.token), p.issuer, []packed{one}, nil, nil, v.SignGrant)
		empty()
		if err == nil && blocks > 1 { // the share once more, and its key
			return
		}
		if !errors.Is(err, secret.ErrFull) || text != nil {
			t.Fatalf("room for %d blocks: got %d bytes, %v, want ErrFull", blocks, len(text), err)
		}
	}
}
