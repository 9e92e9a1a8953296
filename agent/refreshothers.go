package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// What other processes make of a profile on the same vault, and who waits for a refresh.

// errChanged means that the vault holds a profile that differs in more than what came of
// refreshes.
var errChanged = errors.New("agent: profile changed by another process")

// newest returns what the vault holds of the profile, also with errChanged.
func (r *refresh) newest(v vault.Record) (*profile, error) {
	now, err := r.agent.codec.decodeRecord(v)
	if err != nil {
		return nil, err
	}
	if same, err := r.agent.sameButConsent(now, r.live.profile); err != nil || !same {
		return now, errors.Join(errChanged, err)
	}
	return now, (&live{profile: now}).needsConsent()
}

// sameButConsent reports whether two profiles are the same but for what came of logins and
// refreshes.
func (a *Agent) sameButConsent(p, q *profile) (bool, error) {
	x, y := *p, *q
	x.consent, y.consent = consent{}, consent{}
	one, err := a.codec.encode(&x)
	if err != nil {
		return false, err
	}
	other, err := a.codec.encode(&y)
	return bytes.Equal(one, other), err
}

// changed takes over a profile that another process changed, or ended the consent of, and
// returns the error for it.
func (r *refresh) changed(err error, now *profile) error {
	switch {
	case errors.Is(err, errChanged) && now != nil:
		return errors.Join(errReplaced, r.publish(now))
	case errors.Is(err, ErrConsent) && now != nil:
		return errors.Join(err, r.publish(now))
	case errors.Is(err, vault.ErrNotFound):
		return refuse(ErrBusy, pb.CodeLimited, fmt.Sprintf("profile %q was removed or renamed by another process", r.live.Name), "", "lock, unlock, and try again")
	}
	return err
}

// publish makes now, which the vault holds, what callers use. Where nothing changed but
// what came of refreshes, those who wait for an access token go on waiting.
func (r *refresh) publish(now *profile) error {
	next, err := describe(now)
	if err != nil {
		return err
	}
	same, err := r.agent.sameButConsent(now, r.live.profile)
	if err != nil {
		return err
	}
	old := r.live
	same = same && (old.Consent == "" || now.Consent != "") // else what failed before has no bearing
	r.agent.publish(r.session, func(profiles map[string]*live) {
		next.lastUsed.Store(old.lastUsed.Load())
		next.skew.known.Store(old.skew.known.Load())
		if there := profiles[next.Name]; there != nil && there != old {
			there.supersede() // one of several that were changed at once
		}
		profiles[next.Name] = next
		if same {
			next.tokens = old.tokens
		} else {
			old.supersede()
		}
		r.live = next
	})
	return nil
}

// upToDate takes over what another process made of an authcode profile, and returns it as
// it is now. The caller holds its turn to change the vault.
func (a *Agent) upToDate(s *session, p *live) *live {
	if p.Auth != authCode {
		return p
	}
	r := &refresh{agent: a, session: s, live: p}
	if err := r.look(); err != nil && !errors.Is(err, errReplaced) && !errors.Is(err, ErrConsent) {
		a.log.Info("not seen whether another process has changed a profile", "profile", p.Name, "error", err)
	}
	return r.live
}

// lookAgain reports whether a profile that needs consent here got it by way of another
// process.
func (a *Agent) lookAgain(ctx context.Context, name string) bool {
	a.mu.RLock()
	s, err := a.currentLocked()
	if err == nil {
		var p *live
		if p, err = s.find(name); err == nil {
			name = p.Name
		}
	}
	a.mu.RUnlock()
	if err != nil {
		return false
	}
	_, p, end, err := a.beginChangeOf(ctx, name)
	if err != nil {
		return false
	}
	end()
	return p.Consent == ""
}

// stopTime is how long an agent that is to end waits for refreshes that are under way.
const stopTime = 5 * time.Second

// awaitRefreshes waits until what refreshes bring is stored, for as long as stopTime.
func (a *Agent) awaitRefreshes() {
	var under []<-chan struct{}
	a.mu.RLock()
	if a.session != nil {
		for _, p := range a.session.profiles {
			if busy := p.tokens.refreshing(); busy != nil {
				under = append(under, busy)
			}
		}
	}
	a.mu.RUnlock()
	over := time.After(stopTime)
	for _, busy := range under {
		select {
		case <-busy:
		case <-over:
			return
		}
	}
}
