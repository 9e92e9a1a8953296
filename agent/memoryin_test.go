//go:build !race

// These tests look at the product from outside, or at its memory, which has no race
// detector: one run of them is enough.

package agent

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
)

// scannedDaemon is an unlocked daemon that erases what comes in, with memory that root
// can read.
func scannedDaemon(t *testing.T) (*daemon, *client.Admin) {
	t.Helper()
	needs.Root(t, "scans the memory of another process")
	d := startDaemon(t, "memory = \"mlock\"\n")
	admin := d.dialAdmin()
	if _, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
		t.Fatal(err)
	}
	d.needsErasing()
	return d, admin
}

// TestMemoryAfterAdding guards M-12 with the product: 50 profiles come in, well or
// badly, and no copy of any of their secrets stays outside locked memory.
func TestMemoryAfterAdding(t *testing.T) {
	d, admin := scannedDaemon(t)
	needles := memscan.Needles("passphrase", []byte(testPassphrase))
	fresh := func(name string) string {
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		s := hex.EncodeToString(b)
		needles = append(needles, memscan.Needles(name, []byte(s))...)
		return s
	}
	for i := range 50 {
		name := fmt.Sprintf("p%d", i)
		cs, ts := fresh(name+" consumer secret"), fresh(name+" token secret")
		switch i % 5 {
		case 3: // the name is taken
			name = "p0"
		case 4: // a mistake in the secret
			cs += "\n"
		}
		err := d.addTBA(admin, name, cs, ts)
		if (err != nil) != (i%5 >= 3) {
			t.Fatalf("AddProfile(%s): %v", name, err)
		}
		needles = append(needles, memscan.Needles(name+" signing key", []byte(cs+"&"+ts))...)
	}
	if r := d.atRest("after 50 additions", needles, noneUnlocked); r.Total.Locked == 0 {
		t.Errorf("control: locked memory holds nothing either:\n%s", r)
	}
	for i := range 50 {
		if i%5 < 3 {
			if err := admin.RemoveProfile(t.Context(), fmt.Sprintf("p%d", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	d.atRest("after they were removed", needles, none)
}

// TestMemoryAfterLongSecrets guards M-03 and M-12 for edits and long secrets: after
// they came in, were tested and gone back to, no piece of them is left in the agent.
func TestMemoryAfterLongSecrets(t *testing.T) {
	d, admin := scannedDaemon(t)
	a := longArena(t)
	var needles []memscan.Needle
	draw := func(n int) string {
		b := make([]byte, n/2)
		_, _ = rand.Read(b)
		s := hex.EncodeToString(b)
		for i := 0; i+64 <= len(s); i += max(64, len(s)/5) {
			needles = append(needles, memscan.Needles("a piece of a secret", []byte(s[i:i+64]))...)
		}
		return s
	}
	long := longSecret(a, draw(1_000_000))
	if _, err := admin.AddSecret(t.Context(), apiSecret("api"), long); err != nil {
		t.Fatal(err)
	}
	other := longSecret(a, draw(200_000))
	if _, err := admin.EditProfile(t.Context(), "api", client.ProfileEdit{Value: &other}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.EditProfile(t.Context(), "api", client.ProfileEdit{UsePrevious: true}); err != nil {
		t.Fatal(err)
	}
	cs, ts, ts2 := draw(64), draw(64), draw(64)
	if _, err := admin.AddProfile(t.Context(), tba("acme"), map[string]client.Sealer{"consumer_secret": sealWith(d.arena, cs), "token_secret": sealWith(d.arena, ts)}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.EditProfile(t.Context(), "acme", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": sealWith(d.arena, ts2)}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acme", "api"} {
		if _, err := admin.TestProfile(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	d.atRest("after long secrets and edits", needles, noneUnlocked)
	if err := admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.atRest("after lock", needles, none)
}

// TestMemoryOfKeySlots guards M-12 for key slots with the product: codes, key files and
// passphrases come in, right and wrong, and no copy of any stays outside locked memory.
func TestMemoryOfKeySlots(t *testing.T) {
	d, admin := scannedDaemon(t)
	needles := memscan.Needles("passphrase", []byte(testPassphrase))
	fresh := func(name string, n int) string {
		b := make([]byte, n)
		_, _ = rand.Read(b)
		needles = append(needles, memscan.Needles(name, b)...)
		return string(b)
	}
	proof := client.Proof{Passphrase: sealWith(d.arena, testPassphrase)}
	code, file := fresh("recovery code", 16), fresh("key file", 32)
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	slot := func(kind, opener string) client.NewSlot {
		return client.NewSlot{Kind: kind, Opener: sealWith(d.arena, opener), Cost: "low"}
	}
	must(admin.AddKeySlot(ctx, proof, slot("recovery", code)))
	must(admin.AddKeySlot(ctx, proof, slot("key-file", file)))
	_, _ = admin.AddKeySlot(ctx, client.Proof{}, slot("recovery", fresh("unproved code", 16)))
	_, _ = admin.AddKeySlot(ctx, proof, slot("recovery", fresh("long code", 17)))
	byCode, byFile := client.Proof{Recovery: sealWith(d.arena, code)}, client.Proof{KeyFile: sealWith(d.arena, file)}
	must(admin.UnlockBy(ctx, byCode, 0))
	must(admin.UnlockBy(ctx, byFile, 0))
	_, _ = admin.UnlockBy(ctx, client.Proof{Recovery: sealWith(d.arena, fresh("wrong code", 16))}, 0)
	_, _ = admin.UnlockBy(ctx, client.Proof{KeyFile: sealWith(d.arena, fresh("wrong file", 32))}, 0)
	must(admin.AddKeySlot(ctx, byFile, slot("passphrase", fresh("other passphrase", 40))))
	must(admin.ChangePassphrase(ctx, proof, sealWith(d.arena, fresh("new passphrase", 40)), "low"))
	must(admin.Recover(ctx, byCode.Recovery, slot("passphrase", fresh("recovered passphrase", 40))))
	d.atRest("after changes of the key slots", needles, noneUnlocked)
	if err := admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	d.atRest("after lock", needles, none)
}
