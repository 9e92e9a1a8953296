//go:build !race

// These tests look at the product from outside, which has no race detector: one run
// of them is enough.

package agent

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// cutState is a state of the disk at some moment, and what had been promised then.
type cutState struct {
	when string
	disk image
	promised
}

// TestPowerCutOfTheAgent guards C-01, P7 and P9 with the product: at each fsync of the
// running agent, before it and behind it, the power goes. What the disk may have then,
// four states each time, is what an agent starts from: the vault opens, old or new, with
// each blob, what was acknowledged is there, the ledger counts what it counted, and the
// log holds and has every change that was acknowledged.
//
// The short form starts from every eighth state.
func TestPowerCutOfTheAgent(t *testing.T) {
	h := newHistory(t)
	h.begin()
	h.round("first", false)
	d := newDisk(t, filepath.Dir(h.d.paths.Vault), h.d.paths.AuditDir)

	var cuts []cutState
	met := make(map[[sha256.Size]byte]int)
	moments := 0
	atEachFsync(t, h.d.pid, d, func() {
		h.round("second", false)
		h.round("third", false)
	}, func(when string, images []image) {
		moments++
		now := h.promises()
		for _, m := range images {
			// The same state later on has to fulfil what was promised by then.
			if i, again := met[m.sum()]; again {
				cuts[i].when, cuts[i].promised = when, now
				continue
			}
			met[m.sum()] = len(cuts)
			cuts = append(cuts, cutState{when, m, now})
		}
	})
	h.d.stop()
	if moments < 40 {
		t.Errorf("control: %d moments only", moments)
	}
	started := 0
	for i, c := range cuts {
		if needs.Long() || i%8 == 0 || i == len(cuts)-1 {
			started++
			h.startsFrom(c)
		}
	}
	t.Logf("%d moments, %d states of the disk, started from %d", moments, len(cuts), started)
}

// TestPowerCutNoticesLoss shows that a disk which forgets fsyncs would be noticed: from
// what was safe before a round, no agent has what the round was told.
func TestPowerCutNoticesLoss(t *testing.T) {
	h := newHistory(t)
	h.begin()
	d := newDisk(t, filepath.Dir(h.d.paths.Vault), h.d.paths.AuditDir)
	old := d.images()[0]
	h.round("lost", false)
	now := h.promises()
	if got := len(newDisk(t, d.roots...).names); got < 3 {
		t.Fatalf("%d directories, want vault, blobs and log", got)
	}
	h.d.stop()
	faults := h.faultsOf(cutState{"before the round", old, now})
	for _, want := range []string{"lost is gone", "value 0", "the log has"} {
		if !strings.Contains(faults, want) {
			t.Errorf("control: %q does not speak of %q", faults, want)
		}
	}
}

// startsFrom starts an agent on a state of the disk.
func (h *history) startsFrom(c cutState) {
	h.d.t.Helper()
	if faults := h.faultsOf(c); faults != "" {
		h.d.t.Errorf("power cut %s: %s", c.when, faults)
	}
}

// faultsOf starts an agent on a state of the disk, in a home of its own, and says what
// was promised and is not so.
func (h *history) faultsOf(c cutState) string {
	t := h.d.t
	t.Helper()
	d := emptyHome(t, h.d.uid)
	c.disk.write(t, h.d.home, d.home)
	var faults []string
	if wrong, ok := wrongTries(t, d); !ok || wrong != c.wrong && wrong != c.last && (wrong != 0 || !c.opening) {
		faults = append(faults, "the ledger does not count as it did")
	}
	d.start()
	d.unlock()
	list := d.must("profile", "ls")
	for name := range c.stored {
		if !strings.Contains(list, name+" ") {
			faults = append(faults, name+" is gone")
		}
	}
	d.must("sign", "-q", "-p", "acme", sandboxURL)
	d.must("vault", "fsck")
	d.stop()
	if n := storedNumber(t, d, h.arena); n < c.value || n > c.sent {
		faults = append(faults, fmt.Sprintf("value %d of the long secret is there", n))
	}
	edits := 0
	for _, e := range readLog(t, d.paths.AuditDir) {
		if e.Event == audit.EventProfileEdit && e.Outcome == audit.OutcomeOK {
			edits++
		}
	}
	if _, stored := recordedBy(t, d); stored < len(c.stored) || edits < c.value {
		faults = append(faults, "the log has fewer changes than were acknowledged")
	}
	if r, err := audit.CheckDir(d.paths.AuditDir, audit.Trust{}); err != nil || !r.OK {
		t.Errorf("power cut %s: CheckDir: got %+v, %v", c.when, r, err)
	}
	return strings.Join(faults, "; ")
}

// wrongTries returns what the ledger of a daemon that does not run counts.
func wrongTries(t *testing.T, d *daemon) (n int, ok bool) {
	t.Helper()
	v, err := vault.Open(t.Context(), vault.Config{Store: store.NewFile(d.paths.Vault), Arena: d.arena, MachineKeyFile: d.paths.MachineKey})
	if err != nil {
		t.Error(err)
		return 0, false
	}
	l, end, err := ledgerOf(t, d.paths, v)
	if err != nil {
		t.Error(err)
		return 0, false
	}
	defer end()
	wrong, _ := l.Get(ledgerUnlockFailures, v.ID())
	return int(wrong), true // #nosec G115 -- a few
}

func ledgerOf(t *testing.T, paths socketpath.Paths, v *vault.Vault) (l *store.Ledger, end func(), err error) {
	t.Helper()
	key, _, err := v.MachineKey(t.Context())
	if err != nil {
		return nil, nil, err
	}
	if l, err = store.OpenLedger(t.Context(), paths.Ledger, v.ID(), key.HMACSHA256); err != nil {
		key.Destroy()
		return nil, nil, err
	}
	return l, func() {
		_ = l.Close()
		key.Destroy()
	}, nil
}
