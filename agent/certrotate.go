package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

const (
	// rotationTime bounds a rotation: eight requests, and the tries of the new certificate.
	rotationTime = 4 * time.Minute
	// certificateTries is how often the new certificate is tried: NetSuite does not say when one that
	// was uploaded counts everywhere.
	certificateTries = 3
)

// rotations are the profiles whose certificate is being rotated.
type rotations struct {
	mu sync.Mutex // guards busy
	// busy holds names of profiles.
	busy map[string]bool
}

// claim takes a profile, until release is called.
func (r *rotations) claim(name string) (release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[name] {
		return nil, refuse(ErrBusy, pb.CodeLimited, fmt.Sprintf("the credential of profile %q is being changed at NetSuite", name), "", "try again in a moment")
	}
	if r.busy == nil {
		r.busy = make(map[string]bool)
	}
	r.busy[name] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.busy, name)
	}, nil
}

// rotation is one rotation on its way. It takes the agent's turn for each change of the
// vault, and not between them: the network may be slow.
//
// Where it stands is told by the vault and by NetSuite's list: a next certificate that is
// staged, listed or not. So it can be gone on with after any end of the agent.
type rotation struct {
	*Agent
	name    string
	wish    certificateWish
	overlap time.Duration
	byHand  bool   // people upload
	why     string // for the log
	// asked is what an uploaded certificate is to stand for where NetSuite does not list the
	// present one, and proof what that was proved by.
	asked standing
	proof string

	of    string   // the certificate that the next one was compared with
	id    string   // of the next certificate, as NetSuite knows it
	there presence // whether NetSuite has it
}

// presence is whether NetSuite has a certificate.
type presence int

const (
	absent presence = iota
	perhaps
	present
)

// rotated is what came of a rotation.
type rotated struct {
	profile *profile
	before  string // certificate ID
	until   int64  // when that one is revoked; 0: it is not
}

// run rotates. What fails before the switch is undone, except that a next certificate that
// people have made stays.
func (r *rotation) run(ctx context.Context) (rotated, error) {
	release, err := r.rotations.claim(r.name)
	if err != nil {
		return rotated{}, err
	}
	defer release()
	// Whoever asked may go away: what was begun comes to an end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rotationTime)
	defer cancel()
	st, listed, err := r.prepare(ctx)
	if err != nil {
		return rotated{}, err
	}
	r.id = st.CertificateID
	if !r.byHand {
		if st, err = r.uploaded(ctx, st, listed); err != nil {
			return rotated{}, r.undo(ctx, st, err)
		}
	}
	if err := r.probe(ctx, st); err != nil {
		return rotated{}, r.undo(ctx, st, err)
	}
	out, err := r.switchTo(ctx, st)
	if err != nil {
		return rotated{}, r.undo(ctx, st, err)
	}
	return out, nil
}

// prepare returns the next certificate, which it makes unless there is one, and what
// NetSuite lists.
func (r *rotation) prepare(ctx context.Context) (*live, []mapped, error) {
	s, p, err := r.certified(r.name)
	if err != nil {
		return nil, nil, err
	}
	st := r.stagedFor(s, r.name)
	switch {
	case st != nil && st.Change != changeCertificate && st.Change != changeRotation:
		return nil, nil, alreadyStaged(st)
	case st != nil && r.wish != (certificateWish{}):
		return nil, nil, refuse(ErrRequest, pb.CodeExists, fmt.Sprintf("profile %q has a next certificate already", r.name), "it is as it was made", "rotate to it:  nsagent cert rotate -p "+r.name+", or drop it:  nsagent cert new --drop -p "+r.name)
	case st == nil && r.byHand:
		return nil, nil, noNext(r.name)
	case r.byHand:
		return st, nil, nil
	case p.Expires != 0 && r.clock().Unix() >= p.Expires:
		return nil, nil, refuse(ErrExpired, pb.CodeExpired, fmt.Sprintf("the certificate of profile %q has expired", r.name),
			"it can upload no other one", "upload it by hand:  nsagent cert new -p "+r.name+", then nsagent cert rotate --by-hand -p "+r.name)
	}
	if err := p.mayRetire(1); err != nil {
		return nil, nil, err
	}
	listed, err := r.listCertificates(ctx, r.name)
	if err != nil {
		return nil, nil, err
	}
	if st != nil {
		return st, listed, nil
	}
	if listed, err = r.makeRoom(ctx, p, listed); err != nil {
		return nil, nil, err
	}
	st, err = r.stageCertificate(ctx, r.name, r.wish, changeRotation)
	return st, listed, err
}

// makeRoom returns the list with a free place. Where there is none, one of ours that is to
// be revoked anyway goes now.
func (r *rotation) makeRoom(ctx context.Context, p *live, listed []mapped) ([]mapped, error) {
	var active []string
	for _, m := range listed {
		if m.active(r.clock()) {
			active = append(active, m.id)
		}
	}
	if len(active) < maxActiveCertificates {
		return listed, nil
	}
	ours := slices.SortedFunc(slices.Values(p.Retired), func(a, b retired) int { return cmp.Compare(a.After, b.After) })
	for _, old := range ours {
		i := slices.IndexFunc(listed, func(m mapped) bool { return m.id == old.ID && m.active(r.clock()) })
		if i < 0 || old.ID == p.CertificateID || old.lent() {
			continue
		}
		if err := r.revokeCertificate(ctx, r.name, old.ID); err != nil {
			return nil, err
		}
		listed = slices.Clone(listed)
		listed[i].revoked = true
		return listed, r.forgetRetired(ctx, r.name, []string{old.ID})
	}
	return nil, refuse(ErrNetSuite, pb.CodeNetSuite, fmt.Sprintf("there is no place for a new certificate of profile %q", r.name),
		fmt.Sprintf("the integration record has %d active ones, and NetSuite takes no more: %s", len(active), strings.Join(active, ", ")), "revoke one that nobody needs:  nsagent cert revoke ID -p "+r.name)
}

// uploaded sees to it that NetSuite has the next certificate, and returns it as NetSuite
// knows it.
func (r *rotation) uploaded(ctx context.Context, st *live, listed []mapped) (*live, error) {
	_, p, err := r.certified(r.name)
	if err != nil {
		return st, err
	}
	find := func(id string) (mapped, bool) {
		i := slices.IndexFunc(listed, func(m mapped) bool { return m.id == id })
		if i < 0 {
			return mapped{}, false
		}
		return listed[i], true
	}
	own := presentOf(listed)
	as := own.or(r.asked)
	r.of = own.id
	if m, ok := find(st.CertificateID); ok {
		if m.revoked {
			return st, refuse(ErrNetSuite, pb.CodeNetSuite, fmt.Sprintf("the next certificate of profile %q was revoked at NetSuite", r.name), "it cannot be used again", "drop it:  nsagent cert new --drop -p "+r.name)
		}
		r.there = present
		return st, sameStanding(st, m.standing, as)
	}
	if listed, err = r.makeRoom(ctx, p, listed); err != nil {
		return st, err
	}
	id, err := r.uploadCertificate(ctx, r.name, certificateUpload{pem: st.Certificate, id: st.CertificateID, standing: as, of: r.of, proof: r.proof})
	if errors.Is(err, errUnsure) {
		r.there = perhaps
		if again, lerr := r.listCertificates(ctx, r.name); lerr == nil {
			listed = again
			if m, ok := find(st.CertificateID); ok {
				r.there, err = present, sameStanding(st, m.standing, as)
			}
		}
		return st, err
	}
	if err != nil {
		return st, err
	}
	r.there = present
	if id == st.CertificateID {
		return st, nil
	}
	r.id = id
	return r.renamed(ctx, st, id)
}

// renamed notes that NetSuite gave the next certificate another ID than the one computed.
func (r *rotation) renamed(ctx context.Context, st *live, id string) (*live, error) {
	s, _, end, err := r.beginChangeOf(ctx, r.name)
	if err != nil {
		return st, err
	}
	defer end()
	next, err := r.restage(ctx, s, st, audit.EventCertUpload, "certificate="+id, func(p *profile) { p.CertificateID = id })
	if err != nil {
		return st, err
	}
	return next, nil
}

// probe gets an access token with the next certificate, and forgets it.
func (r *rotation) probe(ctx context.Context, st *live) error {
	s, err := r.unlocked()
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		e := audit.Event{Event: audit.EventCertProbe, Outcome: audit.OutcomeOK, Profile: r.name, Account: st.Account, Kind: st.Auth, Detail: "certificate=" + st.CertificateID}
		err := r.carryOut(callerOf(ctx), e, func() error {
			b, err := r.newToken(ctx, s, st, st.Scopes)
			b.token.Destroy()
			return err
		})
		if probed := (*recorded)(nil); errors.As(err, &probed) {
			err = probed.error // the end of the rotation has an entry of its own
		}
		if err == nil || errors.Is(err, audit.ErrUnavailable) || errors.Is(err, errReplaced) || errors.Is(err, vault.ErrLocked) || try == certificateTries {
			return err
		}
		select {
		case <-time.After(r.probePause):
		case <-ctx.Done():
			return err
		}
	}
}

// switchTo puts the next certificate into its place, and notes when the one before is to be
// revoked.
func (r *rotation) switchTo(ctx context.Context, st *live) (rotated, error) {
	s, old, end, err := r.beginChangeOf(ctx, r.name)
	if err != nil {
		return rotated{}, err
	}
	defer end()
	if now := r.stagedFor(s, r.name); now != st || !r.byHand && old.CertificateID != r.of {
		return rotated{}, changedElsewhere(r.name)
	}
	out := rotated{before: old.CertificateID}
	if !r.byHand && old.CertificateID != st.CertificateID {
		out.until = r.clock().Add(r.overlap).Unix()
	}
	how := promotion{event: audit.EventCertRotate, overlap: r.overlap, detail: fmt.Sprintf("%s from=%s to=%s", r.why, old.CertificateID, st.CertificateID)}
	how.edit = func(p *profile) {
		if out.until != 0 {
			p.retire(retired{ID: old.CertificateID, After: out.until})
		}
	}
	out.profile, err = r.promote(ctx, s, old, st, how)
	return out, err
}

// undo takes back what was done for a next certificate that cannot be used, and returns
// why. What people have made stays, and so does everything where the vault is locked
// meanwhile: then it is gone on with after the next unlock.
//
// The vault comes first: it says what is to be revoked before anything is.
func (r *rotation) undo(ctx context.Context, st *live, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rotationTime/4)
	defer cancel()
	stays := "callers go on with the present certificate"
	switch {
	case errors.Is(cause, vault.ErrLocked), errors.Is(cause, audit.ErrUnavailable):
		return cause
	case errors.Is(cause, errReplaced):
		return r.notRotated(cause, stays)
	case st.Change == changeCertificate:
		return r.notRotated(cause, stays+"; the next one stays too")
	}
	err := r.unstageFailed(ctx, st)
	if err != nil {
		r.log.Error("a next certificate cannot be dropped", "profile", r.name, "error", err)
		return r.notRotated(cause, stays)
	}
	if r.there == present {
		err = r.revokeRetired(ctx, r.name, nil)
	}
	if err != nil || r.there == perhaps {
		stays += "; the new one is revoked at NetSuite as soon as that works"
	}
	return r.notRotated(cause, stays)
}

// unstageFailed forgets the next certificate, and notes that it is to be revoked.
func (r *rotation) unstageFailed(ctx context.Context, st *live) error {
	s, _, end, err := r.beginChangeOf(ctx, r.name)
	if err != nil {
		return err
	}
	defer end()
	if r.stagedFor(s, r.name) != st {
		return changedElsewhere(r.name)
	}
	var edit func(*profile)
	switch now := r.clock(); r.there {
	case present:
		edit = func(p *profile) { p.retire(retired{ID: r.id, After: now.Unix()}) }
	case perhaps: // an upload that is late still counts then
		edit = func(p *profile) { p.retire(retired{ID: r.id, After: now.Add(2 * exchangeTime).Unix()}) }
	case absent:
	}
	return r.unstage(ctx, s, st, audit.EventCertDrop, "certificate="+r.id, edit)
}

// notRotated returns cause as the reason why a rotation failed.
func (r *rotation) notRotated(cause error, stays string) error {
	return notDone(cause, fmt.Sprintf("the certificate of profile %q was not rotated", r.name), stays)
}
