package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// A grant may have a socket at a path of its owner's choice. The vault keeps the path with
// the grant, sealed, so that who writes files makes none; the socket is there from the time
// when the grant is made, or the vault unlocked, until the grant or the agent ends. A lock
// leaves it: a container that it is mounted into could not find another one.

// checkPlace refuses the path of a socket for a new grant where the agent sees by itself that
// none can be made there; "" is none.
func (a *Agent) checkPlace(path string) error {
	if path == "" {
		return nil
	}
	bad := func(why, next string) error {
		return refuse(ErrSocket, pb.CodeSocket, "the socket cannot be made", why, next)
	}
	for _, s := range a.sockets.ofGrants(func(*granted) bool { return true }) {
		if grant := s.right.grant.name; s.path == path {
			return bad("grant "+grant+" listens there", "name another path, or end that one:  nsagent grant revoke "+grant)
		}
	}
	dir := filepath.Dir(path)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return bad("the directory "+dir+" is not there", fmt.Sprintf("make it:  mkdir -p -m 700 %q", dir))
	}
	return nil
}

// listenOn opens the socket of a grant of the vault of open, if it has one that is not open,
// and the vault does not have it as revoked.
func (a *Agent) listenOn(ctx context.Context, c *caller, open *session, m *grantMeta, g *unlocktoken.Grant) error {
	if m.Listen == "" || m.Revoked != 0 || len(a.sockets.ofGrants(func(o *granted) bool { return o.Authority.Grant == g.Authority.Grant })) > 0 {
		return nil
	}
	standing := a.newGranted(g, open.signer)
	standing.vault = open.vault
	if err := a.admitGrant(ctx, open.vault, standing); err != nil && !errors.Is(err, ErrGrantScope) { // one that has not begun refuses by itself
		return err
	}
	s := &grantSocket{path: m.Listen, name: "listen", right: of(standing), standing: true}
	if err := a.listenFor(ctx, s); err != nil {
		return err
	}
	a.watchFor()
	e := audit.Event{Event: audit.EventSocketOpen, Outcome: audit.OutcomeOK, Grant: standing.name, Detail: "socket=" + s.name}
	if err := a.record(c, e); err != nil {
		a.recordClosed(c, s)
		return err
	}
	return nil
}

// listenForGrants opens the sockets of the grants of a session that has begun. One that
// cannot be opened keeps nobody from anything else.
func (a *Agent) listenForGrants(ctx context.Context, s *session) {
	all, _ := s.vault.Grants() // of what cannot be read, whoever lists the grants is told
	for _, v := range all {
		if len(v.Meta) == 0 {
			return // locked again
		}
		m, g, err := a.codec.decodeGrant(v.Meta)
		if err == nil {
			err = a.listenOn(ctx, nil, s, m, g)
		}
		if err != nil && !errors.Is(err, ErrRevoked) && !errors.Is(err, ErrExpired) {
			a.log.Warn("a grant has no socket", "grant", unlocktoken.GrantName(v.ID), "error", err)
		}
	}
}

// closeListeners closes the sockets of the grants that fit.
func (a *Agent) closeListeners(fits func(*granted) bool) {
	for _, s := range a.sockets.ofGrants(fits) {
		a.recordClosed(nil, s)
	}
}
