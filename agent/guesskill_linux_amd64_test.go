//go:build !race

package agent

import (
	"os"
	"testing"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestKilledWhileSomebodyUnlocks kills the agent while a passphrase is looked at: each such
// try counts, though the passphrase was right, until one comes to its end.
func TestKilledWhileSomebodyUnlocks(t *testing.T) {
	d := emptyHome(t, os.Geteuid())
	d.must("init", "--unlock", "passphrase", "--passphrase-file", d.file("passphrase")) // at the default cost: there is time to kill
	for killed := 1; killed <= freeTries; killed++ {
		d.start()
		admin := d.dialAdmin()
		answered := make(chan error, 1)
		go func() {
			_, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0)
			answered <- err
		}()
		eventually(t, 20*time.Second, func() string {
			if n, ok := wrongTries(t, d); !ok || n != killed {
				return "the try does not count yet"
			}
			return ""
		})
		d.kill()
		if err := <-answered; errorCode(err) != string(pb.CodeAgent) {
			t.Errorf("kill %d: got %v, want %s", killed, err, pb.CodeAgent)
		}
		if n, ok := wrongTries(t, d); !ok || n != killed {
			t.Errorf("%d kills: %d tries are counted", killed, n)
		}
	}
	d.start()
	eventually(t, 20*time.Second, func() string { // the next has to wait by now
		if _, err := d.dialAdmin().Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
			return err.Error()
		}
		return ""
	})
	if n, ok := wrongTries(t, d); !ok || n != 0 {
		t.Errorf("after an unlock %d tries are counted", n)
	}
}
