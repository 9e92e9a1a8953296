package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// MarkRefreshed says that a sandbox was refreshed.
func (s adminService) MarkRefreshed(ctx context.Context, q *pb.MarkRefreshedRequest) (*pb.MarkRefreshedResponse, error) {
	marked, err := s.markRefreshed(ctx, q.GetName(), q.GetUndo())
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventProfileRefresh, q.GetName(), err))
	}
	out := &pb.MarkRefreshedResponse{}
	for _, p := range marked {
		out.Profiles = append(out.Profiles, s.changed(p))
	}
	return out, nil
}

// markRefreshed marks all credentials of a sandbox as stale, in one commit; undo takes the
// mark off one profile. It returns the profiles of which that was asked, by name.
//
// A refresh copies production over the sandbox: tokens, mappings of certificates and
// authorizations of the sandbox are gone, and those of production are not copied.
//
// Source: NetSuite Help, "Managing TBA Tokens" and "OAuth 2.0 Client Credentials Setup".
func (a *Agent) markRefreshed(ctx context.Context, name string, undo bool) ([]*profile, error) {
	s, l, end, err := a.beginChangeOf(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	since := a.clock().Unix()
	switch {
	case l.Auth == authSecret:
		return nil, refuse(ErrKind, pb.CodeRequest, fmt.Sprintf("profile %q has an API secret", name), "a refresh of the sandbox does not touch what others gave out", "")
	case !l.identity.Account.Sandbox():
		return nil, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("profile %q is of account %s, which counts as production", name, l.Account),
			"only a sandbox is refreshed", "see the accounts:  nsagent profile ls")
	case undo:
		since = 0
	}
	of := []*live{l}
	if !undo {
		of = a.refreshed(s, l.Account)
	}
	var all []replacement
	var marked []*profile
	for _, old := range of {
		if (old.Stale == 0) == (since == 0) { // marked already, or not marked: since when stays
			if old.For == "" {
				marked = append(marked, old.profile)
			}
			continue
		}
		p := old.marked(since)
		next, err := old.with(p)
		if err != nil {
			return nil, err
		}
		all = append(all, replacement{old: old, next: next})
		if p.For == "" {
			marked = append(marked, p)
		}
	}
	detail := "stale"
	if undo {
		detail = "undone"
	}
	return marked, a.replaceAll(ctx, s, audit.EventProfileRefresh, detail, all)
}

// refreshed returns the profiles of an account whose credentials a refresh removes, and
// what is staged for them.
func (a *Agent) refreshed(s *session, account string) []*live {
	return a.withStaged(s, func(p *live) bool { return p.Account == account && p.Auth != authSecret })
}

// withStaged returns the profiles, and staged ones, that want picks, by name.
func (a *Agent) withStaged(s *session, want func(*live) bool) []*live {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var of []*live
	for _, all := range []map[string]*live{s.profiles, s.staged} {
		for _, p := range all {
			if want(p) {
				of = append(of, p)
			}
		}
	}
	slices.SortFunc(of, func(a, b *live) int { return strings.Compare(a.Name, b.Name) })
	return of
}

// marked returns p with both versions of its secret marked.
func (p *profile) marked(since int64) *profile {
	out := *p
	out.Stale = since
	if p.Previous != nil {
		was := *p.Previous
		was.Stale = since
		out.Previous = &was
	}
	return &out
}

// staleRefusal refuses a use of a credential from before a refresh: asked for again and again,
// NetSuite locks the user out.
func (l *live) staleRefusal() error {
	next := "enter the new token:  nsagent profile edit " + l.Name
	switch l.Auth {
	case authM2M:
		next = "have its certificate mapped again; see:  nsagent profile refreshed " + l.Name
	case authCode:
		next = "log in again:  nsagent login -p " + l.Name
	}
	return refuse(ErrStale, pb.CodeStale, fmt.Sprintf("the credential of profile %q is from before the refresh of %s", l.Name, l.Account),
		"NetSuite does not know it any more; marked at "+time.Unix(l.Stale, 0).UTC().Format(time.RFC3339), next)
}

// renews reports whether what changes is another credential to NetSuite, which it has been
// given since a refresh: a token, or a certificate.
func (e *profileEdit) renews(p *profile) bool {
	if p.Auth == authM2M {
		return len(e.q.GetSecrets()) > 0 || p.CertificateID != e.old.CertificateID
	}
	return slices.ContainsFunc(e.q.GetSecrets(), func(m *pb.Sealed) bool { return m.GetField() == "token_secret" })
}
