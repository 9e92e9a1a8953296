package command

import "testing"

// Of a program that is not known nobody is asked for how long to approve it: it is once.
func TestUnknownProgramsAreApprovedOnce(t *testing.T) {
	for name, asks := range map[string]asker{"at the terminal": &terminalAsker{}, "by a window": &pinentryAsker{}} {
		if span, err := asks.span(); span != "once" || err != nil {
			t.Errorf("%s: got %q, %v", name, span, err)
		}
	}
}
