package main

import (
	"os"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/realagent"
)

// TestMain runs the tests, or plays an attack for one of them.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "-play" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestAttacks guards P10 with the product: under every attack the honest client is
// served without a failure, nothing is answered that has to be refused, refused
// peers are on record, and afterwards the agent is as it was. How long the honest
// client waits is measured by `make abuse`, on a machine with time for it.
func TestAttacks(t *testing.T) {
	bin, err := realagent.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := newScene(t.Context(), bin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			if a.uid != 0 {
				needs.Root(t, "becomes another user")
			}
			var r result
			for length := 300 * time.Millisecond; r.tally.Done == 0 && length < time.Minute; length *= 4 { // a slow machine gets more time
				if r, err = s.run(t.Context(), a, length); err != nil {
					t.Fatal(err)
				}
			}
			if why := r.unmet(s.before, false); why != "" {
				t.Error(why)
			}
			t.Logf("%d %s, %d let through; %d honest calls, p99 %s; back after %s; %s",
				r.tally.Done, a.unit, r.tally.Through, r.honest.calls, r.honest.p99, r.back, r.after)
		})
	}
}

// TestUnmet is the control: the judgement sees each thing that an attack may break.
func TestUnmet(t *testing.T) {
	good := result{tally: tally{Done: 1}, honest: served{calls: 1}}
	if why := good.unmet(good.after, true); why != "" {
		t.Errorf("an attack that broke nothing: %s", why)
	}
	for name, spoil := range map[string]func(*result){
		"something was let through":  func(r *result) { r.tally.Wrong = "answered" },
		"the attack did nothing":     func(r *result) { r.tally.Done = 0 },
		"nobody honest came through": func(r *result) { r.honest.calls = 0 },
		"an honest call failed":      func(r *result) { r.honest.failed = 1 },
		"nothing is on record":       func(r *result) { r.attack.recorded = true },
		"memory":                     func(r *result) { r.after.Resident = residentBelow + 1 },
		"descriptors":                func(r *result) { r.after.Descriptors = fewDescriptors + 1 },
		"service came back late":     func(r *result) { r.back = backWithin + 1 },
		"p99":                        func(r *result) { r.honest.p99 = p99Below + 1 },
	} {
		r := good
		spoil(&r)
		if r.unmet(good.after, true) == "" {
			t.Errorf("%s: not seen", name)
		}
	}
}
