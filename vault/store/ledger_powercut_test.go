package store

import (
	"bytes"
	"fmt"
	"os"
	"testing"
)

// flakyDisk records what an append writes and fsyncs, and knows what a disk that
// lost power may then hold: what was fsynced, and of each later write any part, in
// sectors that are old, new or, outside of the head, rubbish.
type flakyDisk struct {
	ledgerFile
	durable []byte
	pending []sectorWrite
	check   func(when string)
	lose    string // "write 0" or "sync 1": an operation that does not reach the disk
	writes  int
	syncs   int
}

type sectorWrite struct {
	off  int64
	data []byte
}

func (d *flakyDisk) WriteAt(p []byte, off int64) (int, error) {
	d.check(fmt.Sprintf("before write %d", d.writes))
	if d.lose != fmt.Sprintf("write %d", d.writes) {
		d.pending = append(d.pending, sectorWrite{off, bytes.Clone(p)})
	}
	d.writes++
	return d.ledgerFile.WriteAt(p, off)
}

func (d *flakyDisk) Sync() error {
	d.check(fmt.Sprintf("before sync %d", d.syncs))
	if d.lose != fmt.Sprintf("sync %d", d.syncs) {
		for _, w := range d.pending {
			d.durable = w.apply(d.durable, len(w.data))
		}
		d.pending = nil
	}
	d.syncs++
	return d.ledgerFile.Sync()
}

// apply returns disk with the first n bytes of w.
func (w sectorWrite) apply(disk []byte, n int) []byte {
	disk = bytes.Clone(disk)
	if grow := int(w.off) + n - len(disk); grow > 0 {
		disk = append(disk, make([]byte, grow)...)
	}
	copy(disk[w.off:], w.data[:n])
	return disk
}

// states returns what w may have made of disk. The head is one sector, which a
// disk writes whole or not at all.
func (w sectorWrite) states(disk []byte) [][]byte {
	whole := w.apply(disk, len(w.data))
	if w.off == 0 {
		return [][]byte{disk, whole}
	}
	rubbish := sectorWrite{w.off, bytes.Repeat([]byte{0xa5}, len(w.data))}
	zeros := sectorWrite{w.off, make([]byte, len(w.data))}
	return [][]byte{disk, whole, w.apply(disk, len(w.data)/2), rubbish.apply(disk, len(w.data)), zeros.apply(disk, len(w.data))}
}

func (d *flakyDisk) afterPowerCut() [][]byte {
	states := [][]byte{d.durable}
	for _, w := range d.pending {
		var next [][]byte
		for _, s := range states {
			next = append(next, w.states(s)...)
		}
		states = next
	}
	return states
}

// findBrokenLedger appends twice, takes the power away before and after each step,
// and returns the first state of the disk that breaks the promise of Append.
func findBrokenLedger(t *testing.T, lose string) string {
	t.Helper()
	path := ledgerPath(t)
	l := mustOpen(t, path)
	mustAppend(t, l, Entry{1, subject(16, 1), 1})
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	disk := &flakyDisk{ledgerFile: l.file, durable: image, lose: lose}
	broken := ""
	acknowledged := uint64(1)
	disk.check = func(when string) {
		for _, state := range disk.afterPowerCut() {
			value := uint64(0)
			_, err := l.codec.decode(state, func(_ uint64, e Entry) { value = e.Value })
			if broken == "" && (err != nil || value != acknowledged && value != acknowledged+1) {
				broken = fmt.Sprintf("%s: value %d after %d was acknowledged, %v", when, value, acknowledged, err)
			}
		}
	}
	l.file = disk
	for value := uint64(2); value <= 3; value++ {
		mustAppend(t, l, Entry{1, subject(32, 1), value - 1}, Entry{1, subject(16, 1), value})
		acknowledged = value
		disk.check(fmt.Sprintf("after append %d", value))
	}
	if disk.writes != 4 || disk.syncs != 4 {
		t.Errorf("%d writes and %d fsyncs for two appends, want 4 and 4", disk.writes, disk.syncs)
	}
	return broken
}

func TestLedgerPowerCutLeavesOldOrNew(t *testing.T) {
	if state := findBrokenLedger(t, ""); state != "" {
		t.Error(state)
	}
}

// TestLedgerPowerCutModelSeesMissingSteps shows that the model would notice.
func TestLedgerPowerCutModelSeesMissingSteps(t *testing.T) {
	for _, lose := range []string{"write 0", "write 1", "sync 0", "sync 1", "sync 2", "sync 3"} {
		if findBrokenLedger(t, lose) == "" {
			t.Errorf("without %s no state is broken", lose)
		}
	}
}
