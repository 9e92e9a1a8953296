//go:build !race

// These tests look at the product from outside, which has no race detector: one run
// of them is enough.

package agent

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// certDaemon is the product with an M2M profile "m2m" whose role may manage certificates.
type certDaemon struct {
	*daemon
	netsuite *nstest.Server
	admin    *client.Admin
}

func startCertDaemon(t *testing.T) *certDaemon {
	t.Helper()
	d := &certDaemon{daemon: newDaemon(t, os.Geteuid(), "")}
	var ep *nstest.Endpoint
	var key, cert string
	d.netsuite, ep, key, cert = certNetSuite(t)
	d.up()
	p := &pb.Profile{
		Name: "m2m", Account: "1234567_SB1", Auth: "m2m", Access: "write", ClientId: sample(9), Certificate: cert, Endpoint: ep.URL, Ca: string(ep.CAPEM), Scopes: []string{"rest_webservices"},
	}
	if _, err := d.admin.AddProfile(t.Context(), p, map[string]client.Sealer{"private_key": sealWith(d.arena, key)}); err != nil {
		t.Fatal(err)
	}
	return d
}

// up starts the agent and unlocks.
func (d *certDaemon) up() {
	d.t.Helper()
	d.start()
	d.admin = d.dialAdmin()
	if _, err := d.admin.Unlock(d.t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
		d.t.Fatal(err)
	}
}

// settled waits until nothing of a rotation is under way, and returns the certificate in
// use, which works.
func (d *certDaemon) settled(what string) string {
	d.t.Helper()
	var p *pb.Profile
	eventually(d.t, 30*time.Second, func() string {
		var err error
		if p, err = d.admin.ShowProfile(d.t.Context(), "m2m"); err != nil {
			return err.Error()
		}
		if p.GetNextCertificate() != nil {
			return "there is a next certificate"
		}
		return ""
	})
	c := d.dial()
	defer func() { _ = c.Close() }()
	if _, err := c.AccessToken(d.t.Context(), client.AccessTokenRequest{}); err != nil {
		d.t.Errorf("%s: %v", what, err)
	}
	return p.GetCertificateId()
}

// active returns how many certificates are active at NetSuite.
func (d *certDaemon) active() int {
	d.t.Helper()
	l, err := d.admin.Certificates(d.t.Context(), "m2m")
	if err != nil {
		d.t.Fatal(err)
	}
	return int(l.GetActive())
}

// rotating begins a rotation, once the agent has seen to what a kill left.
func (d *certDaemon) rotating() <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := d.admin.RotateCertificate(d.t.Context(), "m2m", client.Rotation{})
		for errors.Is(err, client.ErrLimited) {
			time.Sleep(10 * time.Millisecond)
			_, err = d.admin.RotateCertificate(d.t.Context(), "m2m", client.Rotation{})
		}
		ended <- err
	}()
	return ended
}

// TestKilledWhileRotating guards that an agent that is killed at any moment of a rotation
// goes on with it after the next unlock, and that the credential works all the time. The
// requests to NetSuite stand between the commits: killed while one is under way, before or
// after NetSuite has done it, the agent has made this commit and not the next one.
func TestKilledWhileRotating(t *testing.T) {
	const token, certificates = "/services/rest/auth/oauth2/v1/token", certificatesPath + "*"
	d := startCertDaemon(t)
	before := d.settled("at first")
	for _, point := range []struct {
		name     string
		fault    nstest.Fault
		rotates  bool // after the kill
		atWorst  int  // active certificates
		failsNow bool
	}{
		{"the list", nstest.Fault{Path: certificates, Method: "GET"}, false, 1, false},
		{"before the upload", nstest.Fault{Path: certificates, Method: "POST"}, true, 2, false},
		{"after the upload", nstest.Fault{Path: certificates, Method: "POST", CarryOut: true}, true, 3, false},
		{"the new token", nstest.Fault{Path: token, Skip: 1, CarryOut: true}, true, 4, false},
		{"before the revocation of what failed", nstest.Fault{Path: certificates, Method: "POST", Skip: 1}, false, 4, true},
		{"after the revocation of what failed", nstest.Fault{Path: certificates, Method: "POST", Skip: 1, CarryOut: true}, false, 4, true},
	} {
		if err := d.admin.Lock(t.Context()); err != nil { // no token is kept
			t.Fatal(err)
		}
		if _, err := d.admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
			t.Fatal(err)
		}
		point.fault.Kind = "hang"
		// What the kill before left may be seen to only now, and meet the faults instead:
		// then the rotation ends without them, and another one is made.
		var ended <-chan error
		over := time.Now().Add(time.Minute)
		for reached := false; !reached; {
			if time.Now().After(over) {
				t.Fatalf("%s: no rotation came to its faults", point.name)
			}
			d.netsuite.ClearFaults()
			if point.failsNow {
				if err := d.netsuite.Inject(nstest.Fault{Kind: "status", Path: token, Skip: 1, Times: certificateTries, Status: 400, Body: `{"error":"invalid_grant"}`}); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.netsuite.Inject(point.fault); err != nil {
				t.Fatal(err)
			}
			ended = d.rotating()
			eventually(t, 20*time.Second, func() string {
				n := len(d.netsuite.Faults())
				if reached = n == 0; reached {
					return ""
				}
				select {
				case err := <-ended:
					t.Logf("%s: ended before it came to its faults: %v", point.name, err)
					return ""
				default:
					return fmt.Sprintf("%s: %d faults are left", point.name, n)
				}
			})
		}
		d.kill()
		if err := <-ended; err == nil {
			t.Errorf("%s: the rotation ended well", point.name)
		}
		d.up()
		now := d.settled(point.name)
		if got := now != before; got != point.rotates {
			t.Errorf("%s: rotated after the kill: %t", point.name, got)
		}
		eventually(t, 20*time.Second, func() string {
			if n := d.active(); n > point.atWorst {
				return fmt.Sprintf("%s: %d certificates are active", point.name, n)
			}
			return ""
		})
		before = now
	}

	rounds := 2
	if needs.Long() {
		rounds = 60
	}
	for range rounds {
		go func() { _, _ = d.admin.RotateCertificate(t.Context(), "m2m", client.Rotation{}) }()
		time.Sleep(time.Duration(rand.IntN(150_000)) * time.Microsecond) // #nosec G404 -- of a test
		d.kill()
		d.up()
		d.settled("after a kill at random")
		if n := d.active(); n > maxActiveCertificates {
			t.Errorf("%d certificates are active", n)
		}
	}
	r, err := d.admin.CheckVault(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := found(t, r.GetChecks()); strings.Contains(got, "problem") {
		t.Errorf("the vault: %s", got)
	}
}
