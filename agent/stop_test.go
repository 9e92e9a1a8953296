package agent

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
)

// TestStopUnderLoad: Stop ends an agent under load soon and cleanly; clients see it
// go, and nothing is wrong with the log.
func TestStopUnderLoad(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	var group sync.WaitGroup
	var signed atomic.Int64
	for range 8 {
		c := f.dial()
		group.Go(func() {
			for {
				_, err := c.Sign(t.Context(), client.Request{URL: sandboxURL})
				switch {
				case err == nil:
					signed.Add(1)
				case errors.Is(err, client.ErrAgent), errors.Is(err, client.ErrLocked):
					return
				default:
					t.Errorf("Sign: %v", err)
					return
				}
			}
		})
	}
	admin := f.dialAdmin()
	group.Go(func() {
		for {
			if _, err := admin.Unlock(t.Context(), f.sealer(testPassphrase), 0); err != nil {
				if !errors.Is(err, client.ErrAgent) && !errors.Is(err, client.ErrLocked) {
					t.Errorf("Unlock: %v", err)
				}
				return
			}
		}
	})
	eventually(t, 2*inTime, func() string {
		if signed.Load() < 200 {
			return "few signatures"
		}
		return ""
	})
	begin := time.Now()
	if err := f.admin.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	f.waitEnd()
	if took := time.Since(begin); took > inTime {
		t.Errorf("stopping took %s", took)
	}
	group.Wait()
	log := f.entries()
	if last := log[len(log)-1]; last.Event != audit.EventAgentStop {
		t.Errorf("last entry: got %+v", last)
	}
	if r, err := audit.CheckDir(f.paths.AuditDir, audit.Trust{}); err != nil || !r.OK {
		t.Errorf("CheckDir: got %+v, %v", r, err)
	}
}
