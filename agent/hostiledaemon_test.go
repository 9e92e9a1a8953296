//go:build !race

package agent

import (
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// TestHostileTokensAtADaemon guards T-02 and T-03 for the product as users run it: in its
// sandbox it refuses what the tests of one process show it, writes that down, lives on, and
// takes good tokens, locked as well.
func TestHostileTokensAtADaemon(t *testing.T) {
	d := startDaemon(t, "")
	d.unlock()
	d.addByFile("acme", sample(2), sample(4))
	d.addByFile("other", sample(2), sample(4))
	token := d.mint(unlocktoken.Caveats{}, "acme", "other")
	ways := hostileTokens(t, token, d.mint)
	refuseHostile(t, d.paths.Agent, token, ways)
	if n := redeemsRefused(readLog(t, d.paths.AuditDir)); n != len(ways) {
		t.Errorf("%d refusals are in the log, of %d", n, len(ways))
	}
	refuseDamaged(t, presentOver(t, rawGRPC(t, d.paths.Agent)), token)
	refuseUnknownCaveat(t, presentOver(t, rawGRPC(t, d.paths.Agent)), token)
	for _, locked := range []bool{false, true} {
		if locked {
			d.must("lock")
		}
		if _, err := d.show(token).Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); err != nil {
			t.Errorf("a good one afterwards, locked %v: %v", locked, err)
		}
	}
	if pid, err := d.ask(); err != nil || pid != d.pid {
		t.Errorf("process %d answers, it was %d (%v)", pid, d.pid, err)
	}
}
