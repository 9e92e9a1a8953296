package agent

import (
	"crypto/elliptic"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestRotateByHand shows the way of a role without the permission: the next certificate
// waits until people have uploaded it, and failures do not drop it.
func TestRotateByHand(t *testing.T) {
	w := startCert(t)
	before := w.profile()
	r, err := w.admin.NewCertificate(t.Context(), &pb.Profile{Name: "m2m"}, client.NewCertificate{Key: "ec384", Name: "by hand", Days: 90})
	if err != nil {
		t.Fatal(err)
	}
	next := r.GetCertificate()
	if next.GetState() != "next" || next.GetCommonName() != "by hand" || next.GetAlgorithm() != "EC" || r.GetProfile().GetCertificateId() != before.GetCertificateId() || r.GetProfile().GetNextCertificate().GetCertificateId() != next.GetCertificateId() {
		t.Errorf("got %v", r)
	}
	if left := time.Until(time.Unix(next.GetValidUntil(), 0)); left < 89*day || left > 90*day {
		t.Errorf("it ends in %s", left)
	}
	if _, err := w.admin.NewCertificate(t.Context(), &pb.Profile{Name: "m2m"}, client.NewCertificate{}); errorCode(err) != string(pb.CodeExists) {
		t.Errorf("a second next one: %v", err)
	}
	if _, err := w.rotate(client.Rotation{NewCertificate: client.NewCertificate{Key: "ec521"}}); errorCode(err) != string(pb.CodeExists) {
		t.Errorf("another key than the one made: %v", err)
	}
	// Nobody has uploaded it yet.
	if _, err := w.rotate(client.Rotation{ByHand: true}); errorCode(err) != string(pb.CodeNetSuite) || !strings.Contains(err.Error(), "the next one stays too") {
		t.Errorf("before the upload: %v", err)
	}
	w.restarted()
	w.unlock()
	if c, err := w.admin.UploadCertificate(t.Context(), client.Proof{}, "m2m", "", ""); err != nil || c.GetCertificateId() != next.GetCertificateId() {
		t.Fatalf("upload: %v, %v", c, err)
	}
	if c, err := w.admin.UploadCertificate(t.Context(), client.Proof{}, "m2m", "", ""); err != nil || c.GetCertificateId() != next.GetCertificateId() {
		t.Errorf("a second upload: %v, %v", c, err)
	}
	if got := w.atNetSuite(); got != "current active, next active" {
		t.Errorf("NetSuite has: %s", got)
	}
	done, err := w.rotate(client.Rotation{ByHand: true})
	if err != nil || done.GetRevokedAfter() != 0 || done.GetCertificate().GetCertificateId() != next.GetCertificateId() {
		t.Fatalf("got %v, %v", done, err)
	}
	if p := w.profile(); p.GetAlg() != "ES384" || len(p.GetRetired()) != 0 || states(p) != "current previous" {
		t.Errorf("the profile is %v", p)
	}
	w.works("afterwards")
	if err := w.admin.RevokeCertificate(t.Context(), "m2m", before.GetCertificateId()); err != nil {
		t.Error(err)
	}
	if got := w.atNetSuite(); got != "current active, revoked" {
		t.Errorf("in the end NetSuite has: %s", got)
	}
}

// TestDropCertificate guards that a next certificate can be forgotten, and that revoking it
// forgets it too.
func TestDropCertificate(t *testing.T) {
	w := startCert(t)
	before := w.profile()
	make := func() string {
		r, err := w.admin.NewCertificate(t.Context(), &pb.Profile{Name: "m2m"}, client.NewCertificate{})
		if err != nil {
			t.Fatal(err)
		}
		return r.GetCertificate().GetCertificateId()
	}
	make()
	if p, err := w.admin.DropCertificate(t.Context(), "m2m"); err != nil || p.GetNextCertificate() != nil {
		t.Errorf("got %v, %v", p, err)
	}
	w.unchanged(before)
	id := make()
	if _, err := w.admin.UploadCertificate(t.Context(), client.Proof{}, "m2m", "5", "3"); err != nil {
		t.Fatal(err)
	}
	if err := w.admin.RevokeCertificate(t.Context(), "m2m", id); err != nil {
		t.Fatal(err)
	}
	w.unchanged(before)
	w.works("afterwards")
}

// TestFivePlaces guards that a full integration record is told, with what is in it, and that
// what waits to be revoked makes room.
func TestFivePlaces(t *testing.T) {
	var ids []string
	w := startCert(t, func(c *nstest.Config) {
		for range 4 {
			_, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(day))
			c.Accounts[0].Certificates = append(c.Accounts[0].Certificates, nstest.Certificate{ClientID: sample(9), PEM: cert, Entity: "5", Role: "3"})
		}
	})
	l, err := w.admin.Certificates(t.Context(), "m2m")
	if err != nil || l.GetActive() != 5 || l.GetLimit() != 5 {
		t.Fatalf("got %v, %v", l, err)
	}
	for _, c := range l.GetCertificates() {
		ids = append(ids, c.GetCertificateId())
		if c.GetEntity() != "5" || c.GetRole() != "3" || c.GetAlgorithm() != "EC" || c.GetValidUntil() == 0 || c.GetEntityName() == "" {
			t.Errorf("listed: %v", c)
		}
	}
	before := w.profile()
	_, err = w.rotate(client.Rotation{})
	if errorCode(err) != string(pb.CodeNetSuite) {
		t.Errorf("got %v", err)
	}
	for _, id := range ids {
		if !strings.Contains(err.Error(), id) {
			t.Errorf("%v does not name %s", err, id)
		}
	}
	w.unchanged(before)
	for _, id := range ids {
		if id != before.GetCertificateId() {
			if err := w.admin.RevokeCertificate(t.Context(), "m2m", id); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	// One place is free; from then on the one before has to go each time, though its overlap
	// is not over.
	for round := range 3 {
		if _, err := w.rotate(client.Rotation{Overlap: 24 * time.Hour}); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if p := w.profile(); len(p.GetRetired()) != 1 {
			t.Errorf("round %d: to be revoked: %v", round, p.GetRetired())
		}
		w.works("with five places taken")
	}
}

// TestGoingBack guards that the certificate before, once it is in use again, is not revoked.
func TestGoingBack(t *testing.T) {
	w := startCert(t)
	before := w.profile()
	if _, err := w.rotate(client.Rotation{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.EditProfile(t.Context(), "m2m", client.ProfileEdit{UsePrevious: true}); err != nil {
		t.Fatal(err)
	}
	if p := w.profile(); p.GetCertificateId() != before.GetCertificateId() || len(p.GetRetired()) != 0 {
		t.Errorf("the profile is %v", p)
	}
	w.works("after going back")
	// A second profile that uses what is to be revoked keeps it too.
	if _, err := w.rotate(client.Rotation{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.AddProfile(t.Context(), &pb.Profile{
		Name: "other", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(9), CertificateId: before.GetCertificateId(), Scopes: []string{"restlets"},
	}, map[string]client.Sealer{"private_key": w.sealer(pemOf(t))}); err != nil {
		t.Fatal(err)
	}
	w.dueNow()
	w.settle()
	if got := w.atNetSuite(); strings.Contains(got, "revoked") {
		t.Errorf("NetSuite has: %s", got)
	}
}

// TestRotatesByItself guards that the agent rotates at the age that was set, once, and says
// so in the log; and that it tries again, later and later, where that fails.
func TestRotatesByItself(t *testing.T) {
	w := startCert(t)
	before := w.profile()
	set := func(age time.Duration) {
		t.Helper()
		if _, err := w.admin.EditProfile(t.Context(), "m2m", client.ProfileEdit{Profile: &pb.Profile{RotateAfter: int64(age / time.Second)}, Fields: []string{"rotate_after"}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, age := range []time.Duration{time.Hour, 800 * day, -day} {
		if _, err := w.admin.EditProfile(t.Context(), "m2m", client.ProfileEdit{Profile: &pb.Profile{RotateAfter: int64(age / time.Second)}, Fields: []string{"rotate_after"}}); errorCode(err) != string(pb.CodeCredential) {
			t.Errorf("at an age of %s: %v", age, err)
		}
	}
	look := func() { w.agent.tendAll(asItself(t.Context())) }
	warned := func(want bool) {
		t.Helper()
		st, err := w.dial().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := slices.ContainsFunc(st.GetWarnings(), func(s string) bool {
			return strings.Contains(s, `profile "m2m" could not be rotated`) && strings.Contains(s, string(pb.CodeNetSuite))
		})
		if got != want {
			t.Errorf("status warns of %q, want a failed rotation among them: %t", st.GetWarnings(), want)
		}
	}
	look()
	set(11 * day) // it is ten days old
	look()
	w.unchanged(before)
	set(9 * day)
	w.inject(nstest.Fault{Kind: "status", Path: certificatesPath + "*", Method: "POST", Status: 500})
	look()
	w.unchanged(before)
	warned(true)
	look() // too early to try again
	w.unchanged(before)
	w.clock.Add(int64(shortestRest))
	look()
	p := w.profile()
	if p.GetCertificateId() == before.GetCertificateId() || p.GetRotateAfter() != int64(9*day/time.Second) {
		t.Errorf("the profile is %v", p)
	}
	warned(false)
	look()
	if again := w.profile(); again.GetCertificateId() != p.GetCertificateId() {
		t.Error("it was rotated twice")
	}
	w.works("afterwards")
	var rotations []string
	for _, e := range w.entries() {
		if e.Event == audit.EventCertRotate {
			rotations = append(rotations, e.Outcome+" "+strings.Fields(e.Detail)[0])
			if e.Profile != "m2m" || e.UID != int(w.agent.owner) || e.Exe != "" {
				t.Errorf("on record: %+v", e)
			}
		}
	}
	if got := strings.Join(rotations, ", "); got != "failed by, ok by" {
		t.Errorf("the log has rotations: %s", got)
	}
}

// TestLockedInTheMiddle guards that a rotation that a lock breaks off is gone on with after
// the unlock, without anybody asking.
func TestLockedInTheMiddle(t *testing.T) {
	w := startCert(t)
	before := w.profile()
	w.inject(nstest.Fault{Kind: "hang", Path: "/services/rest/auth/oauth2/v1/token", Skip: 1})
	ended := make(chan error, 1)
	go func() {
		_, err := w.rotate(client.Rotation{})
		ended <- err
	}()
	eventually(t, 10*time.Second, func() string {
		if len(w.netsuite.Faults()) > 0 {
			return "the new certificate is not tried yet"
		}
		return ""
	})
	if _, err := w.rotate(client.Rotation{}); errorCode(err) != string(pb.CodeLimited) {
		t.Errorf("a second rotation meanwhile: %v", err)
	}
	if err := w.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, client.ErrLocked) {
		t.Errorf("the rotation: %v", err)
	}
	w.unlock()
	eventually(t, 10*time.Second, func() string {
		if p := w.profile(); p.GetCertificateId() == before.GetCertificateId() || p.GetNextCertificate() != nil {
			return "it is not gone on with"
		}
		return ""
	})
	w.works("afterwards")
	if got := w.atNetSuite(); got != "current active, previous active" {
		t.Errorf("NetSuite has: %s", got)
	}
}

// TestTokensDuringRotation guards that callers get tokens all the time.
func TestTokensDuringRotation(t *testing.T) {
	w := startCert(t)
	stop := make(chan struct{})
	var group sync.WaitGroup
	got := 0
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := w.token("restlets"); err != nil {
				t.Errorf("during a rotation: %v", err)
				return
			}
			got++
		}
	})
	for range 3 {
		if _, err := w.rotate(client.Rotation{}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	group.Wait()
	if got < 3 {
		t.Errorf("%d tokens", got)
	}
}

// TestRotationThatWaitsForPeople guards that a rotation whose time has come and that cannot
// begin, since something else is staged, is said in status, and no more once it can.
func TestRotationThatWaitsForPeople(t *testing.T) {
	w := startCert(t)
	before := w.profile()
	if _, err := w.admin.NewCertificate(t.Context(), &pb.Profile{Name: "m2m"}, client.NewCertificate{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.EditProfile(t.Context(), "m2m", client.ProfileEdit{Profile: &pb.Profile{RotateAfter: int64(9 * day / time.Second)}, Fields: []string{"rotate_after"}}); err != nil {
		t.Fatal(err)
	}
	warnings := func() string {
		st, err := w.dial().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(st.GetWarnings(), "\n")
	}
	w.agent.tendAll(asItself(t.Context()))
	if p := w.profile(); p.GetCertificateId() != before.GetCertificateId() {
		t.Error("what people have made was put into its place")
	}
	if got := warnings(); !strings.Contains(got, `profile "m2m" could not be rotated`) {
		t.Errorf("status warns of: %s", got)
	}
	if _, err := w.admin.EditProfile(t.Context(), "m2m", client.ProfileEdit{Profile: &pb.Profile{}, Fields: []string{"rotate_after"}}); err != nil {
		t.Fatal(err)
	}
	w.agent.tendAll(asItself(t.Context()))
	if got := warnings(); strings.Contains(got, "could not be rotated") {
		t.Errorf("nobody wants it rotated any more, and status warns of: %s", got)
	}
}

// TestKillSwitchTakesAll guards that the certificate before and the next one do not outlive
// a profile that is revoked at NetSuite, and that one which was revoked by hand keeps
// nothing alive.
func TestKillSwitchTakesAll(t *testing.T) {
	w := startCert(t)
	first := w.profile().GetCertificateId()
	for range 2 {
		if _, err := w.rotate(client.Rotation{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.admin.RevokeCertificate(t.Context(), "m2m", first); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.NewCertificate(t.Context(), &pb.Profile{Name: "m2m"}, client.NewCertificate{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.UploadCertificate(t.Context(), client.Proof{}, "m2m", "", ""); err != nil {
		t.Fatal(err)
	}
	if got := w.atNetSuite(); strings.Count(got, "active") != 3 {
		t.Fatalf("NetSuite has: %s", got)
	}
	if err := w.admin.RevokeProfile(t.Context(), "m2m"); err != nil {
		t.Fatal(err)
	}
	for _, v := range w.netsuite.Verdicts() {
		if !v.OK && strings.HasSuffix(v.URL, "/revoke") {
			t.Errorf("NetSuite was asked for what it refused: %v", v)
		}
	}
	revoked := 0
	for _, v := range w.netsuite.Verdicts() {
		if v.OK && strings.HasSuffix(v.URL, "/revoke") {
			revoked++
		}
	}
	if revoked != 4 {
		t.Errorf("%d certificates were revoked, want 4", revoked)
	}
}
