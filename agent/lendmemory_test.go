//go:build !race

package agent

import (
	"crypto/ecdsa"
	"crypto/x509"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/grantkey"
	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault/bundle"
)

// TestMemoryOfLentKeys guards M-12 for bundles of M2M profiles: the keys that the agent makes
// for them, and tries, are in the bundles afterwards, and nowhere in its memory.
func TestMemoryOfLentKeys(t *testing.T) {
	d, admin := scannedDaemon(t)
	_, ep, key, cert := certNetSuite(t)
	own := &pb.Profile{
		Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(9), Certificate: cert, Endpoint: ep.URL, Ca: string(ep.CAPEM), Scopes: []string{"rest_webservices"},
	}
	if _, err := admin.AddProfile(t.Context(), own, map[string]client.Sealer{"private_key": sealWith(d.arena, key)}); err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, paths: d.paths, arena: d.arena, admin: admin}
	var needles []memscan.Needle
	for range 3 {
		s := f.spec("m2m")
		s.Detached, s.TTL = true, 24*time.Hour
		r, err := admin.NewGrant(t.Context(), f.passphrase(testPassphrase), s.NewGrant)
		if err != nil {
			t.Fatal(err)
		}
		needles = append(needles, memscan.Needles("share", s.shares)...)
		needles = append(needles, memscan.Needles("lent key", lentKey(t, f, r.GetBundle(), s.token(t, r)))...)
	}
	d.atRest("after three bundles", needles, none)
}

// lentKey returns the private scalar that a token opens of a bundle.
func lentKey(t *testing.T, f *fixture, text []byte, token *unlocktoken.Token) (scalar []byte) {
	t.Helper()
	b, err := bundle.Parse(text, token.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	g := mustRead(t, token)
	share := token.Shares[0].Key
	taken, err := f.arena.Take(share[:])
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Destroy()
	wrap, err := grantkey.Derive(f.arena, nil, g, token.Issuer, token.Shares[0].Credential, taken)
	if err != nil {
		t.Fatal(err)
	}
	defer wrap.Destroy()
	o, err := b.Open(f.arena, token.Shares[0].Credential, wrap)
	if err != nil {
		t.Fatal(err)
	}
	defer o.SignOnly.Destroy()
	err = o.SignOnly.Use(func(der []byte) error {
		k, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return err
		}
		scalar, err = k.(*ecdsa.PrivateKey).Bytes()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(scalar) != 32 {
		t.Fatalf("a scalar of %d bytes", len(scalar))
	}
	return scalar
}
