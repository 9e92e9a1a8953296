package agent

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// lists has NetSuite list these certificates, of entity 5, by ID and role, from now on.
func (w *certWorld) lists(roles map[string]string) {
	w.t.Helper()
	var all []string
	for id, role := range roles {
		all = append(all, fmt.Sprintf(`{"certificate_id":%q,"entity":{"id":"5"},"role":{"id":%q},"revoked":false}`, id, role))
	}
	w.netsuite.ClearFaults()
	w.inject(nstest.Fault{Kind: "status", Path: certificatesPath + "*", Method: "GET", Status: 200, Times: -1, Body: "[" + strings.Join(all, ",") + "]"})
}

// next makes the next certificate by hand, and returns its ID.
func (w *certWorld) next() string {
	w.t.Helper()
	r, err := w.admin.NewCertificate(w.t.Context(), &pb.Profile{Name: "m2m"}, client.NewCertificate{})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.GetCertificate().GetCertificateId()
}

func (w *certWorld) upload(proof client.Proof, entity, role string) error {
	_, err := w.admin.UploadCertificate(w.t.Context(), proof, "m2m", entity, role)
	return err
}

// TestUploadKeepsEntityAndRole guards that nobody has the next certificate stand for another
// entity or role than the present one, whose rights the profile would have by it: not with a
// proof either, since people do that in NetSuite.
func TestUploadKeepsEntityAndRole(t *testing.T) {
	w := startCert(t)
	w.next()
	for name, as := range map[string][2]string{"another role": {"", "9"}, "another entity": {"6", ""}, "both": {"6", "9"}, "its entity, another role": {"5", "9"}} {
		err := w.upload(w.passphrase(testPassphrase), as[0], as[1])
		if errorCode(err) != string(pb.CodeRequest) || !strings.Contains(err.Error(), "entity 5 and role 3") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if n := w.uploads(); n != 0 {
		t.Errorf("%d certificates were uploaded", n)
	}
	if err := w.upload(client.Proof{}, "5", "3"); err != nil {
		t.Errorf("what the present one stands for: %v", err)
	}
}

// TestUploadOfWhatIsNotListed guards that where NetSuite does not list the present certificate,
// whoever says for whom it stands has proved it.
func TestUploadOfWhatIsNotListed(t *testing.T) {
	w := startCert(t)
	id := w.next()
	w.lists(nil)
	if err := w.upload(w.passphrase(testPassphrase), "", ""); errorCode(err) != string(pb.CodeNetSuite) || !strings.Contains(err.Error(), "not in NetSuite's list") {
		t.Errorf("for nobody: got %v", err)
	}
	// Nobody is asked for a proof in vain.
	for name, c := range map[string]struct {
		entity, role string
		want         pb.Code
		says         string
	}{
		"no role":      {"5", "", pb.CodeNetSuite, "which entity and role"},
		"no entity":    {"", "3", pb.CodeNetSuite, "which entity and role"},
		"a name":       {"foo", "3", pb.CodeRequest, `"foo" is no entity or role`},
		"a named role": {"5", "Administrator", pb.CodeRequest, `"Administrator" is no entity or role`},
	} {
		if err := w.upload(client.Proof{}, c.entity, c.role); errorCode(err) != string(c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		proof client.Proof
		want  pb.Code
	}{"no proof": {client.Proof{}, pb.CodeProof}, "a yes": {client.Proof{Confirmed: true}, pb.CodeProof}, "wrong passphrase": {w.passphrase("wrong"), pb.CodePassphrase}} {
		if err := w.upload(c.proof, "5", "3"); errorCode(err) != string(c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	if n := w.uploads(); n != 0 {
		t.Errorf("%d certificates were uploaded", n)
	}
	if err := w.upload(w.passphrase(testPassphrase), "5", "3"); err != nil || w.uploads() != 1 {
		t.Errorf("with a proof: %v, %d uploads", err, w.uploads())
	}
	if log := w.entries(); log[len(log)-1].Detail != "certificate="+id+" proof=passphrase" {
		t.Errorf("on record: %+v", log[len(log)-1])
	}
	// Half of it is listed: the other half is as good as none, and that half is no other.
	w.netsuite.ClearFaults()
	w.inject(nstest.Fault{Kind: "status", Path: certificatesPath + "*", Method: "GET", Status: 200, Times: -1, Body: fmt.Sprintf(`[{"certificate_id":%q,"entity":{"id":"5"},"role":null}]`, w.profile().GetCertificateId())})
	if err := w.upload(client.Proof{}, "5", "9"); errorCode(err) != string(pb.CodeProof) {
		t.Errorf("a role that is not listed: got %v", err)
	}
	if err := w.upload(client.Proof{}, "6", "9"); errorCode(err) != string(pb.CodeRequest) {
		t.Errorf("another entity than the one that is: got %v", err)
	}
}

// TestRotateKeepsEntityAndRole guards that a next certificate which NetSuite has for somebody
// else takes its place only by hand: so does one that cannot be compared. Callers go on with
// the present one.
func TestRotateKeepsEntityAndRole(t *testing.T) {
	w := startCert(t)
	before := w.profile().GetCertificateId()
	id := w.next()
	for name, c := range map[string]struct {
		roles map[string]string
		says  string
	}{
		"another role":   {map[string]string{before: "3", id: "9"}, "NetSuite has it for entity 5 and role 9, and the present one for entity 5 and role 3"},
		"no role":        {map[string]string{before: "3", id: ""}, "NetSuite has it for entity 5 and role ?, and the present one for entity 5 and role 3"},
		"not comparable": {map[string]string{id: "3"}, "does not list the present one"},
	} {
		w.lists(c.roles)
		_, err := w.rotate(client.Rotation{})
		if errorCode(err) != string(pb.CodeNetSuite) || !strings.Contains(err.Error(), c.says) || !strings.Contains(nextOf(err), "--by-hand") {
			t.Errorf("%s: got %v, next %q", name, err, nextOf(err))
		}
		if p := w.profile(); p.GetCertificateId() != before || p.GetNextCertificate().GetCertificateId() != id {
			t.Errorf("%s: the profile is %v", name, p)
		}
	}
	w.netsuite.ClearFaults()
	if err := w.upload(client.Proof{}, "", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.rotate(client.Rotation{ByHand: true}); err != nil || w.profile().GetCertificateId() != id {
		t.Errorf("by hand: got %v", err)
	}
}

// TestRotationByItselfKeepsEntityAndRole guards that what the agent goes on with by itself is
// looked at, too: what NetSuite has for somebody else is dropped, and revoked.
func TestRotationByItselfKeepsEntityAndRole(t *testing.T) {
	w := startCert(t)
	before := w.profile()
	st, err := w.agent.stageCertificate(asItself(t.Context()), "m2m", certificateWish{}, changeRotation)
	if err != nil {
		t.Fatal(err)
	}
	w.lists(map[string]string{before.GetCertificateId(): "3", st.CertificateID: "9"})
	w.agent.tendAll(asItself(t.Context()))
	if p := w.profile(); p.GetCertificateId() != before.GetCertificateId() || p.GetNextCertificate() != nil || len(p.GetRetired()) != 1 || p.GetRetired()[0].GetCertificateId() != st.CertificateID {
		t.Errorf("the profile is %v", p)
	}
}

// TestUploadThatIsOfAnother guards that NetSuite's word on whom a certificate was uploaded for
// is asked where its answer to the upload was lost.
func TestUploadThatIsOfAnother(t *testing.T) {
	w := startCert(t)
	before, id := w.profile().GetCertificateId(), w.next()
	list := func(skip int, all string) nstest.Fault {
		return nstest.Fault{Kind: "status", Path: certificatesPath + "*", Method: "GET", Status: 200, Body: all, Skip: skip}
	}
	own := fmt.Sprintf(`{"certificate_id":%q,"entity":{"id":5},"role":{"id":3}}`, before)
	w.inject(list(0, "["+own+"]"))
	w.inject(list(0, "["+own+fmt.Sprintf(`,{"certificate_id":%q,"entity":{"id":5},"role":{"id":9}}]`, id)))
	w.inject(nstest.Fault{Kind: "drop", Path: certificatesPath + "*", Method: "POST"})
	if _, err := w.rotate(client.Rotation{}); errorCode(err) != string(pb.CodeNetSuite) || !strings.Contains(err.Error(), "role 9") || w.profile().GetCertificateId() != before {
		t.Errorf("got %v", err)
	}
}

// TestPresentCertificateIsTheOneThatAsked guards that where a profile gets another certificate
// while its own is rotated, the next one does not stand for what that one does, nor take its
// place: it was compared with the one before.
func TestPresentCertificateIsTheOneThatAsked(t *testing.T) {
	const other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, c := range map[string]struct {
		method string // of the request in which it gets the other one
		role   string // of the next one, where it is uploaded already
		sent   int
	}{
		"to be uploaded":            {http.MethodGet, "", 0},
		"uploaded for that one":     {http.MethodGet, "9", 0},
		"uploaded before it got it": {http.MethodPost, "", 1},
	} {
		w := startCertAt(t, c.method, func(w *certWorld) {
			if _, err := w.admin.EditProfile(t.Context(), "m2m", client.ProfileEdit{Profile: &pb.Profile{CertificateId: other}, Fields: []string{"certificate_id"}, Proof: w.passphrase(testPassphrase)}); err != nil {
				t.Error(err)
			}
		})
		roles := map[string]string{w.profile().GetCertificateId(): "3", other: "9"}
		if id := w.next(); c.role != "" {
			roles[id] = c.role
		}
		w.lists(roles)
		if _, err := w.rotate(client.Rotation{}); err == nil || w.profile().GetCertificateId() != other || w.uploads() != c.sent {
			t.Errorf("%s: got %v, %d uploads, and the profile is %v", name, err, w.uploads(), w.profile())
		}
	}
}
