//go:build !race

// These tests look at the product from outside, or at its memory, which has no race
// detector: one run of them is enough.

package agent

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
)

// TestStagedNeverUsable does random things to profiles and what is staged for them, and
// looks after each step: callers find the profiles and nothing else, and each signs with
// the key that it should.
func TestStagedNeverUsable(t *testing.T) {
	f := start(t)
	f.unlock()
	keys := map[string]byte{"key4": 4, "key9": 9, "key11": 11} // profiles to compare with
	for name, ts := range keys {
		f.tbaWith(name, 2, ts)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- of a test
	current, staged := map[string]string{}, map[string]string{}
	all := []string{"a", "b", "c"}
	some := func(l []string) string { return l[random.IntN(len(l))] }
	names := []string{"key4", "key9", "key11"}
	for step := range 120 {
		name := some(all)
		_, there := current[name]
		_, waits := staged[name]
		var err error
		want := there
		switch what := some([]string{"add", "stage", "stage", "promote", "promote", "unstage", "remove", "rename", "restart", "lock"}); what {
		case "add":
			want = !there
			key := some(names)
			_, err = f.admin.AddProfile(t.Context(), tba(name), map[string]client.Sealer{"consumer_secret": f.sealer(sample(2)), "token_secret": f.sealer(sample(keys[key]))})
			if err == nil {
				current[name] = key
			}
		case "stage":
			want = there && !waits
			key := some(names)
			if err = f.stageTBA(name, 2, keys[key]); err == nil {
				staged[name] = key
			}
		case "promote", "unstage":
			if want = there && waits; !want {
				continue
			}
			if what == "promote" {
				err = f.promote(name, promotion{overlap: time.Hour})
				current[name] = staged[name]
			} else {
				err = f.unstage(name, nil)
			}
			delete(staged, name)
		case "remove":
			if err = f.admin.RemoveProfile(t.Context(), name); err == nil {
				delete(current, name)
				delete(staged, name)
			}
		case "rename":
			to := some(all)
			_, taken := current[to]
			want = there && !taken
			if _, err = f.admin.RenameProfile(t.Context(), client.Proof{}, name, to); err == nil {
				current[to] = current[name]
				delete(current, name)
				if waits {
					staged[to] = staged[name]
					delete(staged, name)
				}
			}
		case "restart":
			f.restart()
			f.unlock()
			want = true
		case "lock":
			err = f.admin.Lock(t.Context())
			f.unlock()
			want = true
		}
		if (err == nil) != want {
			t.Fatalf("step %d with %s: %v, want it to work: %t", step, name, err, want)
		}
		visible := slices.Clone(names)
		for name, key := range current {
			visible = append(visible, name)
			if !f.signsLike(name, key) {
				t.Fatalf("step %d: %s does not sign like %s", step, name, key)
			}
		}
		slices.Sort(visible)
		if step%10 == 0 {
			f.unusable(visible...)
		}
	}
	if r, err := audit.CheckDir(f.paths.AuditDir, audit.Trust{}); err != nil || !r.OK {
		t.Errorf("CheckDir: got %+v, %v", r, err)
	}
	for _, e := range f.entries() {
		if strings.Contains(e.Profile, "+") && e.Outcome == audit.OutcomeOK {
			t.Errorf("the log names %q", e.Profile)
		}
	}
}
