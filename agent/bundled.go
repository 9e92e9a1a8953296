package agent

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// bundled is what an agent has of the bundle that it serves.
type bundled struct {
	*granted
	idToken secret.Bytes // of the job, until it was looked at
	// shares are what the bundle was opened with, by credential: another token of the grant is
	// judged by them.
	shares map[unlocktoken.ID][sha256.Size]byte
}

// commonRight returns the right that everybody on agent.sock has.
func (a *Agent) commonRight() right {
	if a.bundled != nil {
		return of(a.bundled.granted)
	}
	return ofOwner()
}

// bundleLedger opens the ledger of a grant. Its MAC finds damage, and no more: whoever has
// the token can make one of their own.
func (a *Agent) bundleLedger(ctx context.Context, g *unlocktoken.Grant) (*ledger, error) {
	public := append([]byte("nsagent/v1 bundle ledger"), g.AuthorityHash[:]...)
	text, err := a.arena.Take(public)
	if err != nil {
		return nil, err
	}
	defer text.Destroy()
	key, err := a.arena.NewHMACKey(text)
	if err != nil {
		return nil, err
	}
	return a.ledgerUnder(ctx, key, g.Vault[:])
}

// admitBundle refuses a grant that has ended, by the highest time that was seen on this
// machine. From there its clock goes on with the boot clock.
func (a *Agent) admitBundle(ctx context.Context, g *granted) error {
	l, err := a.bundleLedger(ctx, g.Grant)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	g.ends.load(l, g.Vault[:])
	g.clock = newSteadyClock(a.boottime, a.timeOf(g, a.clock()))
	now, err := a.goodBy(l, g, true)
	if now.After(a.clock().Add(clockSlack)) {
		a.log.Warn("the clock of this machine was set back; limits in time go on from the highest time seen", "seen", now.UTC().Format(time.RFC3339))
	}
	return err
}

// settleBundle writes down the highest time that was seen, at the end of the agent.
func (a *Agent) settleBundle() {
	if a.bundled == nil {
		return
	}
	if err := a.noteGrantTime(nil, true); err != nil {
		a.log.Warn("the time is not noted for the grant", "error", err)
	}
}

// startBundle records that the bundle is served, once the job has shown who it is where
// the grant asks for it.
func (a *Agent) startBundle(ctx context.Context) error {
	b := a.bundled
	if b == nil {
		return nil
	}
	defer b.idToken.Destroy()
	err := a.identifyBundle(ctx, b)
	e := audit.Event{
		Event: audit.EventGrantRedeem, Outcome: audit.OutcomeOK, Grant: b.name,
		Detail: "bundle until=" + time.Unix(b.NotAfter(), 0).UTC().Format(time.RFC3339),
	}
	if err != nil {
		e.Outcome, e.Reason = audit.OutcomeDenied, string(refusalOf(err).Code)
	}
	if werr := a.recordDurably(nil, e); werr != nil {
		return fmt.Errorf("recording the bundle: %w", unrecorded(werr, err))
	}
	return err
}

// identifyBundle looks at the job's ID token. A grant that asks for one serves nobody
// without.
func (a *Agent) identifyBundle(ctx context.Context, b *bundled) error {
	if b.idToken.IsZero() {
		if !asksForJob(b.Grant) {
			return nil
		}
		return noJob()
	}
	return a.identify(ctx, b.granted, b.idToken, func() (*ledger, error) { return a.bundleLedger(ctx, b.Grant) })
}

// noJob is the refusal of a grant for jobs that say who they are to somebody who has not.
func noJob() error {
	return refuse(ErrGrant, pb.CodeGrant, "the unlock token wants the ID token of a job", "none was given", "set NSAGENT_OIDC_TOKEN_FILE:  nsagent help ci")
}

// asksForJob reports whether a grant is for jobs that say who they are.
func asksForJob(g *unlocktoken.Grant) bool {
	return slices.ContainsFunc(g.Blocks(), func(c unlocktoken.Caveats) bool { return len(c.Identities) > 0 })
}

// closeBundle wipes what the token opened, if a bundle is served.
func (a *Agent) closeBundle() {
	if a.bundled != nil {
		a.bundled.idToken.Destroy()
		a.dropOwn(a.bundled.granted)
	}
}
