//go:build !race

// The product is looked at from outside, which has no race detector.

package agent

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
)

// TestKilledWhileSigning guards A-01, C-01 and P9 with the product: the agent is
// killed at random moments while clients sign and add profiles. Every signature that
// a client got is in the log, every profile that was acknowledged is in the vault,
// and the chain holds from the first entry to the last.
func TestKilledWhileSigning(t *testing.T) {
	const clients = 6
	rounds := 8
	if needs.Long() {
		rounds = 200
	}
	d := newDaemon(t, os.Geteuid(), "")
	var got atomic.Int64 // signatures that clients hold
	var stored []string
	for round := range rounds {
		d.start()
		admin := d.dialAdmin()
		if _, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
			t.Fatalf("round %d: Unlock: %v", round, err)
		}
		if round == 0 {
			if err := d.addTBA(admin, "acme", sample(2), sample(4)); err != nil {
				t.Fatal(err)
			}
			stored = append(stored, "acme")
		}
		c := d.dial()
		list, err := c.Profiles(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		there := make(map[string]bool)
		for _, p := range list.GetProfiles() {
			there[p.GetName()] = true
		}
		for _, name := range stored {
			if !there[name] {
				t.Errorf("round %d: profile %s was acknowledged and is gone", round, name)
			}
		}

		var group sync.WaitGroup
		first := make(chan struct{})
		var once sync.Once
		for i := range clients {
			own := d.dial()
			group.Go(func() {
				defer func() { _ = own.Close() }()
				sign := own.Sign
				if i%2 == 1 {
					s, err := own.Stream(t.Context())
					if err != nil {
						return
					}
					defer func() { _ = s.Close() }()
					sign = s.Sign
				}
				for {
					if _, err := sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); err != nil {
						return // killed
					}
					got.Add(1)
					once.Do(func() { close(first) })
				}
			})
		}
		group.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("r%d-%d", round, i)
				if err := d.addTBA(admin, name, sample(2), sample(4)); err != nil {
					return
				}
				stored = append(stored, name)
			}
		})
		select {
		case <-first:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody signs")
		}
		time.Sleep(time.Duration(rand.IntN(60_000)) * time.Microsecond)
		d.kill()
		group.Wait()
		_, _ = admin.Close(), c.Close()

		signed := int64(0)
		for _, e := range readLog(t, d.paths.AuditDir) {
			if e.Event == audit.EventSign && e.Outcome == audit.OutcomeOK {
				signed++
			}
		}
		if most := got.Load() + int64(clients*(round+1)); signed < got.Load() || signed > most {
			t.Errorf("round %d: clients hold %d signatures, the log has %d, want at least that and at most %d", round, got.Load(), signed, most)
		}
	}
	d.start() // repairs what the last kill left
	d.stop()
	if r, err := audit.CheckDir(d.paths.AuditDir, audit.Trust{}); err != nil || !r.OK {
		t.Errorf("CheckDir: got %+v, %v", r, err)
	}
	t.Logf("%d signatures and %d profiles over %d kills", got.Load(), len(stored), rounds)
}
