package agent

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/secrettest"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// startCertAt is startCert whose NetSuite calls do, once, when it has dealt with the first
// request of a method to the certificates, and before the agent has the answer.
func startCertAt(t *testing.T, method string, do func(*certWorld)) *certWorld {
	t.Helper()
	var w *certWorld
	var once sync.Once
	w = startCert(t, func(c *nstest.Config) {
		c.Log = func(v nstest.Verdict) {
			if v.Method == method && strings.Contains(v.URL, certificatesPath) {
				once.Do(func() { do(w) })
			}
		}
	})
	return w
}

// uploads returns how many certificates NetSuite was asked to take.
func (w *certWorld) uploads() (n int) {
	for _, v := range w.netsuite.Verdicts() {
		if v.Method == http.MethodPost && strings.HasSuffix(v.URL, "/certificates") {
			n++
		}
	}
	return n
}

// planLent returns a grant of an hour, and a key and certificate for it that nobody has
// uploaded.
func (w *certWorld) planLent() (*newGrant, *lent) {
	w.t.Helper()
	n := &newGrant{}
	n.Mode, n.Grant, n.Caveats.NotAfter = unlocktoken.Detached, unlocktoken.ID{7}, time.Now().Add(time.Hour).Unix()
	p := w.agent.session.profiles["m2m"]
	l := &lent{profile: p.forBundle()}
	made, err := w.agent.makeCertificate(l.profile, certificateWish{name: "a bundle", until: n.Caveats.NotAfter}, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(made.destroy)
	l.key = made.signOnly
	return n, l
}

// TestBundleThatBreaksOff: whatever is no more when NetSuite has answered, nothing is
// granted, and what fails is what is told. Before the vault knows of it nothing is uploaded.
func TestBundleThatBreaksOff(t *testing.T) {
	const other = `{"certificate_id":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`
	var undo func()
	remove := func(w *certWorld) {
		if err := w.admin.RemoveProfile(w.t.Context(), "m2m"); err != nil {
			w.t.Error(err)
		}
	}
	noVault := func(w *certWorld) {
		gone := w.paths.Vault + ".gone"
		if err := os.Rename(w.paths.Vault, gone); err != nil {
			w.t.Error(err)
		}
		undo = func() {
			if err := os.Rename(gone, w.paths.Vault); err != nil {
				w.t.Error(err)
			}
		}
	}
	noRoom := func(w *certWorld) { undo = secrettest.LeaveRoom(w.agent.arena, 0) }
	for name, c := range map[string]struct {
		at     string
		change func(*certWorld)
		answer string // to the upload, in place of NetSuite's
		want   pb.Code
		noted  bool // that there is a certificate to be revoked, before anything was uploaded
	}{
		"the profile, after the list":  {http.MethodGet, remove, "", pb.CodeNoProfile, false},
		"the vault, after the list":    {http.MethodGet, noVault, "", pb.CodeNoVault, true},
		"room, after the list":         {http.MethodGet, noRoom, "", pb.CodeMemory, false},
		"the profile, with another ID": {http.MethodPost, remove, other, pb.CodeNoProfile, true},
		"the vault, with another ID":   {http.MethodPost, noVault, other, pb.CodeNoVault, true},
	} {
		t.Run(name, func(t *testing.T) {
			undo = func() {}
			w := startCertAt(t, c.at, c.change)
			if c.answer != "" {
				w.inject(nstest.Fault{Kind: "status", Path: certificatesPath + "*", Method: http.MethodPost, Status: 200, Body: c.answer})
			}
			_, _, err := w.bundle("m2m")
			undo()
			if errorCode(err) != string(c.want) || !strings.Contains(err.Error(), "got no certificate for the bundle") {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if got := strings.Contains(w.events(), "new ok"); got != c.noted {
				t.Errorf("the log has %s", w.events())
			}
			if n := w.uploads(); n != 0 && c.at == http.MethodGet {
				t.Errorf("%d certificates were uploaded", n)
			}
			if c.want == pb.CodeNoProfile {
				return
			}
			if all := w.profile().GetRetired(); len(all) != 0 && c.at == http.MethodGet {
				t.Errorf("to be revoked: %v", all)
			}
			if got := w.atNetSuite(); got != "current active" {
				t.Errorf("NetSuite has %q", got)
			}
		})
	}
}

// TestBundleWhileCertificatesChange: a profile whose certificate is being rotated lends none,
// until that is over.
func TestBundleWhileCertificatesChange(t *testing.T) {
	w := startCert(t)
	release, err := w.agent.rotations.claim("m2m")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.bundle("m2m"); errorCode(err) != string(pb.CodeLimited) {
		t.Errorf("meanwhile: got %v", err)
	}
	release()
	if _, _, err := w.bundle("m2m"); err != nil {
		t.Errorf("after it: got %v", err)
	}
}

// TestOnlyBundlesAreLent: a grant that stays with the agent uses the profile's own certificate.
func TestOnlyBundlesAreLent(t *testing.T) {
	w := startCert(t)
	if _, g := w.mustGrant("m2m"); g.GetProfiles()[0].GetCertificateId() != "" {
		t.Errorf("got %v", g)
	}
	if got := w.atNetSuite(); got != "current active" {
		t.Errorf("NetSuite has %q", got)
	}
}

// TestLentIsTried: what is uploaded for a bundle is tried from a copy of its key, which is a
// key, and there has to be room for it.
func TestLentIsTried(t *testing.T) {
	var undo func()
	w := startCertAt(t, http.MethodPost, func(w *certWorld) { undo = secrettest.LeaveRoom(w.agent.arena, 0) })
	upload := func(size int) error {
		n, l := w.planLent()
		var err error
		if l.key, err = w.agent.arena.Alloc(size); err != nil {
			t.Fatal(err)
		}
		defer l.key.Destroy()
		return w.agent.uploadLent(asItself(t.Context()), &rotation{Agent: w.agent, name: "m2m"}, n, l, mapped{standing: standing{"5", "3"}})
	}
	err := upload(32 << 10) // more than is free once the access token of the upload is gone
	undo()
	if !errors.Is(err, secret.ErrFull) {
		t.Errorf("without room: got %v", err)
	}
	if err := upload(64); !errors.Is(err, secret.ErrKeyFormat) {
		t.Errorf("without a key: got %v", err)
	}
}

// TestLentIsNoted: what is to be revoked is noted with a profile that there is, and that
// makes sense.
func TestLentIsNoted(t *testing.T) {
	w := startCert(t)
	n, l := w.planLent()
	note := func() error { return w.agent.noteLent(asItself(t.Context()), n, l) }
	s := w.agent.session
	p := *s.profiles["m2m"].profile
	p.Account = "?"
	good := s.profiles["m2m"]
	odd := &live{profile: &p, tokens: &tokens{}, key: good.key}
	for _, c := range []struct {
		now  *live
		want pb.Code
	}{{odd, pb.CodeAccount}, {good, pb.CodeOK}} {
		w.agent.mu.Lock()
		s.profiles["m2m"] = c.now
		w.agent.mu.Unlock()
		if err := note(); refusedWith(err) != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if all := w.profile().GetRetired(); len(all) != 1 || all[0].GetCertificateId() != l.profile.CertificateID || all[0].GetAfter() != n.Caveats.NotAfter || all[0].GetGrant() != unlocktoken.GrantName(n.Grant) {
		t.Errorf("to be revoked: %v", all)
	}
}

// What was made for a profile is for no other account, NetSuite or integration record, that
// it may have been changed to.
func TestLentFits(t *testing.T) {
	made := &profile{Account: "1234567_SB1", Auth: authM2M, bound: bound{Endpoint: "https://localhost:1", ClientID: sample(9)}}
	l := &lent{profile: made}
	for name, c := range map[string]struct {
		change func(*profile)
		fits   bool
	}{
		"none":               {func(*profile) {}, true},
		"the note":           {func(p *profile) { p.Note = "changed" }, true},
		"the kind":           {func(p *profile) { p.Auth = authTBA }, false},
		"the account":        {func(p *profile) { p.Account = "1234567" }, false},
		"the endpoint":       {func(p *profile) { p.Endpoint = "" }, false},
		"integration record": {func(p *profile) { p.ClientID = sample(8) }, false},
	} {
		p := *made
		c.change(&p)
		if got := l.fits(&live{profile: &p}); got != c.fits {
			t.Errorf("a change of %s: fits %v", name, got)
		}
	}
}

// TestLentOver: a certificate of a bundle is over where its grant is not in the vault, and is
// not being made. Where nobody can tell, none is.
func TestLentOver(t *testing.T) {
	w := startCert(t)
	ctx := asItself(t.Context())
	turn := func(do func(ctx context.Context)) { // while somebody else has it
		w.agent.admin <- struct{}{}
		ended, end := context.WithCancel(ctx)
		end()
		do(ended)
		<-w.agent.admin
	}
	over := func(ctx context.Context, what string, want ...string) {
		t.Helper()
		got, err := w.agent.lentOver(ctx)
		if err != nil || len(got) != len(want) || len(want) > 0 && !got[want[0]] {
			t.Errorf("%s: got %v, %v, want %v", what, got, err, want)
		}
	}
	unknown := func(ctx context.Context, what string, want pb.Code) {
		t.Helper()
		if got, err := w.agent.lentOver(ctx); refusedWith(err) != want || len(got) != 0 {
			t.Errorf("%s: got %v, %v, want %s", what, got, err, want)
		}
	}
	if _, err := w.rotate(client.Rotation{}); err != nil {
		t.Fatal(err)
	}
	turn(func(ctx context.Context) { over(ctx, "nothing is lent, and nobody waits") })

	n, l := w.planLent()
	end := w.agent.making.begin(n.Grant)
	if err := w.agent.noteLent(ctx, n, l); err != nil {
		t.Fatal(err)
	}
	over(ctx, "being made")
	turn(func(ctx context.Context) { unknown(ctx, "without a turn", pb.CodeLimited) })
	end()
	over(ctx, "not made any more, beside one that the profile had", l.profile.CertificateID)

	w.unreadableLedger(t, func() { unknown(ctx, "without the ledger", pb.CodeUnsafe) })
	gone := w.paths.Vault + ".gone"
	if err := os.Rename(w.paths.Vault, gone); err != nil {
		t.Fatal(err)
	}
	unknown(ctx, "without the vault", pb.CodeNoVault)
	if err := os.Rename(gone, w.paths.Vault); err != nil {
		t.Fatal(err)
	}
	w.lock()
	over(ctx, "locked")
}

// TestNothingToRevokeIsForgotten: while NetSuite revokes nothing, certificates that fail to be
// made add up, and never so many that one to be revoked would be forgotten. A job may try for
// hours.
func TestNothingToRevokeIsForgotten(t *testing.T) {
	w := startCert(t)
	_, _, kept := w.mustBundle("m2m")
	_, _, g := w.mustBundle("m2m")
	w.inject(nstest.Fault{Kind: "drop", Path: certificatesPath + "*", Method: http.MethodPost, Times: -1})
	if _, err := w.admin.RevokeGrant(t.Context(), g.GetId(), false); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() string {
		if w.agent.tending.of("m2m").pause == 0 {
			return "it was not tried to revoke the certificate"
		}
		return ""
	})
	for i, try := range []func() error{
		func() error { _, _, err := w.bundle("m2m"); return err },
		func() error { _, err := w.rotate(client.Rotation{}); return err },
	} {
		var err error
		for before := -1; before < len(w.profile().GetRetired()); {
			before = len(w.profile().GetRetired())
			if err = try(); err == nil {
				t.Fatalf("way %d: a certificate was made", i)
			}
		}
		if errorCode(err) != string(pb.CodeNetSuite) || !strings.Contains(err.Error(), "wait to be revoked") {
			t.Errorf("way %d: got %v", i, err)
		}
	}
	for _, g := range []*pb.Grant{kept, g} {
		if !slices.ContainsFunc(w.profile().GetRetired(), func(r *pb.RetiredCertificate) bool { return r.GetGrant() == g.GetId() }) {
			t.Errorf("the certificate of %s is forgotten", g.GetId())
		}
	}
	w.netsuite.ClearFaults()
	w.clock.Add(int64(shortestRest))
	w.agent.tendAll(asItself(t.Context()))
	w.until("NetSuite revokes again", "bundle active, current active, revoked")
	if _, _, err := w.bundle("m2m"); err != nil {
		t.Errorf("another bundle: %v", err)
	}
}
