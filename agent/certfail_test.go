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
	"github.com/nsagent/nsagent/vault"
)

// TestRotationIsUndone guards that whatever fails before the switch leaves the profile as it
// was, and nothing of ours active at NetSuite in the end.
func TestRotationIsUndone(t *testing.T) {
	const create = certificatesPath + "*"
	tests := map[string]struct {
		faults []nstest.Fault
		want   pb.Code
		says   string
		settle bool // something is to be revoked later
	}{
		"no list":                   {[]nstest.Fault{{Kind: "status", Path: create, Method: "GET", Status: 500}}, pb.CodeNetSuite, "HTTP 500", false},
		"a list that is a page":     {[]nstest.Fault{{Kind: "html", Path: create, Method: "GET"}}, pb.CodeNetSuite, "nothing that NetSuite says", false},
		"a list that is cut":        {[]nstest.Fault{{Kind: "cut", Path: create, Method: "GET", After: 20, Times: -1}}, pb.CodeNetwork, "ended the connection before", false},
		"a list elsewhere":          {[]nstest.Fault{{Kind: "redirect", Path: create, Method: "GET", Location: "https://elsewhere.example.com/"}}, pb.CodeNetSuite, "redirect", false},
		"too many requests":         {[]nstest.Fault{{Kind: "rate", Path: create, Method: "GET"}}, pb.CodeNetSuite, "no room", false},
		"an upload that is refused": {[]nstest.Fault{{Kind: "status", Path: create, Method: "POST", Status: 400}}, pb.CodeNetSuite, "HTTP 400", false},
		"no permission to upload":   {[]nstest.Fault{{Kind: "status", Path: create, Method: "POST", Status: 403}}, pb.CodeNetSuite, "lacks a permission", false},
		"an upload that drops":      {[]nstest.Fault{{Kind: "drop", Path: create, Method: "POST"}}, pb.CodeNetwork, "no answer of NetSuite's", true},
		"an upload, then no list": {[]nstest.Fault{
			{Kind: "drop", Path: create, Method: "POST", CarryOut: true}, {Kind: "status", Path: create, Method: "GET", Status: 500, Skip: 1},
		}, pb.CodeNetwork, "as soon as that works", true},
		"another ID than computed":  {[]nstest.Fault{{Kind: "status", Path: create, Method: "POST", Status: 200, Body: `{"certificate_id":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`}}, pb.CodeNetSuite, "invalid_grant", false},
		"no token with the new one": {[]nstest.Fault{{Kind: "status", Path: "/services/rest/auth/oauth2/v1/token", Skip: 1, Times: certificateTries, Status: 400, Body: `{"error":"invalid_grant"}`}}, pb.CodeNetSuite, "invalid_grant", false},
		"no token, and no revocation": {[]nstest.Fault{
			{Kind: "status", Path: "/services/rest/auth/oauth2/v1/token", Skip: 1, Times: certificateTries, Status: 400, Body: `{"error":"invalid_grant"}`},
			{Kind: "status", Path: create, Method: "POST", Skip: 1, Status: 503},
		}, pb.CodeNetSuite, "as soon as that works", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := startCert(t)
			before := w.profile()
			used := w.agent.arena.Info().Used
			for _, f := range test.faults {
				w.inject(f)
			}
			_, err := w.rotate(client.Rotation{})
			if errorCode(err) != string(test.want) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v, want %s with %q", err, test.want, test.says)
			}
			if strings.Contains(err.Error(), "+next") || strings.Contains(err.Error(), "eyJ") {
				t.Errorf("the message shows what it should not: %v", err)
			}
			w.netsuite.ClearFaults()
			w.unchanged(before)
			if got := len(w.profile().GetRetired()) > 0; got != test.settle {
				t.Errorf("to be revoked: %v, want some: %t", w.profile().GetRetired(), test.settle)
			}
			w.works("after the failure")
			w.dueNow()
			w.settle()
			if p := w.profile(); len(p.GetRetired()) != 0 {
				t.Errorf("still to be revoked: %v", p.GetRetired())
			}
			for _, state := range strings.Split(w.atNetSuite(), ", ") {
				if state != "current active" && state != "revoked" {
					t.Errorf("NetSuite has: %s", w.atNetSuite())
				}
			}
			if got := w.agent.arena.Info().Used; got > used+2048 { // a token more
				t.Errorf("%d bytes of locked memory more", got-used)
			}
			if _, err := w.rotate(client.Rotation{}); err != nil {
				t.Errorf("the next rotation: %v", err)
			}
			w.works("after the next rotation")
		})
	}
}

// unchanged checks that the profile is as it was, but for what is to be revoked.
func (w *certWorld) unchanged(before *pb.Profile) {
	w.t.Helper()
	p := w.profile()
	if p.GetCertificateId() != before.GetCertificateId() || states(p) != states(before) || p.GetNextCertificate() != nil {
		w.t.Errorf("the profile is %v, was %v", p, before)
	}
	w.unusable("m2m")
}

// dueNow lets the time of what is to be revoked be over.
func (w *certWorld) dueNow() {
	w.t.Helper()
	err := w.with("m2m", func(s *session, old *live) error {
		p := *old.profile
		p.Retired = nil
		for _, r := range old.Retired {
			p.retire(retired{ID: r.ID, After: time.Now().Unix(), Grant: r.Grant})
		}
		next, err := old.with(&p)
		if err != nil {
			return err
		}
		_, err = w.agent.replaceProfile(asItself(w.t.Context()), s, old, next, audit.EventProfileEdit, "", vault.Edit{})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestRotationIsRefused guards what is no rotation at all.
func TestRotationIsRefused(t *testing.T) {
	w := startCert(t)
	w.addTBA("tba")
	for name, test := range map[string]struct {
		profile string
		r       client.Rotation
		want    pb.Code
	}{
		"TBA":                 {"tba", client.Rotation{}, pb.CodeRequest},
		"nobody":              {"none", client.Rotation{}, pb.CodeNoProfile},
		"what is staged":      {"m2m+next", client.Rotation{}, pb.CodeNoProfile},
		"half an hour":        {"m2m", client.Rotation{Overlap: 30 * time.Minute}, pb.CodeRequest},
		"a year":              {"m2m", client.Rotation{Overlap: 365 * day}, pb.CodeRequest},
		"by hand, and none":   {"m2m", client.Rotation{ByHand: true}, pb.CodeNotFound},
		"an unknown key kind": {"m2m", client.Rotation{NewCertificate: client.NewCertificate{Key: "dsa"}}, pb.CodeRequest},
		"three years":         {"m2m", client.Rotation{NewCertificate: client.NewCertificate{Days: 1095}}, pb.CodeRequest},
	} {
		if _, err := w.admin.RotateCertificate(t.Context(), test.profile, test.r); errorCode(err) != string(test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	current := w.profile().GetCertificateId()
	for id, want := range map[string]pb.Code{current: pb.CodeRequest, "": pb.CodeRequest, "../x": pb.CodeRequest, "a b": pb.CodeRequest, strings.Repeat("A", 43): pb.CodeNetSuite} {
		if err := w.admin.RevokeCertificate(t.Context(), "m2m", id); errorCode(err) != string(want) {
			t.Errorf("revoking %q: got %v, want %s", id, err, want)
		}
	}
	if _, err := w.admin.UploadCertificate(t.Context(), client.Proof{}, "m2m", "", ""); errorCode(err) != string(pb.CodeNotFound) {
		t.Errorf("uploading nothing: %v", err)
	}
	if _, err := w.admin.DropCertificate(t.Context(), "m2m"); errorCode(err) != string(pb.CodeNotFound) {
		t.Errorf("dropping nothing: %v", err)
	}
	// Without the scope nothing is asked of NetSuite.
	if _, err := w.admin.EditProfile(t.Context(), "m2m", client.ProfileEdit{Profile: &pb.Profile{Scopes: []string{"restlets"}}, Fields: []string{"scopes"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.rotate(client.Rotation{}); errorCode(err) != string(pb.CodeCredential) || !strings.Contains(err.Error(), "rest_webservices") {
		t.Errorf("without the scope: %v", err)
	}
	if err := w.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.rotate(client.Rotation{}); !errors.Is(err, client.ErrLocked) {
		t.Errorf("locked: %v", err)
	}
}

// TestRefreshedDuringRotation guards that a profile that is taken out of use while its next
// certificate is tried is told as that, and not as a fault of the agent's.
func TestRefreshedDuringRotation(t *testing.T) {
	var w *certWorld
	tries := 0
	w = startCert(t, func(c *nstest.Config) {
		c.Log = func(v nstest.Verdict) {
			if !strings.HasSuffix(v.URL, "/token") {
				return
			}
			if tries++; tries == 2 {
				if _, err := w.admin.MarkRefreshed(t.Context(), "m2m", false); err != nil {
					t.Error(err)
				}
			}
		}
	})
	w.inject(nstest.Fault{Kind: "status", Path: "/services/rest/auth/oauth2/v1/token", Skip: 1, Times: certificateTries, Status: 400, Body: `{"error":"invalid_grant"}`})
	_, err := w.rotate(client.Rotation{})
	if errorCode(err) != string(pb.CodeLimited) || !strings.Contains(err.Error(), `"m2m" was not rotated`) {
		t.Errorf("got %v", err)
	}
	for _, e := range w.entries() {
		if e.Reason == string(pb.CodeInternal) {
			t.Errorf("on record: %+v", e)
		}
	}
}

// TestNoPermission guards that a role without the permission is told which one it lacks.
func TestNoPermission(t *testing.T) {
	w := startCert(t, func(c *nstest.Config) { c.Accounts[0].Certificates[0].Manage = false })
	_, err := w.rotate(client.Rotation{})
	if errorCode(err) != string(pb.CodeNetSuite) || !strings.Contains(err.Error()+nextOf(err), certificatePermission) {
		t.Errorf("got %v, next %q", err, nextOf(err))
	}
	if p := w.profile(); p.GetNextCertificate() != nil {
		t.Error("a next certificate was made in vain")
	}
}

func nextOf(err error) string {
	if e := (*client.Error)(nil); errors.As(err, &e) {
		return e.Next
	}
	return ""
}
