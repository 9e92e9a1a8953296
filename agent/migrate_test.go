package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func (w *probeWorld) migrate(step string) (*pb.MigrateProfileResponse, error) {
	return w.admin.MigrateProfile(w.t.Context(), "tba", step, sample(9), nil, "")
}

// upload has NetSuite know a certificate, as an administrator uploads it, by a profile that
// may manage its own.
func (w *probeWorld) upload(t *testing.T, certificate string) {
	t.Helper()
	id, err := w.agent.uploadCertificate(t.Context(), "m2m", certificateUpload{pem: certificate, id: "", standing: standing{"5", "3"}})
	if err != nil || id == "" {
		t.Fatalf("uploading: %q, %v", id, err)
	}
}

// A profile goes over to a certificate once NetSuite takes it, and back, and over again;
// callers have one of the two at any time, also after a restart.
func TestMigrate(t *testing.T) {
	w := startProbes(t, func(a *nstest.Account) { a.Certificates[0].Manage = true })
	r, err := w.migrate("begin")
	if err != nil || r.GetProfile().GetAuth() != "tba" || r.GetNext().GetAuth() != "m2m" || r.GetNext().GetName() != "tba" || !strings.Contains(r.GetNext().GetCertificate(), "BEGIN CERTIFICATE") {
		t.Fatalf("begin: %v, %v", r, err)
	}
	if !w.signsWith("tba", sample(2), sample(4)) {
		t.Error("after begin the token does not sign")
	}
	if _, err := w.migrate("begin"); !errors.Is(err, client.ErrExists) {
		t.Errorf("begin again: %v", err)
	}
	if _, err := w.migrate("finish"); !errors.Is(err, client.ErrNetSuite) || !strings.Contains(err.Error(), "callers go on with the token") || !w.signsWith("tba", sample(2), sample(4)) {
		t.Errorf("finish before the upload: %v", err)
	}
	w.upload(t, r.GetNext().GetCertificate())
	w.restart()
	w.unlock()
	done, err := w.migrate("finish")
	if err != nil || done.GetProfile().GetAuth() != "m2m" || len(done.GetBefore()) != 1 || len(done.GetAfter()) != 2 {
		t.Fatalf("finish: %v, %v", done, err)
	}
	for _, s := range append(done.GetBefore(), done.GetAfter()...) {
		if s.GetState() != stateWorks {
			t.Errorf("side by side: %v", s)
		}
	}
	token := func() error {
		_, err := w.signer.AccessToken(t.Context(), client.AccessTokenRequest{Profile: "tba"})
		return err
	}
	if err := token(); err != nil {
		t.Errorf("no access token: %v", err)
	}
	if err := w.use("tba"); !errors.Is(err, client.ErrRequest) {
		t.Errorf("it signs still: %v", err)
	}
	w.restart()
	w.unlock()
	if back, err := w.migrate("back"); err != nil || back.GetProfile().GetAuth() != "tba" || !w.signsWith("tba", sample(2), sample(4)) {
		t.Errorf("back: %v, %v", back, err)
	}
	if over, err := w.migrate("finish"); err != nil || over.GetProfile().GetAuth() != "m2m" || token() != nil {
		t.Errorf("over again: %v, %v", over, err)
	}
	if kept, err := w.migrate("drop"); err != nil || kept.GetProfile().GetAuth() != "m2m" {
		t.Errorf("drop: %v, %v", kept, err)
	}
	if _, err := w.migrate("back"); err == nil || token() != nil {
		t.Errorf("back after the drop: %v", err)
	}
	for _, e := range w.entries() {
		if strings.Contains(e.Profile, "+") {
			t.Errorf("the log names a record: %+v", e)
		}
	}
	if r, err := w.admin.CheckVault(t.Context()); err != nil || checks(r.GetChecks()).problems() != 0 {
		t.Errorf("the vault: %v, %v", r, err)
	}
}

// A certificate for RESTlets alone is tried by its token: REST would not take that.
func TestMigrateToRestlets(t *testing.T) {
	w := startProbes(t, func(a *nstest.Account) { a.Certificates[0].Manage = true })
	r, err := w.admin.MigrateProfile(t.Context(), "tba", "begin", sample(9), []string{"restlets"}, "")
	if err != nil {
		t.Fatal(err)
	}
	w.upload(t, r.GetNext().GetCertificate())
	done, err := w.migrate("finish")
	if err != nil || done.GetProfile().GetAuth() != "m2m" || len(done.GetAfter()) != 1 || done.GetAfter()[0].GetState() != stateWorks {
		t.Errorf("finish: %v, %v", done, err)
	}
}

// The certificate of a migration that was begun cannot be revoked with the token: the token
// goes all the same, and what is left is said, with what to do.
func TestKillSwitchDuringAMigration(t *testing.T) {
	w := startProbes(t, nil)
	r, err := w.migrate("begin")
	if err != nil {
		t.Fatal(err)
	}
	err = w.admin.RevokeProfile(t.Context(), "tba")
	e := (*client.Error)(nil)
	if !errors.As(err, &e) || !strings.Contains(e.Why, r.GetNext().GetCertificateId()) || !strings.Contains(e.Next, "nsagent profile rm tba") {
		t.Errorf("got %+v", e)
	}
	asked := false
	for _, v := range w.netsuite.Verdicts() {
		asked = asked || strings.Contains(v.URL, "/rest/revoketoken")
	}
	if !asked {
		t.Error("the token was not to be revoked")
	}
	if err := w.admin.RemoveProfile(t.Context(), "tba"); err != nil {
		t.Errorf("removing it: %v", err)
	}
}

// What cannot be migrated is refused, and nothing is staged for it.
func TestMigrateIsRefused(t *testing.T) {
	w := startProbes(t, nil)
	for _, step := range []string{"", "Begin", "finish", "back", "drop"} {
		if _, err := w.migrate(step); err == nil {
			t.Errorf("step %q was taken", step)
		}
	}
	for name, c := range map[string]struct {
		profile, kind string
		scopes        []string
		want          error
	}{
		"a certificate": {"m2m", "", nil, client.ErrRequest}, "nobody": {"x", "", nil, client.ErrNoProfile},
		"a kind of key": {"tba", "rsa-1024", nil, client.ErrRequest}, "a scope": {"tba", "", []string{"mcp"}, client.ErrCredential},
	} {
		if _, err := w.admin.MigrateProfile(t.Context(), c.profile, "begin", sample(9), c.scopes, c.kind); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	w.edit("tba", client.ProfileEdit{Fields: []string{"access"}, Profile: &pb.Profile{Access: "read"}})
	if _, err := w.migrate("begin"); !errors.Is(err, client.ErrReadOnly) {
		t.Errorf("limited to reading: %v", err)
	}
	if w.agent.stagedFor(w.agent.session, "tba") != nil {
		t.Error("something is staged")
	}
	begin := time.Now()
	for _, e := range w.entries() {
		if e.Event == audit.EventProfileMigrate && (e.Outcome != audit.OutcomeDenied || e.Time.After(begin)) {
			t.Errorf("entry %+v", e)
		}
	}
}
