//go:build !race

// This test looks at the memory of the product from outside, which has no race detector.

package agent

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// TestMemoryOfGrants guards M-12 for grants with the product: the shares of tokens come in,
// for grants that are made and for some that are refused, and no copy of a share, of the
// machine's own or of the wrap key that both give stays anywhere.
func TestMemoryOfGrants(t *testing.T) {
	d, admin := scannedDaemon(t)
	cs, ts := strings.Repeat("c0", 32), strings.Repeat("d1", 32)
	if err := d.addTBA(admin, "acme", cs, ts); err != nil {
		t.Fatal(err)
	}
	if r := d.atRest("control", memscan.Needles("signing key", []byte(cs+"&"+ts)), noneUnlocked); r.Total.Locked == 0 {
		t.Errorf("control: locked memory holds nothing either:\n%s", r)
	}
	machine, err := os.ReadFile(d.paths.MachineKey)
	if err != nil {
		t.Fatal(err)
	}
	var needles []memscan.Needle
	for i := range 20 {
		share := make([]byte, 32)
		_, _ = rand.Read(share)
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		needles = append(needles, memscan.Needles("share", share)...)
		sealed := share
		proof := client.Proof{Passphrase: sealWith(d.arena, testPassphrase)}
		switch i % 5 {
		case 3:
			proof = client.Proof{}
		case 4:
			sealed = append(bytes.Clone(share), 1)
		}
		r, err := admin.NewGrant(t.Context(), proof, client.NewGrant{Profiles: []string{"acme"}, TTL: time.Hour, Next: public, Shares: sealWith(d.arena, string(sealed))})
		if (err != nil) != (i%5 >= 3) || errors.Is(err, client.ErrAgent) {
			t.Fatalf("grant %d: %v", i, err)
		}
		if err != nil {
			continue
		}
		chain, err := unlocktoken.DecodeChain(r.GetChain())
		if err != nil {
			t.Fatal(err)
		}
		g, err := chain.Read()
		if err != nil {
			t.Fatal(err)
		}
		own := agentShare(machine, g)
		id := g.Authority.Grant
		info := g.WrapInfo(unlocktoken.ID(r.GetCredentials()[0]), unlocktoken.IssuerHash(r.GetIssuer()))
		wrap, err := hkdf.Key(sha256.New, append(bytes.Clone(share), own...), id[:], string(info), 32)
		if err != nil {
			t.Fatal(err)
		}
		needles = append(needles, memscan.Needles("agent share", own)...)
		needles = append(needles, memscan.Needles("wrap key", wrap)...)
	}
	d.atRest("after 20 grants", needles, none)
}

// agentShare is what docs/unlock-tokens.md says of the machine's share of a grant.
func agentShare(machine []byte, g *unlocktoken.Grant) []byte {
	id := g.Authority.Grant
	mac := hmac.New(sha256.New, machine)
	mac.Write([]byte("nsagent/v1 agent share"))
	mac.Write(g.Vault[:])
	mac.Write(id[:])
	return mac.Sum(nil)
}
