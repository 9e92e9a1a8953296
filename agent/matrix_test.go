package agent

import (
	"crypto/elliptic"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestEveryEventIsRecorded guards A-09: each thing that can be done or refused leaves
// one entry of its kind, with outcome, reason and who asked; what only asks how the
// agent is leaves none.
func TestEveryEventIsRecorded(t *testing.T) {
	f := start(t)
	ctx := t.Context()
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(100*day))
	m2m := &pb.Profile{Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(1), Certificate: cert, Scopes: []string{"restlets"}}
	for _, step := range []struct {
		do   func()
		want []string // entries, in order
	}{
		{func() { _, _ = f.admin.Unlock(ctx, f.sealer("wrong"), 0) }, []string{"vault.unlock denied NSA-PASSPHRASE "}},
		{func() { _, _ = f.admin.AddProfile(ctx, tba("acme"), f.tbaSecrets()) }, []string{"profile.add denied NSA-LOCKED acme"}},
		{func() { _, _ = f.admin.ShowProfile(ctx, "acme") }, []string{"profile.show denied NSA-LOCKED acme"}},
		{func() { _ = f.admin.RemoveProfile(ctx, "acme") }, []string{"profile.remove denied NSA-LOCKED acme"}},
		{func() { _, _ = f.signer.Passport(ctx, "acme", "") }, []string{"passport denied NSA-LOCKED acme"}},
		{func() { _ = f.admin.Lock(ctx) }, nil}, // it is
		{func() { f.unlock() }, []string{"vault.unlock ok  "}},
		{func() { f.addTBA("acme") }, []string{"profile.add ok  acme"}},
		{func() { _, _ = f.admin.AddProfile(ctx, tba("acme"), f.tbaSecrets()) }, []string{"profile.add denied NSA-EXISTS acme"}},
		{func() {
			_, _ = f.admin.AddProfile(ctx, m2m, map[string]client.Sealer{"private_key": f.sealer("x")})
		}, []string{"profile.add denied NSA-CREDENTIAL m2m"}},
		{func() {
			_, _ = f.admin.AddProfile(ctx, m2m, map[string]client.Sealer{"private_key": f.sealer(key)})
		}, []string{"profile.add ok  m2m"}},
		{func() { _, _ = f.admin.ShowProfile(ctx, "acme") }, []string{"profile.show ok  acme"}},
		{func() { _, _ = f.admin.ShowProfile(ctx, "none") }, []string{"profile.show denied NSA-NOPROFILE none"}},
		{func() { f.edit("acme", client.ProfileEdit{Fields: []string{"note"}, Profile: &pb.Profile{Note: "x"}}) }, []string{"profile.edit ok  acme"}},
		{func() { _, _ = f.admin.EditProfile(ctx, "acme", client.ProfileEdit{}) }, []string{"profile.edit denied NSA-REQUEST acme"}},
		{func() { _, _ = f.admin.RenameProfile(ctx, client.Proof{}, "acme", "m2m") }, []string{"profile.rename denied NSA-EXISTS acme"}},
		{func() {
			_, _ = f.admin.RenameProfile(ctx, client.Proof{}, "acme", "a")
			_, _ = f.admin.RenameProfile(ctx, client.Proof{}, "a", "acme")
		}, []string{"profile.rename ok  acme", "profile.rename ok  a"}},
		{func() { _, _ = f.admin.TestProfile(ctx, "acme") }, []string{"profile.test ok  acme"}},
		{func() { _, _ = f.admin.RotateIntegration(ctx, "acme", sample(20), f.sealer(sample(21)), 0) }, []string{"integration.rotate ok  acme", "integration.rotate ok  m2m"}},
		{func() { _, _ = f.admin.RotateIntegration(ctx, "acme", sample(20), f.sealer(sample(21)), 0) }, []string{"integration.rotate denied NSA-CREDENTIAL acme"}},
		{func() { _, _ = f.admin.MarkRefreshed(ctx, "acme", false) }, []string{"profile.refreshed ok  acme", "profile.refreshed ok  m2m"}},
		{func() { _ = f.use("acme") }, []string{"sign denied NSA-STALE acme"}},
		{func() { _, _ = f.admin.MarkRefreshed(ctx, "acme", true) }, []string{"profile.refreshed ok  acme"}},
		{func() { _, _ = f.admin.MarkRefreshed(ctx, "m2m", true) }, []string{"profile.refreshed ok  m2m"}},
		{func() { _, _ = f.admin.MarkRefreshed(ctx, "none", false) }, []string{"profile.refreshed denied NSA-NOPROFILE none"}},
		{func() { _, _ = f.admin.TestProfile(ctx, "none") }, []string{"profile.test denied NSA-NOPROFILE none"}},
		{func() { f.sign("acme") }, []string{"sign ok  acme"}},
		{func() { _, _ = f.signer.Sign(ctx, client.Request{Profile: "acme", URL: "https://evil.example/"}) }, []string{"sign denied NSA-HOST acme"}},
		{func() { _, _ = f.signer.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL, Method: "é"}) }, []string{"sign ok  acme", "sign failed NSA-REQUEST acme"}},
		{func() { _, _ = f.signer.Passport(ctx, "acme", "") }, []string{"passport ok  acme"}},
		{func() { _, _ = f.signer.ConnectPassword(ctx, "acme") }, []string{"connect-password ok  acme"}},
		{func() { _, _ = f.signer.ConnectPassword(ctx, "m2m") }, []string{"connect-password denied NSA-REQUEST m2m"}},
		{func() { _, _ = f.signer.Assertion(ctx, client.AssertionRequest{Profile: "m2m"}) }, []string{"assertion ok  m2m"}},
		{func() { _, _ = f.signer.Assertion(ctx, client.AssertionRequest{Profile: "m2m", Scopes: []string{"x"}}) }, []string{"assertion denied NSA-DENIED m2m"}},
		{func() { _, _ = f.admin.NewCertificate(ctx, &pb.Profile{Name: "m2m"}, client.NewCertificate{}) }, []string{"cert.new ok  m2m"}},
		{func() { _, _ = f.admin.NewCertificate(ctx, &pb.Profile{Name: "m2m"}, client.NewCertificate{}) }, []string{"cert.new denied NSA-EXISTS m2m"}},
		{func() { _, _ = f.admin.Certificates(ctx, "m2m") }, []string{"cert.list denied NSA-CREDENTIAL m2m"}}, // it lacks the scope
		{func() { _, _ = f.admin.UploadCertificate(ctx, client.Proof{}, "m2m", "", "") }, []string{"cert.upload denied NSA-CREDENTIAL m2m"}},
		{func() { _, _ = f.admin.RotateCertificate(ctx, "m2m", client.Rotation{}) }, []string{"cert.rotate denied NSA-CREDENTIAL m2m"}},
		{func() { _ = f.admin.RevokeCertificate(ctx, "m2m", "x") }, []string{"cert.revoke denied NSA-CREDENTIAL m2m"}},
		{func() { _, _ = f.admin.DropCertificate(ctx, "m2m") }, []string{"cert.drop ok  m2m"}},
		{func() { _, _ = f.admin.DropCertificate(ctx, "m2m") }, []string{"cert.drop denied NSA-NOTFOUND m2m"}},
		{func() { _, _, _ = f.admin.Policy(ctx) }, nil},
		{func() { f.adopt(all) }, []string{"policy.adopt ok  "}},
		{func() { _, _ = f.admin.AdoptPolicy(ctx, client.Proof{}, nil, f.policySum()) }, []string{"policy.adopt denied NSA-PROOF "}},
		{func() { f.adopt("") }, []string{"policy.adopt ok  "}},
		{func() { _, _ = f.admin.CheckVault(ctx) }, []string{"vault.check ok  "}},
		{func() { _, _ = f.signer.Status(ctx); _, _ = f.signer.Profiles(ctx) }, nil},
		{func() { _ = f.admin.RemoveProfile(ctx, "none") }, []string{"profile.remove denied NSA-NOPROFILE none"}},
		{func() { _ = f.admin.RemoveProfile(ctx, "m2m") }, []string{"profile.remove ok  m2m"}},
		{func() { _, _ = f.admin.KeySlots(ctx) }, nil},
		{func() { f.addSlot("recovery", testCode) }, []string{"key.add ok  "}},
		{func() {
			_, _ = f.admin.AddKeySlot(ctx, client.Proof{}, client.NewSlot{Kind: "recovery", Opener: f.sealer(testCode)})
		}, []string{"key.add denied NSA-PROOF "}},
		{func() { _, _ = f.admin.RemoveKeySlot(ctx, f.passphrase("wrong"), f.slotID("recovery")) }, []string{"key.remove denied NSA-PASSPHRASE "}},
		{func() {
			_, _ = f.admin.ChangePassphrase(ctx, f.passphrase(testPassphrase), f.sealer(testPassphrase), "")
		}, []string{"key.passphrase ok  "}},
		{func() { _, _ = f.admin.ChangePassphrase(ctx, f.passphrase("wrong"), f.sealer("x"), "") }, []string{"key.passphrase denied NSA-PASSPHRASE "}},
		{func() { _, _ = f.admin.Recover(ctx, f.sealer(testCode), client.NewSlot{Kind: "keyring"}) }, []string{"key.recover ok  ", "key.recover failed NSA-KEYRING "}},
		{func() {
			_, _ = f.admin.Recover(ctx, f.sealer(testCode), client.NewSlot{Kind: "passphrase", Opener: f.sealer(testPassphrase), Cost: "low"})
		}, []string{"key.recover ok  "}},
		{func() { _, _ = f.admin.RemoveKeySlot(ctx, f.passphrase(testPassphrase), f.slotID("recovery")) }, []string{"key.remove ok  "}},
		{func() { f.newGrant(client.Proof{}, "acme") }, []string{"grant.new denied NSA-PROOF "}},
		{func() { f.newGrant(f.passphrase(testPassphrase), "none") }, []string{"grant.new denied NSA-NOPROFILE "}},
		{func() { f.newGrant(f.passphrase(testPassphrase), "acme") }, []string{"grant.new ok  acme"}},
		{func() { _, _ = f.admin.Grants(ctx) }, nil},
		{func() { _, _ = f.admin.Grant(ctx, "g_none") }, nil},
		{func() { _, _ = f.admin.RevokeGrant(ctx, "g_none", false) }, []string{"grant.revoke denied NSA-NOTFOUND "}},
		{func() { _, _ = f.admin.RevokeGrant(ctx, f.grantID(), true) }, []string{"grant.revoke ok  ", "profile.rekey ok  acme"}},
		{func() { _ = f.admin.Lock(ctx) }, []string{"vault.lock ok  "}},
		{func() { f.restart() }, []string{"agent.stop ok  ", "agent.start ok  "}},
	} {
		before := len(f.entries())
		step.do()
		var got []string
		for _, e := range f.entries()[before:] {
			got = append(got, e.Event+" "+e.Outcome+" "+e.Reason+" "+e.Profile)
			if e.UID != os.Geteuid() || e.PID != os.Getpid() {
				t.Errorf("entry %d (%s): uid %d, pid %d", e.Seq, e.Event, e.UID, e.PID)
			}
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("entries: got %q, want %q", got, step.want)
		}
	}
	if r, err := audit.CheckDir(f.paths.AuditDir, audit.Trust{}); err != nil || !r.OK {
		t.Errorf("CheckDir: got %+v, %v", r, err)
	}
}
