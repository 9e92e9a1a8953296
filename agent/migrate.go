package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// Changes that a staged credential of a migration belongs to: the certificate that is to
// come, and the token that was.
const (
	changeMigrate = "nsagent migrate"
	changeBack    = "nsagent migrate --back"
)

// MigrateProfile takes a profile from token-based authentication to a certificate, step by
// step, and back.
func (s adminService) MigrateProfile(ctx context.Context, q *pb.MigrateProfileRequest) (*pb.MigrateProfileResponse, error) {
	out, err := s.migrate(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventProfileMigrate, q.GetName(), err))
	}
	return out, nil
}

func (a *Agent) migrate(ctx context.Context, q *pb.MigrateProfileRequest) (*pb.MigrateProfileResponse, error) {
	switch q.GetStep() {
	case "begin":
		return a.beginMigration(ctx, q)
	case "finish":
		return a.finishMigration(ctx, q.GetName())
	case "back":
		p, err := a.endMigration(ctx, q.GetName(), changeBack, "to=tba", func(s *session, old, st *live, how promotion) (*profile, error) {
			how.back = changeMigrate
			return a.promote(ctx, s, old, st, how)
		})
		if err != nil {
			return nil, err
		}
		return &pb.MigrateProfileResponse{Profile: a.changed(p)}, nil
	case "drop":
		p, err := a.endMigration(ctx, q.GetName(), "", "dropped", func(s *session, old, st *live, how promotion) (*profile, error) {
			return old.profile, a.unstage(ctx, s, st, how.event, how.detail, nil)
		})
		if err != nil {
			return nil, err
		}
		return &pb.MigrateProfileResponse{Profile: a.changed(p)}, nil
	}
	return nil, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("%.20q is no step of a migration", q.GetStep()), "it is begin, finish, back or drop", "")
}

// beginMigration makes a key and a certificate beside the token that callers go on with.
func (a *Agent) beginMigration(ctx context.Context, q *pb.MigrateProfileRequest) (*pb.MigrateProfileResponse, error) {
	s, old, end, err := a.beginChangeOf(ctx, q.GetName())
	if err != nil {
		return nil, err
	}
	defer end()
	switch {
	case old.Auth != authTBA:
		return nil, refuse(ErrKind, pb.CodeRequest, fmt.Sprintf("profile %q has no token to migrate from", old.Name), "its credential is of kind "+old.Auth, "")
	case old.Access != accessWrite:
		return nil, refuse(ErrRequest, pb.CodeReadOnly, fmt.Sprintf("profile %q is limited to reading", old.Name), "an access token carries all rights of its role, so that it would be good for nothing",
			"widen it first:  nsagent profile edit "+old.Name+" --access write")
	}
	if st := a.stagedFor(s, old.Name); st != nil {
		return nil, alreadyStaged(st)
	}
	p := *old.profile
	p.Auth, p.Previous, p.Created = authM2M, nil, a.clock().Unix()
	p.bound = bound{Endpoint: old.Endpoint, CA: old.CA, ClientID: q.GetClientId()}
	if p.ClientID == "" {
		p.ClientID = old.ConsumerKey // one record can have both boxes ticked
	}
	if p.Scopes = q.GetScopes(); len(p.Scopes) == 0 {
		p.Scopes = []string{"rest_webservices", "restlets"}
	}
	w := certificateWish{kind: secret.KeyKind(q.GetKind())}.withDefaults(old.Name)
	m, err := a.makeCertificate(&p, w, a.timeFor(old))
	if err != nil {
		return nil, err
	}
	defer m.destroy()
	if err := p.check(); err != nil {
		return nil, err
	}
	st, err := a.stage(ctx, s, old, &p, m, changeMigrate, audit.EventProfileMigrate, fmt.Sprintf("next key=%s certificate=%s", w.kind, p.CertificateID))
	if err != nil {
		return nil, err
	}
	return &pb.MigrateProfileResponse{Profile: a.changed(old.profile), Next: st.public().message()}, nil
}

// finishMigration tries the token and the certificate side by side, and lets the
// certificate take the place. The token stays as the way back.
func (a *Agent) finishMigration(ctx context.Context, name string) (*pb.MigrateProfileResponse, error) {
	a.mu.RLock()
	s, err := a.currentLocked()
	a.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	st := a.stagedFor(s, name)
	if st == nil || st.Change != changeMigrate {
		return nil, noMigration(name, "begin:  nsagent migrate "+name)
	}
	// Whoever asked may go away: what was begun comes to an end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTime+2*probeTime)
	defer cancel()
	t := &probes{agent: a, caller: callerOf(ctx), name: name, away: make(map[string]*pb.Surface)}
	a.mu.RLock()
	old := s.profiles[name]
	a.mu.RUnlock()
	if old != nil && old.Auth == authTBA {
		t.try(ctx, old, t.rest(old))
	}
	found, err := a.tryCertificate(ctx, s, st)
	if err != nil {
		return nil, notDone(err, fmt.Sprintf("profile %q was not migrated", name), "callers go on with the token, and the certificate stays")
	}
	p, err := a.endMigration(ctx, name, changeMigrate, "to=m2m", func(s *session, old, now *live, how promotion) (*profile, error) {
		if now != st {
			return nil, changedElsewhere(name)
		}
		how.back = changeBack
		return a.promote(ctx, s, old, now, how)
	})
	if err != nil {
		return nil, err
	}
	return &pb.MigrateProfileResponse{Profile: a.changed(p), Before: t.found, After: found}, nil
}

// endMigration has its turn to end a migration whose staged credential belongs to change;
// "" means either of the two.
func (a *Agent) endMigration(ctx context.Context, name, change, detail string, act func(s *session, old, st *live, how promotion) (*profile, error)) (*profile, error) {
	s, old, end, err := a.beginChangeOf(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	st := a.stagedFor(s, name)
	if st == nil || st.Change != change && (change != "" || st.Change != changeMigrate && st.Change != changeBack) {
		return nil, noMigration(name, "see the profile:  nsagent profile show "+name)
	}
	return act(s, old, st, promotion{event: audit.EventProfileMigrate, detail: detail})
}

func noMigration(name, next string) error {
	return refuse(ErrRequest, pb.CodeNotFound, fmt.Sprintf("profile %q has nothing of a migration", name), "", next)
}

// tryCertificate gets an access token with a staged certificate, and makes one request with
// it.
func (a *Agent) tryCertificate(ctx context.Context, s *session, st *live) ([]*pb.Surface, error) {
	e := changeOf(audit.EventCertProbe, st.public(), "certificate="+st.CertificateID)
	var found []*pb.Surface
	err := a.carryOut(callerOf(ctx), e, func() error {
		b, err := a.newToken(ctx, s, st, st.Scopes)
		if err != nil {
			return err
		}
		defer b.token.Destroy()
		found = append(found, &pb.Surface{Name: surfaceToken, State: stateWorks, Detail: "NetSuite gave an access token"})
		if !slices.Contains(st.Scopes, signer.ScopeRESTWebServices) {
			return nil // the token is not for what could be asked
		}
		header, err := a.bearer(b.token)
		if err != nil {
			return err
		}
		defer header.Destroy()
		pr := (&probes{}).rest(st)
		target, err := signer.ParseTarget(pr.job.URL)
		if err != nil {
			return err
		}
		job := pr.job
		job.CA, job.Milliseconds = st.CA, probeTime.Milliseconds()
		answer, err := a.network.doFor(ctx, s, job, gateway.Payload{Authorization: header})
		if err != nil {
			return err
		}
		rest := diagnose(st, surfaceREST, target.Host(), answer)
		found = append(found, rest)
		if rest.GetState() == stateRefused && rest.GetStatus() == http.StatusUnauthorized {
			return refuse(ErrNetSuite, pb.CodeNetSuite, "", rest.GetDetail()+"; missing: "+rest.GetMissing(), rest.GetFix())
		}
		return nil
	})
	if errors.Is(err, errReplaced) {
		return nil, changedElsewhere(st.For)
	}
	return found, err
}
