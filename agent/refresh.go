package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/internal/atomicfile"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault"
)

// A public client's refresh token is good once: the answer to a refresh brings the next
// one, and who loses that has to log in again. So
//
//   - one process at a time refreshes a profile (refreshlock.go), with what the vault holds
//     then and not with what it remembers;
//   - that a refresh is under way stands in the vault before it is sent, so that whoever
//     comes after a crash knows why NetSuite refuses the token that is there;
//   - the next refresh token is durable in the vault before the access token that came with
//     it is given out;
//   - whoever changes the profile waits for a refresh that is under way.
//
// A confidential client keeps its refresh token, and needs none of this.

// commitTime is how long the vault may take to store what came of a refresh, which nothing
// else cuts short.
const commitTime = 30 * time.Second

// refresh makes one refresh of the authcode profile p, which is then what took its place
// meanwhile. again means that another one is worth trying: a request that got lost on its
// way may have been answered, and only asking once more tells.
//
// Source: NetSuite Help, "Refresh Token POST Request to the Token Endpoint"; RFC 6749
// section 6.
func (a *Agent) refresh(ctx context.Context, s *session, p **live) (b bearer, again bool, err error) {
	r := &refresh{agent: a, session: s, live: *p}
	defer func() { *p = r.live }()
	defer r.end()
	if err := r.begin(ctx); err != nil {
		return bearer{}, false, err
	}
	g, answer, err := a.postGrant(ctx, s, r.live, r.clientSecret, formField{name: "grant_type", plain: "refresh_token"}, formField{name: "refresh_token", secret: r.refreshToken})
	if err != nil {
		return bearer{}, false, err
	}
	defer g.refresh.Destroy()
	if answer.Readable && answer.Status == http.StatusBadRequest && answer.Kept["error"] == "invalid_grant" {
		return bearer{}, false, r.over()
	}
	if err := r.live.exchangeRefused(answer); err != nil {
		if unsent(answer.Failure) {
			r.live.tokens.setUnsent(r.live.Refreshing)
		}
		return bearer{}, answer.Failure == gateway.FailedGateway || answer.Failure == gateway.FailedCut, err
	}
	if !g.refresh.IsZero() {
		if err := r.keep(g.refresh); err != nil {
			g.access.token.Destroy()
			return bearer{}, false, err
		}
	}
	if g.access.token.IsZero() {
		return bearer{}, false, r.live.incomplete("access_token or expires_in")
	}
	return g.access, false, nil
}

// unsent reports whether a request that failed so has surely not been sent: there was no
// connection to send it over.
func unsent(f gateway.Failure) bool {
	switch f {
	case gateway.FailedName, gateway.FailedConnect, gateway.FailedUnknownCA, gateway.FailedExpired, gateway.FailedHost, gateway.FailedTLS:
		return true
	}
	return false
}

// refresh is one refresh on its way.
type refresh struct {
	agent   *Agent
	session *session
	live    *live
	guard   *atomicfile.Guard // nil for a confidential client
	busy    chan struct{}     // what changes of the profile wait for; nil: they do not yet
	// interrupted says that an earlier refresh had no answer that is known.
	interrupted bool

	clientSecret, refreshToken secret.Bytes
}

// begin takes the profile for this refresh, writes down that it is under way where that
// matters, and opens what it takes. The error is errReplaced where another process has
// changed the profile.
func (r *refresh) begin(ctx context.Context) (err error) {
	a, p := r.agent, r.live
	if !p.Confidential {
		if r.guard, err = lockRefresh(ctx, a.cfg.Paths.Vault, p.Name); err != nil {
			return err
		}
	}
	endTurn, err := a.beginAdmin(ctx)
	if err != nil {
		return err
	}
	defer endTurn()
	if err := ctx.Err(); err != nil { // nothing is written down that will not be sent
		return fmt.Errorf("beginning a refresh: %w", errors.Join(ErrBusy, err))
	}
	if err := a.useProfile(r.session, p, func(*live) error { return nil }); err != nil {
		return err
	}
	if !p.Confidential {
		err = r.intend(ctx)
	} else {
		err = r.look()
	}
	if err == nil {
		err = r.open()
	}
	if err != nil {
		return err
	}
	r.busy = make(chan struct{})
	if !r.live.tokens.setBusy(r.busy) {
		r.busy = nil
		return errReplaced
	}
	return nil
}

// intend writes into the vault that a refresh is under way.
func (r *refresh) intend(ctx context.Context) error {
	var now *profile
	record, err := r.session.vault.Edit(ctx, r.live.Name, func(v vault.Record) (e vault.Edit, err error) {
		if now, err = r.newest(v); err != nil {
			return e, err
		}
		r.interrupted = now.Refreshing != 0 && !r.live.tokens.isUnsent(now.Refreshing)
		if now.Refreshing == 0 {
			now.Refreshing = r.agent.clock().Unix()
		}
		e.Meta, err = r.agent.codec.encode(now)
		return e, err
	})
	if err != nil {
		return r.changed(err, now)
	}
	now.keptIn(record)
	return r.publish(now)
}

// look takes over what another process made of the profile.
func (r *refresh) look() error {
	var now *profile
	raw, err := r.session.vault.OpenRawIf(r.live.Name, func(v vault.Record) (err error) {
		now, err = r.newest(v)
		return err
	})
	raw.Destroy()
	if err != nil {
		return r.changed(err, now)
	}
	return r.publish(now)
}

// isCurrent returns an error unless the record is as l was read from it.
func (l *live) isCurrent(v vault.Record) error {
	if v.ID != l.record || !slices.Equal(versionNumbers(v.Versions), versionNumbers(l.versions)) {
		return errReplaced
	}
	return nil
}

// open opens client secret and refresh token. A refresh token that came and could not be
// stored is the newer one.
func (r *refresh) open() error {
	raw, err := r.session.vault.OpenRawIf(r.live.Name, r.live.isCurrent)
	if err != nil {
		return err
	}
	defer raw.Destroy()
	if r.clientSecret, r.refreshToken, err = openCode(r.agent.arena, raw); err != nil {
		return err
	}
	unsaved, err := r.live.tokens.unsavedCopy(r.agent.arena)
	if err != nil {
		return err
	}
	if !unsaved.IsZero() {
		r.refreshToken.Destroy()
		r.refreshToken = unsaved
	}
	if r.refreshToken.IsZero() || r.clientSecret.IsZero() == r.live.Confidential {
		return fmt.Errorf("opening the secrets of profile %q: %w", r.live.Name, vault.ErrDamaged)
	}
	return nil
}

// keep stores the refresh token that came. Where that fails it is kept in locked memory for
// the next refresh, as long as the vault is unlocked.
func (r *refresh) keep(token secret.Bytes) error {
	err := r.commit("token=new", token, func(c *consent) {
		c.Refreshing, c.Refreshed = 0, r.agent.clock().Unix()
	})
	if err == nil {
		return nil
	}
	if unsaved, cerr := r.agent.arena.Clone(token); cerr == nil {
		r.live.tokens.setUnsaved(unsaved)
	}
	return fmt.Errorf("storing a refresh token: %w", err)
}

// over notes that NetSuite refuses the refresh token, which is dropped, and returns the
// refusal for callers.
func (r *refresh) over() error {
	why := consentRefused
	if r.interrupted {
		why = consentInterrupted
	}
	err := r.commit("consent="+why, secret.Bytes{}, func(c *consent) { c.Refreshing, c.Consent = 0, why })
	if err != nil {
		// The refusal is the same without it, and the next refresh tries again.
		r.agent.log.Error("not stored that a refresh token was refused", "error", err)
	}
	p := *r.live.profile
	p.Consent = why
	return (&live{profile: &p}).needsConsent()
}

// commit records and stores what came of a refresh: another refresh token, or none.
func (r *refresh) commit(detail string, token secret.Bytes, change func(*consent)) error {
	a, p := r.agent, r.live
	ctx, cancel := r.session.line.during(context.Background(), commitTime)
	defer cancel()
	select {
	case a.admin <- struct{}{}: // not counted among managers: what came must not be lost to them
		defer func() { <-a.admin }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for a turn: %w", ctx.Err())
	}
	m, err := newCode(a.arena, r.clientSecret, token)
	if err != nil {
		return err
	}
	defer m.destroy()
	var now *profile
	err = a.commit(nil, audit.EventRefresh, p.profile, detail, func() error {
		record, err := r.session.vault.Edit(ctx, p.Name, func(v vault.Record) (e vault.Edit, err error) {
			if err := p.isCurrent(v); err != nil {
				return e, err
			}
			if now, err = a.codec.decodeRecord(v); err != nil {
				return e, err
			}
			change(&now.consent)
			e = vault.Edit{SignOnly: m.signOnly, Raw: m.raw, Replace: true}
			e.Meta, err = a.codec.encode(now)
			return e, err
		})
		if err == nil {
			now.keptIn(record)
		}
		return err
	})
	if err != nil {
		return err
	}
	p.tokens.setUnsaved(secret.Bytes{})
	return r.publish(now)
}

// end lets others have the profile.
func (r *refresh) end() {
	r.clientSecret.Destroy()
	r.refreshToken.Destroy()
	if r.busy != nil {
		r.live.tokens.setBusy(nil)
		close(r.busy)
	}
	if r.guard != nil {
		r.guard.Unlock()
	}
	r.agent.noteGeneration(r.session.vault)
}
