//go:build !race

// These tests look at the product from outside, or at its memory, which has no race
// detector: one run of them is enough.

package agent

import (
	mrand "math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// scan looks into the agent process and its supervisor.
func (d *daemon) scan(needles []memscan.Needle) (agent, supervisor memscan.Report) {
	d.t.Helper()
	var reports [2]memscan.Report
	for i, pid := range []int{d.pid, d.supervisor.Process.Pid} {
		var err error
		if reports[i], err = memscan.Scan(pid, needles); err != nil {
			d.t.Fatal(err)
		}
	}
	return reports[0], reports[1]
}

// atRest waits until no copy is left outside locked memory: freed memory is erased a
// moment after it was used. It returns the last scan.
func (d *daemon) atRest(what string, needles []memscan.Needle, done func(agent memscan.Report) bool) memscan.Report {
	d.t.Helper()
	return d.atRestWithin(10*time.Second, what, needles, done)
}

// atRestWithin is atRest that waits for as long.
func (d *daemon) atRestWithin(limit time.Duration, what string, needles []memscan.Needle, done func(agent memscan.Report) bool) memscan.Report {
	d.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		agent, supervisor := d.scan(needles)
		if supervisor.Total.Locked+supervisor.Total.Unlocked != 0 {
			d.t.Fatalf("%s: the supervisor holds secrets:\n%s", what, supervisor)
		}
		if done(agent) {
			return agent
		}
		if time.Now().After(deadline) {
			d.t.Errorf("%s:\n%s", what, agent)
			return agent
		}
	}
}

func noneUnlocked(r memscan.Report) bool { return r.Total.Unlocked == 0 }
func none(r memscan.Report) bool         { return r.Total.Unlocked+r.Total.Locked == 0 }

// TestMemoryAfterSigning guards M-03 and G-10 with the product: after 1,000 signatures
// of each kind, and at moments under load, no copy of a secret or of what is derived
// from it is outside locked memory; after lock there is none anywhere. That the scan
// finds what is there shows in the midstates that locked memory has to hold.
func TestMemoryAfterSigning(t *testing.T) {
	needs.Root(t, "scans the memory of another process")
	d := startDaemon(t, "memory = \"mlock\"\n") // the other mode, root cannot read at all
	c := newCanaries(t, testPassphrase)
	admin := d.dialAdmin()
	if _, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
		t.Fatal(err)
	}
	if err := d.addTBA(admin, "acme", c.consumerSecret, c.tokenSecret); err != nil {
		t.Fatal(err)
	}
	m2m := &pb.Profile{Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(1), Certificate: c.certificate, Scopes: []string{"restlets"}}
	if _, err := admin.AddProfile(t.Context(), m2m, map[string]client.Sealer{"private_key": sealWith(d.arena, c.privateKey)}); err != nil {
		t.Fatal(err)
	}
	erases := d.erases()
	if !erases {
		t.Log("looks at TBA alone, and not under load: without GOEXPERIMENT=runtimesecret nothing is erased by itself")
		c.needles = tbaOnly(c.needles)
	}
	load(t, d, 1000)
	r := d.atRest("after 1,000 signatures", c.needles, noneUnlocked)
	if r.Total.Locked == 0 {
		t.Errorf("control: locked memory holds nothing either:\n%s", r)
	}

	if erases {
		stopUnderLoad(t, d, tbaOnly(c.needles))
	}
	if err := admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.atRest("after lock", c.needles, none)
}

// erases reports whether the product was built to erase what it leaves in freed
// memory, as make builds it.
func (d *daemon) erases() bool {
	d.t.Helper()
	s, err := d.dial().Status(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	erases := strings.Contains(s.GetMemory().GetGrade(), "runtime/secret")
	if !erases && needs.Required("runtimesecret") {
		d.t.Fatalf("built without GOEXPERIMENT=runtimesecret: %v", s.GetMemory())
	}
	return erases
}

// needsErasing skips a test that only a product which erases can pass. make test lets no
// test skip for that.
func (d *daemon) needsErasing() {
	d.t.Helper()
	if !d.erases() {
		needs.Missing(d.t, "runtimesecret", "a build with GOEXPERIMENT=runtimesecret, as make makes it")
	}
}

// stopUnderLoad stops the agent at random moments while it signs, and scans it.
func stopUnderLoad(t *testing.T, d *daemon, needles []memscan.Needle) {
	t.Helper()
	var over atomic.Bool
	var group sync.WaitGroup
	group.Go(func() {
		for !over.Load() {
			load(t, d, 100)
		}
	})
	stops := 5
	if needs.Long() {
		stops = 200
	}
	for range stops {
		time.Sleep(time.Duration(1+mrand.IntN(30)) * time.Millisecond)
		if err := memscan.Stopped(d.pid, func() error {
			r, err := memscan.Scan(d.pid, needles)
			if r.Total.Unlocked != 0 {
				t.Errorf("under load:\n%s", r)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	over.Store(true)
	group.Wait()
}

// tbaOnly leaves out the private key, which is parsed for each use and erased a
// moment later.
func tbaOnly(needles []memscan.Needle) []memscan.Needle {
	var some []memscan.Needle
	for _, n := range needles {
		if n.Name != "private key" {
			some = append(some, n)
		}
	}
	return some
}

// load makes n signatures and some of everything else, over several connections.
func load(t *testing.T, d *daemon, n int) {
	var group sync.WaitGroup
	for range 4 {
		c := d.dial()
		group.Go(func() {
			defer func() { _ = c.Close() }()
			for i := range n / 4 {
				_, err := c.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL})
				switch {
				case err != nil:
				case i%10 == 1:
					_, err = c.Passport(t.Context(), "acme", "")
				case i%10 == 2:
					_, err = c.ConnectPassword(t.Context(), "acme")
				case i%50 == 3:
					_, err = c.Assertion(t.Context(), client.AssertionRequest{Profile: "m2m"})
				}
				if err != nil {
					t.Errorf("under load: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
}
