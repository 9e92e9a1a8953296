//go:build !race

// What is looked at is memory as it is without the race detector.

package secret

import (
	"fmt"
	"testing"

	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
)

// TestScanCopies: a secret that is copied within the arena while signals come leaves no part
// of it on a signal stack. The same scan finds what the builtin leaves there.
func TestScanCopies(t *testing.T) {
	needs.Root(t, scans)
	for how, control := range map[string]bool{"clone": false, "builtin": true} {
		t.Run(how, func(t *testing.T) {
			p := start(t, "copy", false, "MODE="+string(ModeMlock), "HOW="+how)
			text := randomText(700)
			p.send(text)
			needles := memscan.Needles("copied", text[len(text)-120:])
			p.expect("rest")
			rest := p.scan(needles)
			p.send(nil)
			p.expect("load")
			n, worst := p.stops(needles)
			said := fmt.Sprintf("at rest: %v; under load: %d of %d stops with hits, the worst: %v", rest, n, snapshots(), worst)
			switch left := n > 0 || rest.Total.Unlocked > 0; {
			case left && !control:
				t.Error(said)
			case !left && control && !raceEnabled:
				t.Errorf("control: the scanner does not see what the builtin leaves: %s", said)
			}
		})
	}
}
