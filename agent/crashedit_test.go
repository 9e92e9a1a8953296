//go:build !race

// The product is looked at from outside, which has no race detector.

package agent

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
)

// TestKilledWhileEditing guards C-01 and P9 for edits and long secrets: the agent is
// killed at random moments while secrets are stored and replaced. Each time a check
// finds the vault whole, with every blob, and what was acknowledged last or what was
// under way is what is there.
func TestKilledWhileEditing(t *testing.T) {
	rounds := 6
	if needs.Long() {
		rounds = 150
	}
	d := newDaemon(t, os.Geteuid(), "")
	a := longArena(t)
	text := func(n int) string { return fmt.Sprintf("%06d", n) + strings.Repeat("x", 80_000) }
	acknowledged, last := 0, 0 // numbers of values
	for round := range rounds {
		d.start()
		admin := d.dialAdmin()
		if _, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if round == 0 {
			if _, err := admin.AddSecret(t.Context(), apiSecret("api"), longSecret(a, text(0))); err != nil {
				t.Fatal(err)
			}
		}
		busy, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for i := 0; ; i++ {
				last = acknowledged + 1
				value := longSecret(a, text(last))
				if _, err := admin.EditProfile(t.Context(), "api", client.ProfileEdit{Value: &value}); err != nil {
					return // killed
				}
				acknowledged = last
				if i == 0 {
					close(busy)
				}
			}
		}()
		select {
		case <-busy:
		case <-time.After(30 * time.Second):
			t.Fatal("nothing is stored")
		}
		time.Sleep(time.Duration(rand.IntN(80_000)) * time.Microsecond)
		d.kill()
		<-ended
		_ = admin.Close()

		n := storedNumber(t, d, a)
		if n != acknowledged && n != last {
			t.Errorf("round %d: value %d is there; %d was acknowledged, %d under way", round, n, acknowledged, last)
		}
		acknowledged = n
	}
	l, err := os.ReadDir(filepath.Join(filepath.Dir(d.paths.Vault), "vault.nsv.blobs"))
	if err != nil || len(l) == 0 {
		t.Error(l, err)
	}
	t.Logf("%d edits over %d kills, %d files of blobs", acknowledged, rounds, len(l))
}
