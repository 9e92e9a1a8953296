package main

import (
	"os"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/realagent"
)

// TestMain runs the tests, or is the agent for one of them.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-agent" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestSoak is the short form of `make soak`: it guards P7, P9 and P10 under load.
func TestSoak(t *testing.T) {
	bin, err := realagent.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := options{bin: bin, time: 18 * time.Second, clients: 64, killEvery: 3 * time.Second}
	if err := soak(t.Context(), o, t.Output()); err != nil {
		t.Fatal(err)
	}
}

// TestLossIsSeen is the control: what was acknowledged and is not there is told.
func TestLossIsSeen(t *testing.T) {
	w := &world{}
	w.fail("profile %s is lost", "a")
	if w.failures() == nil {
		t.Error("a failure is not told")
	}
	for text, want := range map[string]bool{"the vault is locked [NSA-LOCKED]": true, "no agent [NSA-AGENT]": true, "damaged [NSA-VAULT-DAMAGED]": false} {
		if got := explained(textError(text)); got != want {
			t.Errorf("explained(%s): got %t", text, got)
		}
	}
}

type textError string

func (e textError) Error() string { return string(e) }
