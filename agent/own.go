package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/internal/grantkey"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// Sizes of the shares of a token on their way in, in bytes.
const (
	credentialSize = 16
	shareSize      = credentialSize + 32
	maxShares      = unlocktoken.MaxShares * shareSize
)

// checkShares refuses what is no list of shares in ascending order of credentials. Who
// opened them has looked at their length.
func checkShares(shares secret.Bytes) error {
	return shares.Use(func(p []byte) error {
		if len(p)%shareSize != 0 {
			return refuse(ErrGrant, pb.CodeGrant, "the unlock token was not taken", "its shares are cut", "give the token as  nsagent grant new  printed it")
		}
		for i := shareSize; i < len(p); i += shareSize {
			if string(p[i-shareSize:i-shareSize+credentialSize]) >= string(p[i:i+credentialSize]) {
				return refuse(ErrGrant, pb.CodeGrant, "the unlock token was not taken", "its shares are out of order", "give the token as  nsagent grant new  printed it")
			}
		}
		return nil
	})
}

// shareOf returns a copy of the share of a credential; the zero Bytes where there is none.
func (a *Agent) shareOf(shares secret.Bytes, credential unlocktoken.ID) (b secret.Bytes, err error) {
	err = shares.Use(func(p []byte) error {
		for ; len(p) >= shareSize; p = p[shareSize:] {
			if string(p[:credentialSize]) != string(credential[:]) {
				continue
			}
			b, err = a.compose(shareSize-credentialSize, func(to []byte) ([]byte, error) { return append(to, p[credentialSize:shareSize]...), nil })
			return err
		}
		return nil
	})
	return b, err
}

// openOwn opens what the shares of a token open of a locked vault. The session that it
// returns has a vault's part in nothing: it holds the grant's profiles, and only for who
// showed the token. The caller destroys it, or installs it with keepOwn.
//
// Who can write the file can put a grant of their own into it. That g was signed by the
// vault is proved by what opens, and by nothing else: where nothing does there is no right.
func (a *Agent) openOwn(ctx context.Context, v *vault.Vault, g *granted, shares secret.Bytes) (*session, error) {
	machine, _, err := v.MachineKey(ctx)
	if err != nil {
		return nil, err
	}
	defer machine.Destroy()
	opened, err := v.OpenGranted(ctx, g.Authority.Grant, func(record [credentialSize]byte) (secret.Bytes, error) {
		if !g.Covers(record) {
			return secret.Bytes{}, nil
		}
		share, err := a.shareOf(shares, record)
		if share.IsZero() { // none was shown, or there is no room for it
			return secret.Bytes{}, err
		}
		defer share.Destroy()
		return grantkey.Derive(a.arena, machine, g.Grant, unlocktoken.IssuerHash(g.signer[:]), record, share)
	})
	if errors.Is(err, vault.ErrGrant) {
		return nil, refuse(errors.Join(ErrGrant, err), pb.CodeGrant, "the unlock token opens nothing here", "its shares are not of this grant, its profiles have new keys, or it was made on another machine", "have its owner make another:  nsagent grant new")
	}
	if err != nil {
		return nil, err
	}
	if len(opened) == 0 {
		return nil, opensNothing()
	}
	// That there is no policy counts now that OpenGranted has proved whose vault it is.
	s := &session{of: g, profiles: make(map[string]*live)}
	s.rules.Store(readRules(v.PolicyBy(ctx, machine)))
	for i, o := range opened {
		if err = a.addOwn(s, o); err != nil {
			for _, rest := range opened[i+1:] {
				rest.SignOnly.Destroy()
			}
			s.destroy()
			return nil, err
		}
	}
	return s, nil
}

// opensNothing is the refusal of a token that gives a locked agent nothing to open. An
// unlocked one may take it.
func opensNothing() error {
	return refuse(vault.ErrLocked, pb.CodeLocked, "the unlock token was not taken", "the vault is locked, and the token opens nothing of it: it has no key share, or its profiles have new keys or are gone", "unlock the vault:  nsagent unlock")
}

// addOwn adds a record that a token opened, and owns its secret.
func (a *Agent) addOwn(s *session, o vault.Opened) error {
	p, err := a.codec.decodeRecord(o.Record)
	if err != nil {
		o.SignOnly.Destroy()
		return err
	}
	l, err := newLive(a.arena, p, o.SignOnly)
	if err != nil {
		return err
	}
	if p.For != "" { // what is to take a profile's place is nobody's to use
		l.destroy()
		return nil
	}
	s.profiles[p.Name] = l
	return nil
}

// keepOwn lets the connections of s.of use s, unless somebody locked since locks was read,
// or the connection that showed the token is gone. Where somebody unlocked, they use what
// was unlocked.
func (a *Agent) keepOwn(s *session, locks uint64) error {
	a.mu.Lock()
	_, err := a.currentAtLocked(a.boottime())
	current, unlocked := a.locks == locks, err == nil
	if current && !unlocked {
		s.of.own = s
	}
	a.mu.Unlock()
	if !current || unlocked {
		s.destroy()
	}
	if !current {
		return fmt.Errorf("opening a grant: %w", vault.ErrLocked)
	}
	if _, err := a.goodAt(s.of, a.clock()); err != nil || !a.presented.has(s.of.presenter) {
		a.dropOwn(s.of) // whoever closed it may have looked before
	}
	return nil
}

// dropOwn wipes what the token of g opened.
func (a *Agent) dropOwn(g *granted) {
	a.mu.Lock()
	s := g.own
	g.own = nil
	if s != nil {
		s.keepUse(a.lastUse)
	}
	a.mu.Unlock()
	if s != nil {
		s.destroy()
		a.arena.ReleaseMemory()
	}
}

// dropped says why there is nothing any more that the token of g opened.
func (a *Agent) dropped(g *granted) error {
	if _, err := a.goodAt(g, a.clock()); err != nil {
		return err
	}
	return fmt.Errorf("using a grant: %w", vault.ErrLocked)
}

// sessionForLocked returns the session that c may use: that of the unlocked vault, or what
// the token of c opened. The caller holds a.mu for reading.
func (a *Agent) sessionForLocked(c *caller, boot time.Duration) (*session, error) {
	s, err := a.sessionOfLocked(c, boot)
	return s, c.by().lockedFor(err)
}

// sessionOfLocked is sessionForLocked, with what the owner is told.
func (a *Agent) sessionOfLocked(c *caller, boot time.Duration) (*session, error) {
	s, err := a.currentAtLocked(boot)
	g := c.granted()
	switch {
	case g == nil:
		return s, err
	case err == nil && g.foreign(s):
		return nil, g.ofAnotherVault()
	case err == nil:
		return s, nil
	}
	if own := g.opened(); own != nil {
		return own, nil
	}
	if a.bundled != nil {
		return nil, lockedBundle()
	}
	return nil, errShownBefore
}

// foreign reports whether another vault than that of s, which is unlocked, signed the grant:
// its token was shown while that one was at the path, and what it is for may have the names
// of records of this one, which are public.
func (g *granted) foreign(s *session) bool { return g.signer != s.signer }

// ofAnotherVault is the refusal of a right that is foreign.
func (g *granted) ofAnotherVault() error {
	return refuse(ErrGrant, pb.CodeGrant, "grant "+g.name+" gives nothing here", "it is of another vault than the one that is unlocked", "connect again, with a token that  nsagent grant new  made here")
}

// endForeign closes the connections and the sockets of grants that are foreign to s, which
// was unlocked.
func (a *Agent) endForeign(s *session) {
	foreign := func(g *granted) bool { return g.foreign(s) }
	a.endAll(a.presented.which(foreign))
	a.closeListeners(foreign)
}

// errShownBefore means that a token was shown while the vault was unlocked, which is over:
// on this connection it opens nothing.
var errShownBefore = fmt.Errorf("agent: an unlock token has to be shown again: %w", vault.ErrLocked)

// haveShownAgain closes the connection where err says that a token has to be shown again.
// The end of a session closes those, too, but calls may come before it has: their client
// shows the token on a new connection instead of saying that the vault is locked.
func (a *Agent) haveShownAgain(c *caller, err error) {
	if !errors.Is(err, errShownBefore) {
		return
	}
	if by := c.granted().presenter; by != nil {
		a.closeAll([]*countedConn{by})
	}
}

// opens returns an error where s holds p and not what p is used with: a refresh token is
// opened with the whole vault only.
func (s *session) opens(p *live) error {
	if s.of == nil || p.Auth != authCode && p.Auth != authSecret {
		return nil
	}
	return refuse(vault.ErrLocked, pb.CodeLocked, "the vault is locked", fmt.Sprintf("profile %q holds what no unlock token opens", p.Name), "unlock it:  nsagent unlock")
}
