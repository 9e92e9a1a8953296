package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// A staged profile is what is to take the place of a profile: made, and tried out, while
// callers go on with the old one. It is a record of its own, so that it survives the end
// of the agent at any moment, under a name that no caller can ask for.

// stagedName returns the name of the record: "+" is no character of profile names.
func stagedName(name string) string { return name + "+next" }

// callersName returns the name that callers know p by.
func (p *profile) callersName() string {
	if p.For != "" {
		return p.For
	}
	return p.Name
}

// public returns p under the name that callers know, for the log.
func (p *profile) public() *profile {
	q := *p
	q.Name = p.callersName()
	return &q
}

// decodeRecord reads the metadata of a record, which has to be the record's own. A staged
// profile has a name that no other can have.
func (c profileCodec) decodeRecord(r vault.Record) (*profile, error) {
	p, err := c.decode(r.Meta)
	if err != nil {
		return nil, err
	}
	name := p.Name
	if p.For != "" {
		name = stagedName(p.For)
	}
	if p.Name != r.Name || name != r.Name || !profileName().MatchString(p.callersName()) {
		return nil, fmt.Errorf("record %q: %w: it names another profile", r.Name, vault.ErrDamaged)
	}
	p.keptIn(r)
	return p, nil
}

// stagedFor returns what is staged for a profile, or nil.
func (a *Agent) stagedFor(s *session, name string) *live {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return s.staged[name]
}

// dropStaged forgets a staged profile, if any. The caller holds the agent's lock.
func (s *session) dropStaged(st *live) {
	if st != nil {
		delete(s.staged, st.For)
		st.supersede()
		st.destroy()
	}
}

// stage stores p, which was checked, with its secret beside the profile whose place it is
// to take. change names what it is part of. The caller has the turn, and keeps m.
func (a *Agent) stage(ctx context.Context, s *session, of *live, p *profile, m material, change, event, detail string) (*live, error) {
	if st := a.stagedFor(s, of.Name); st != nil {
		return nil, alreadyStaged(st)
	}
	p.Name, p.For, p.Change = stagedName(of.Name), of.Name, change
	p.Stale = 0 // it is made after the refresh
	signOnly, err := a.arena.Clone(m.signOnly)
	if err != nil {
		return nil, err
	}
	l, err := newLive(a.arena, p, signOnly)
	if err != nil {
		return nil, err
	}
	l.skew.known.Store(of.skew.known.Load())
	err = a.commit(callerOf(ctx), event, p.public(), detail, func() error { return a.addRecord(ctx, s, p, m) })
	if err != nil {
		l.destroy()
		if errors.Is(err, vault.ErrExists) {
			return nil, changedElsewhere(of.Name)
		}
		return nil, err
	}
	a.publish(s, func(map[string]*live) { s.staged[of.Name] = l }, l)
	return l, nil
}

// restage changes the metadata of a staged profile.
func (a *Agent) restage(ctx context.Context, s *session, st *live, event, detail string, edit func(*profile)) (*live, error) {
	p := *st.profile
	edit(&p)
	next, err := st.with(&p)
	if err != nil {
		return nil, err
	}
	err = a.commit(callerOf(ctx), event, p.public(), detail, func() error {
		_, err := s.vault.EditAll(ctx, []string{p.Name}, func(r vault.Record) (vault.Edit, error) {
			if err := a.codec.sameAs(st, r); err != nil {
				return vault.Edit{}, err
			}
			meta, err := a.codec.encode(&p)
			return vault.Edit{Meta: meta}, err
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	a.publish(s, func(map[string]*live) {
		next.skew.known.Store(st.skew.known.Load())
		s.staged[p.For] = next
		st.supersede()
	}, nil)
	return next, nil
}

// unstage removes a staged profile; with edit, which may be nil, it changes the metadata
// of the profile in the same commit.
func (a *Agent) unstage(ctx context.Context, s *session, st *live, event, detail string, edit func(*profile)) error {
	names, next := []string{st.Name}, (*live)(nil)
	a.mu.RLock()
	old := s.profiles[st.For]
	a.mu.RUnlock()
	if edit != nil && old != nil {
		p := *old.profile
		edit(&p)
		var err error
		if next, err = old.with(&p); err != nil {
			return err
		}
		names = append(names, old.Name)
	}
	err := a.commit(callerOf(ctx), event, st.public(), detail, func() error {
		_, err := s.vault.EditAll(ctx, names, func(r vault.Record) (vault.Edit, error) {
			if r.Name == st.Name {
				return vault.Edit{Remove: true}, a.codec.sameAs(st, r)
			}
			if err := a.codec.sameAs(old, r); err != nil {
				return vault.Edit{}, err
			}
			meta, err := a.codec.encode(next.profile)
			return vault.Edit{Meta: meta}, err
		})
		return err
	})
	if err != nil {
		return err
	}
	a.publish(s, func(profiles map[string]*live) {
		s.dropStaged(st)
		if next != nil {
			next.tokens.inherit(old.tokens)
			next.take(old)
			profiles[next.Name] = next
		}
	}, nil)
	return nil
}

// promotion is how a staged profile takes its place.
type promotion struct {
	event, detail string
	// overlap is how long the secret before stays as the previous version.
	overlap time.Duration
	// back is the change that the old profile is staged as, where it is of another kind
	// and so cannot be the previous version: promoted itself, it is the way back.
	back string
	// edit changes more of the metadata; nil: nothing.
	edit func(*profile)
}

// promote puts a staged profile into its place, in one commit. Where both are of one
// kind, its secret becomes the next version of the old one's, which is kept as the
// previous one; otherwise the two change places.
//
// Of the profile stays what is not part of the credential, as it is now and not as it was
// when the other was staged: who may do what with it cannot be undone by a promotion.
func (a *Agent) promote(ctx context.Context, s *session, old, st *live, how promotion) (*profile, error) {
	if st.Account != old.Account || st.Endpoint != old.Endpoint || st.CA != old.CA {
		return nil, refuse(ErrCredential, pb.CodeCredential, fmt.Sprintf("profile %q was changed since its next credential was made", old.Name),
			"account, endpoint or ca_file differ", st.endStaged())
	}
	p := *old.profile
	p.Auth, p.bound = st.Auth, st.bound
	swap := st.Auth != old.Auth
	if swap {
		p.Scopes, p.Previous = st.Scopes, st.Previous
	} else {
		p.Previous = &previous{Account: old.Account, bound: old.bound, Until: a.clock().Add(how.overlap).Unix()}
	}
	if how.edit != nil {
		how.edit(&p)
	}
	next, err := st.with(&p)
	if err != nil {
		return nil, err
	}
	q := *old.profile
	q.Name, q.For, q.Change = st.Name, old.Name, how.back
	q.Previous = nil // nobody sees to the end of its overlap where it is staged
	back, err := old.with(&q)
	if err != nil {
		return nil, err
	}
	err = a.commit(callerOf(ctx), how.event, &p, how.detail, func() error {
		records, err := s.vault.EditAll(ctx, []string{old.Name, st.Name}, func(r vault.Record) (vault.Edit, error) {
			return a.promoted(r, old, st, next, back)
		})
		if err != nil {
			return err
		}
		next.keptIn(records[0])
		if swap { // the records come back in the order of their old names
			back.keptIn(records[0])
			next.keptIn(records[1])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.publish(s, func(profiles map[string]*live) {
		next.take(old)
		next.skew.known.Store(st.skew.known.Load())
		profiles[old.Name] = next
		st.supersede()
		delete(s.staged, old.Name)
		if swap {
			s.staged[old.Name] = back
		} else {
			old.destroy()
		}
	}, nil)
	if !swap {
		a.keepUntil(&p, a.boottime()+how.overlap)
	}
	return next.profile, nil
}

// promoted returns what a promotion makes of the record r of old or st.
func (a *Agent) promoted(r vault.Record, old, st, next, back *live) (vault.Edit, error) {
	mine, swap := old, st.Auth != old.Auth
	if r.Name == st.Name {
		mine = st
	}
	if err := a.codec.sameAs(mine, r); err != nil {
		return vault.Edit{}, err
	}
	becomes := next
	switch {
	case mine == st && !swap:
		return vault.Edit{Remove: true}, nil
	case mine == old && swap:
		becomes = back
	}
	meta, err := a.codec.encode(becomes.profile)
	e := vault.Edit{Name: becomes.Name, Meta: meta, DropPrevious: becomes == back}
	if !swap {
		e.Take = st.Name
	}
	return e, err
}

// take lets l take the place of old, whose key it has or replaces. The caller holds the
// agent's lock.
func (l *live) take(old *live) {
	l.lastUsed.Store(old.lastUsed.Load())
	l.skew.known.Store(old.skew.known.Load())
	old.supersede()
}

// sameAs refuses where the record is no longer what l was made from: another process may
// have given it another secret, or another limit, which must not be undone.
func (c profileCodec) sameAs(l *live, r vault.Record) error {
	meta, err := c.encode(l.profile)
	if err != nil {
		return fmt.Errorf("encoding the metadata record: %w", err)
	}
	if r.ID != l.record || !bytes.Equal(meta, r.Meta) || !slices.Equal(versionNumbers(r.Versions), versionNumbers(l.versions)) {
		return changedElsewhere(l.callersName())
	}
	return nil
}

// same reports whether two states of a profile are the same, in what is said of it and in
// what is kept.
func (c profileCodec) same(l, m *live) bool {
	one, err := c.encode(l.profile)
	other, oerr := c.encode(m.profile)
	return err == nil && oerr == nil && l.record == m.record && bytes.Equal(one, other) && slices.Equal(versionNumbers(l.versions), versionNumbers(m.versions))
}

func changedElsewhere(name string) error {
	return refuse(ErrBusy, pb.CodeLimited, fmt.Sprintf("profile %q was changed by another process", name), "", "lock, unlock, and try again")
}

func alreadyStaged(st *live) error {
	return refuse(vault.ErrExists, pb.CodeExists, fmt.Sprintf("profile %q has a next credential already, which waits for its turn", st.For),
		"it belongs to: "+st.Change, st.endStaged())
}

// endStaged says how people end what a staged profile is part of.
func (l *live) endStaged() string {
	switch l.Change {
	case changeToken:
		return "rotate again, which drops it:  nsagent rotate " + l.For
	case changeMigrate:
		return "end it:  nsagent migrate " + l.For + " --finish, or --drop"
	case changeBack:
		return "drop the way back:  nsagent migrate " + l.For + " --drop"
	}
	return "drop it:  nsagent cert new --drop -p " + l.For
}

// notDone returns cause as the reason why a change was not carried out, and says what is
// as it was.
func notDone(cause error, what, stays string) error {
	r := refusalOf(cause)
	why := r.Why
	if why == "" || r.Code == pb.CodeInternal {
		why = r.Message
	}
	if why != "" {
		why += "; "
	}
	return refuse(cause, r.Code, what, why+stays, r.Next)
}
