package pinentry

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// An answer comes whole, decoded, and as often as somebody is asked.
func TestSecret(t *testing.T) {
	d, err := open(t, "pinentry-honest")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got, err := d.secretOf(); err != nil || got != "pass%word" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if err := d.Confirm(Prompt{Text: "go on?", Yes: "Approve", No: "Deny"}); err != nil {
		t.Errorf("a yes: got %v", err)
	}
}

// What is no answer is never a yes and never a passphrase, and no program that says it
// outlives the question, holds it up or fills memory.
func TestHostileProgram(t *testing.T) {
	for name, want := range map[string]error{
		"cancelled": ErrCancelled, "no": ErrCancelled, "timeout": ErrFailed, "noscreen": ErrFailed,
		"dies": ErrFailed, "half": ErrFailed, "long": ErrProtocol, "many": ErrProtocol, "yes": ErrProtocol,
		"inquires": ErrProtocol, "nocode": ErrProtocol, "empty": ErrProtocol, "refuses": ErrFailed,
	} {
		for _, confirm := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d, err := open(t, "pinentry-"+name)
				if err != nil {
					t.Fatal(err)
				}
				var got string
				if confirm {
					err = d.Confirm(Prompt{Text: "x"})
				} else {
					got, err = d.secretOf()
				}
				if !errors.Is(err, want) || got != "" {
					t.Errorf("got %q, %v; want %v", got, err, want)
				}
				if want != ErrCancelled && errors.Is(err, ErrCancelled) {
					t.Errorf("it counts as a no: %v", err)
				}
			})
		}
	}
	for name, want := range map[string]error{"longdata": ErrTooLong, "escape": ErrProtocol} {
		d, err := open(t, "pinentry-"+name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.secretOf(); !errors.Is(err, want) || got != "" {
			t.Errorf("%s: got %q, %v; want %v", name, got, err, want)
		}
	}
	d, err := open(t, "pinentry-data")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Confirm(Prompt{Text: "x"}); err == nil {
		t.Error("data counts as a yes")
	}
}

// The end of the context ends a question, and the program with it, whatever it does.
func TestQuestionEnds(t *testing.T) {
	for _, name := range []string{"pinentry-hangs", "pinentry-stubborn"} {
		d, err := open(t, name)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(100*time.Millisecond, d.cancel)
		start := time.Now()
		if _, err := d.secretOf(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
		if took := time.Since(start); took > 2*endTime+10*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	if _, err := open(t, "pinentry-mute"); !errors.Is(err, context.Canceled) {
		t.Errorf("a program that says nothing: got %v", err)
	}
}

func TestNoProgram(t *testing.T) {
	d, err := open(t, "pinentry-honest")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), d.arena, Config{Program: "/no/such/pinentry", Start: starter}); !errors.Is(err, ErrFailed) {
		t.Errorf("got %v", err)
	}
}

// A text that does not fit is not sent, so that no half of it is shown.
func TestFits(t *testing.T) {
	d, err := open(t, "pinentry-honest")
	if err != nil {
		t.Fatal(err)
	}
	longest := strings.Repeat("x", maxLine-len("SETDESC \n"))
	for text, want := range map[string]bool{longest: true, longest + "x": false, strings.Repeat("\n", 331): false, strings.Repeat("\n", 330): true} {
		if got := Fits(text); got != want {
			t.Errorf("%d bytes: got %v", len(text), got)
		}
		if err := d.Confirm(Prompt{Text: text}); (err == nil) != want || !want && !errors.Is(err, ErrTooLong) {
			t.Errorf("%d bytes: got %v", len(text), err)
		}
	}
}
