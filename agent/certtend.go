package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
	"github.com/nsagent/nsagent/vault"
)

const (
	// expiryLead is how long before its end a certificate that is rotated by age is rotated
	// in any case.
	expiryLead = 30 * day
	// What failed is not tried again at once, and after each failure in a row twice as late.
	shortestRest = 5 * time.Minute
	longestRest  = 12 * time.Hour
	// maxRetired is the most certificates that wait to be revoked; NetSuite has room for five
	// active ones. Before there may be more, mayRetire refuses.
	maxRetired = 16
)

// retired is a certificate that is to be revoked at NetSuite.
type retired struct {
	ID string `cbor:"1,keyasint"`
	// After is when, in Unix seconds: after the overlap, or the end of the grant.
	After int64 `cbor:"2,keyasint,omitempty"`
	// Grant is the grant whose bundle has the certificate, and with which it is revoked; nil
	// for one that the profile had.
	Grant []byte `cbor:"3,keyasint,omitempty"`
}

// lent reports whether a bundle has the certificate.
func (r retired) lent() bool { return len(r.Grant) == len(unlocktoken.ID{}) }

// grantName returns the name of the grant whose bundle has the certificate; "" for none.
func (r retired) grantName() string {
	if !r.lent() {
		return ""
	}
	return unlocktoken.GrantName(unlocktoken.ID(r.Grant))
}

// Bounds of RotateAfter: a certificate lives for at most two years.
const (
	minRotateAfter = 24 * time.Hour
	maxRotateAfter = 728 * 24 * time.Hour
)

func checkRotateAfter(seconds int64) error {
	if seconds != 0 && (seconds < int64(minRotateAfter/time.Second) || seconds > int64(maxRotateAfter/time.Second)) {
		return credential("rotate_after is out of range", "it is from 1d to 728d, or 0 for never")
	}
	return nil
}

// mayRetire refuses what may leave so many more certificates to be revoked that the oldest
// would be forgotten. So many wait where NetSuite refuses to revoke one, and others fail to be
// made meanwhile, again and again.
func (p *profile) mayRetire(more int) error {
	if len(p.Retired)+more <= maxRetired {
		return nil
	}
	return refuse(ErrNetSuite, pb.CodeNetSuite, fmt.Sprintf("profile %q gets no new certificate now", p.Name),
		fmt.Sprintf("%d others wait to be revoked at NetSuite, which failed", len(p.Retired)), "see which:  nsagent cert show -p "+p.Name+", and revoke them:  nsagent cert revoke ID -p "+p.Name)
}

// retire notes that a certificate is to be revoked at NetSuite.
func (p *profile) retire(c retired) {
	all := slices.DeleteFunc(slices.Clone(p.Retired), func(r retired) bool { return r.ID == c.ID })
	all = append(all, c)
	p.Retired = all[max(0, len(all)-maxRetired):]
}

// tending is what the agent knows of certificates that it could not see to, by the names
// of the profiles.
type tending struct {
	mu    sync.Mutex // guards waits
	waits map[string]wait
}

// wait is the time until something that failed is tried again.
type wait struct {
	next  time.Duration // by the boot clock
	pause time.Duration
	code  pb.Code // of the failure
}

// of returns the wait of a profile, which is zero where nothing failed.
func (t *tending) of(name string) wait {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waits[name]
}

// failed notes a failure, and returns the wait that follows.
func (t *tending) failed(name string, now time.Duration, code pb.Code) wait {
	t.mu.Lock()
	defer t.mu.Unlock()
	pause := min(max(2*t.waits[name].pause, shortestRest), longestRest)
	if t.waits == nil {
		t.waits = make(map[string]wait)
	}
	t.waits[name] = wait{now + pause, pause, code}
	return t.waits[name]
}

// only forgets what failed for profiles that have nothing to see to any more: somebody
// else did it, or it is not wanted any longer.
func (t *tending) only(names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.waits, func(name string, _ wait) bool { return !slices.Contains(names, name) })
}

// done forgets what failed before.
func (t *tending) done(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waits, name)
}

// warnings says of which of these profiles a certificate waits to be seen to.
func (t *tending) warnings(profiles map[string]*live) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(t.waits)) {
		if w := t.waits[name]; profiles[name] != nil {
			out = append(out, fmt.Sprintf("a certificate of profile %q could not be rotated or revoked (%s); it is tried again every %s: nsagent cert rotate -p %s", name, w.code, w.pause, name))
		}
	}
	return out
}

// tendCertificates sees to certificates by itself: when the vault is unlocked, and from
// then on once a minute. It goes on with rotations that were broken off, begins those whose
// time has come, and revokes what has had its overlap.
func (a *Agent) tendCertificates(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-a.tend:
		}
		if a.cfg.Gateway != nil {
			a.tendAll(asItself(ctx))
		}
	}
}

// tendAll looks at each profile once.
func (a *Agent) tendAll(ctx context.Context) {
	over, err := a.lentOver(ctx)
	if err != nil && !errors.Is(err, vault.ErrLocked) {
		a.log.Error("it is not known which bundles have ended", "error", err)
	}
	names, open := a.toTend(over)
	if open {
		a.tending.only(names)
	}
	for _, name := range names {
		if a.boottime() < a.tending.of(name).next || ctx.Err() != nil {
			continue
		}
		err := a.tendOne(ctx, name, over)
		switch {
		case err == nil:
			a.tending.done(name)
		case errors.Is(err, ErrBusy), errors.Is(err, vault.ErrLocked), errors.Is(err, errReplaced):
			// somebody is at it, or nobody can be; the next look tells
		default:
			w := a.tending.failed(name, a.boottime(), refusalOf(err).Code)
			a.log.Error("a certificate was not seen to; it is tried again", "profile", name, "in", w.pause, "error", err)
		}
	}
}

// toTend returns the profiles with something to see to; false while the vault is locked.
// over are those certificates of bundles that are to be revoked.
func (a *Agent) toTend(over map[string]bool) (names []string, open bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	s, err := a.currentLocked()
	if err != nil {
		return nil, false
	}
	now := a.clock()
	for name, p := range s.profiles {
		if p.Stale != 0 {
			continue
		}
		if a.unfinishedLocked(s, name) || p.rotationDue(now) || len(p.dueRetired(now, over)) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, true
}

// unfinishedLocked reports whether a rotation of the profile was broken off.
func (a *Agent) unfinishedLocked(s *session, name string) bool {
	st := s.staged[name]
	return st != nil && st.Change == changeRotation
}

// rotates reports whether the agent rotates the certificate by itself.
func (l *live) rotates() bool {
	return l.Auth == authM2M && l.Stale == 0 && l.RotateAfter != 0 && slices.Contains(l.Scopes, signer.ScopeRESTWebServices)
}

// rotationDue reports whether the certificate has the age at which it is to be rotated.
func (l *live) rotationDue(now time.Time) bool {
	switch {
	case !l.rotates():
		return false
	case l.Expires != 0 && now.Unix() >= l.Expires:
		return false // it can upload no other one
	case l.Expires != 0 && time.Unix(l.Expires, 0).Sub(now) < min(expiryLead, time.Unix(l.Expires, 0).Sub(l.certificateSince())/2):
		return true
	}
	return now.Sub(l.certificateSince()) >= time.Duration(l.RotateAfter)*time.Second
}

// dueRetired returns the certificates whose time is over.
func (l *live) dueRetired(now time.Time, over map[string]bool) []string {
	var ids []string
	for _, r := range l.Retired {
		if now.Unix() >= r.After || over[r.ID] {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// tendOne sees to one profile.
func (a *Agent) tendOne(ctx context.Context, name string, over map[string]bool) error {
	s, p, err := a.certified(name)
	if err != nil {
		return err
	}
	a.mu.RLock()
	unfinished := a.unfinishedLocked(s, name)
	due, st := p.rotationDue(a.clock()), s.staged[name]
	a.mu.RUnlock()
	switch {
	case due && st != nil && !unfinished:
		err = alreadyStaged(st) // people have to say first what becomes of that
	case unfinished || due:
		why := "by itself"
		if unfinished {
			why = "gone on with"
		}
		_, err = (&rotation{Agent: a, name: name, overlap: minOverlap, why: why}).run(ctx)
		if err != nil {
			e := audit.Event{Event: audit.EventCertRotate, Outcome: audit.OutcomeFailed, Reason: string(refusalOf(err).Code), Profile: name, Account: p.Account, Kind: p.Auth, Detail: why}
			err = errors.Join(err, a.recordDurably(nil, e))
		}
	}
	if len(p.dueRetired(a.clock(), over)) == 0 {
		return err
	}
	return errors.Join(err, a.revokeRetired(ctx, name, over))
}

// revokeRetired revokes at NetSuite what has had its time, and forgets what NetSuite no
// longer has.
func (a *Agent) revokeRetired(ctx context.Context, name string, over map[string]bool) error {
	_, p, err := a.certified(name)
	if err != nil {
		return err
	}
	due := p.dueRetired(a.clock(), over)
	if len(due) == 0 {
		return nil
	}
	listed, err := a.listCertificates(ctx, name)
	if err != nil {
		return err
	}
	var gone []string
	for _, id := range due {
		i := slices.IndexFunc(listed, func(m mapped) bool { return m.id == id })
		if i >= 0 && listed[i].active(a.clock()) && !a.inUse(p, id) {
			if rerr := a.revokeCertificate(ctx, name, id); rerr != nil {
				err = errors.Join(err, rerr)
				continue
			}
		}
		gone = append(gone, id)
	}
	if len(gone) == 0 {
		return err
	}
	return errors.Join(err, a.forgetRetired(ctx, name, gone))
}

// inUse reports whether a certificate is that of any profile, or the next one of any.
func (a *Agent) inUse(p *live, id string) bool {
	return a.used(id, func(other *live) bool { return other.Account == p.Account })
}

// usedByOther is inUse for profiles beside p.
func (a *Agent) usedByOther(p *live, id string) bool {
	return a.used(id, func(other *live) bool { return other.Account == p.Account && other.callersName() != p.Name })
}

// used reports whether a certificate is that of any profile that counts, or the next one.
// Nobody knows while the vault is locked.
func (a *Agent) used(id string, counts func(*live) bool) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.session == nil {
		return true
	}
	for _, all := range []map[string]*live{a.session.profiles, a.session.staged} {
		for _, other := range all {
			if other.CertificateID == id && counts(other) {
				return true
			}
		}
	}
	return false
}

// forgetRetired notes that certificates are no longer to be revoked.
func (a *Agent) forgetRetired(ctx context.Context, name string, ids []string) error {
	s, old, end, err := a.beginChangeOf(ctx, name)
	if err != nil {
		return err
	}
	defer end()
	p := *old.profile
	p.Retired = slices.DeleteFunc(slices.Clone(p.Retired), func(r retired) bool { return slices.Contains(ids, r.ID) })
	change := vault.Edit{}
	if p.Previous != nil && slices.Contains(ids, p.Previous.CertificateID) {
		p.Previous, change.DropPrevious = nil, true // nobody shall go back to it
	}
	if len(p.Retired) == len(old.Retired) && !change.DropPrevious {
		return nil
	}
	if len(p.Retired) == 0 {
		p.Retired = nil
	}
	next, err := old.with(&p)
	if err != nil {
		return err
	}
	_, err = a.replaceProfile(ctx, s, old, next, audit.EventCertRevoke, fmt.Sprintf("done=%d left=%d", len(ids), len(p.Retired)), change)
	return err
}
