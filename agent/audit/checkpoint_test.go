package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/nsagent/nsagent/internal/needs"
)

// signedLog returns the directory of a closed log of n entries with checkpoints, made in
// rounds of unlock and lock of the same vault.
func signedLog(t testing.TB, rounds, each int) string {
	t.Helper()
	dir := newDir(t)
	for range rounds {
		l := openSmall(t, dir)
		c := l.StartCheckpoints(newKeys())
		mustAppend(t, l, each)
		mustAppendSync(t, l)
		c.Stop()
		mustHaveCovered(t, l)
		mustClose(t, l)
	}
	return dir
}

func mustAppendSync(t testing.TB, l *Log) {
	t.Helper()
	if _, err := l.AppendSync(use(7)); err != nil {
		t.Fatal(err)
	}
}

func mustHaveCovered(t testing.TB, l *Log) {
	t.Helper()
	seq, _ := l.Head()
	if s := l.CheckpointStatus(); s.Err != nil || s.Active || s.Size != seq {
		t.Fatalf("checkpoints: got %+v, want %d entries covered", s, seq)
	}
}

func wantChecked(t testing.TB, dir string, trust Trust) Report {
	t.Helper()
	r, err := CheckDir(dir, trust)
	if err != nil || !r.OK {
		t.Fatalf("check: got %+v, %v", r, err)
	}
	return r
}

// firstKey returns the verifier key that the log of dir starts with.
func firstKey(t testing.TB, dir string) string {
	t.Helper()
	return mustCheckpoints(t, dir)[0].Start
}

func mustCheckpoints(t testing.TB, dir string) []Checkpoint {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, checkpointsName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := ReadCheckpoints(f)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The roots are those that tlog computes from all stored hashes.
func TestTreeIsThatOfTlog(t *testing.T) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, n := range indexes {
			out[i] = stored[n]
		}
		return out, nil
	})
	var mine tree
	for n := range int64(300) {
		line := fmt.Appendf(nil, "line %d\n", n)
		more, err := tlog.StoredHashes(n, line, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		mine.add(line)
		want, err := tlog.TreeHash(n+1, reader)
		if err != nil || !mine.valid() || mine.root() != want {
			t.Fatalf("%d lines: got %v, want %v, %v", n+1, mine.root(), want, err)
		}
	}
}

func TestCheckpointsCoverTheLog(t *testing.T) {
	dir := signedLog(t, 3, 600)
	all := mustCheckpoints(t, dir)
	for i, p := range all {
		if i > 0 && p.Size > all[i-1].Size+checkpointEntries {
			t.Errorf("%d entries between two checkpoints", p.Size-all[i-1].Size)
		}
		if (p.Start != "") != (i == 0) {
			t.Errorf("checkpoint %d: start %q", i, p.Start)
		}
	}
	r := wantChecked(t, dir, Trust{Keys: []string{firstKey(t, dir)}})
	if r.Entries != 3*601 || r.Covered() != r.Entries || r.Checkpoints != uint64(len(all)) || len(r.Starts) != 1 {
		t.Errorf("got %+v", r)
	}
	for i := range all {
		wantChecked(t, dir, Trust{Held: all[i : i+1]})
	}
	wantChecked(t, dir, Trust{Held: all})
	if p, err := LastCheckpoint(dir); err != nil || p.Size != r.Entries {
		t.Errorf("LastCheckpoint: got %+v, %v", p, err)
	}
	for _, name := range []string{keyFile, checkpointsName} {
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
}

// No key signs twice, and no key that has signed is left on the disk.
func TestKeysAreUsedOnce(t *testing.T) {
	dir := signedLog(t, 4, 300)
	used := make(map[string]bool)
	for _, p := range mustCheckpoints(t, dir) {
		if p.Start != "" {
			used[p.Start] = true
		}
		if used[p.Next] {
			t.Errorf("key %s is named twice", p.Next)
		}
		used[p.Next] = true
	}
	state, err := readKeyState(dir)
	if err != nil {
		t.Fatal(err)
	}
	keys := newKeys()
	if err := keys.Restore(state.sealed); err != nil {
		t.Fatal(err)
	}
	public, _ := keys.Public()
	last := mustCheckpoints(t, dir)
	if got := verifierKey(last[0].Origin, public); got != last[len(last)-1].Next {
		t.Errorf("the key on the disk is %s, and the last checkpoint names %s", got, last[len(last)-1].Next)
	}
}

// While locked there are no checkpoints; the first after the unlock covers what was
// written meanwhile.
func TestLinesWhileLockedAreCoveredLater(t *testing.T) {
	dir := newDir(t)
	l := mustOpen(t, dir)
	mustAppend(t, l, 500)
	mustAppendSync(t, l)
	if s := l.CheckpointStatus(); s != (CheckpointStatus{}) {
		t.Fatalf("locked: got %+v", s)
	}
	c := l.StartCheckpoints(newKeys())
	c.Stop()
	mustHaveCovered(t, l)
	mustAppend(t, l, 500)
	mustAppendSync(t, l)
	if s := l.CheckpointStatus(); s.Size != 501 || s.Active {
		t.Fatalf("locked again: got %+v", s)
	}
	c = l.StartCheckpoints(newKeys())
	for s := l.CheckpointStatus(); s.Size != 1002; s = l.CheckpointStatus() {
		if s.Err != nil {
			t.Fatal(s.Err)
		}
		time.Sleep(time.Millisecond)
	}
	if s := l.CheckpointStatus(); !s.Active {
		t.Errorf("unlocked: got %+v", s)
	}
	c.Stop()
	mustClose(t, l)
	wantChecked(t, dir, Trust{Keys: []string{firstKey(t, dir)}})
}

func TestFinishCoversItsEntry(t *testing.T) {
	dir := newDir(t)
	l := mustOpen(t, dir)
	l.StartCheckpoints(newKeys())
	mustAppend(t, l, 3)
	if err := l.Finish(Event{Event: EventAgentStop, Outcome: OutcomeOK}); err != nil {
		t.Fatal(err)
	}
	if r := wantChecked(t, dir, Trust{}); r.Entries != 4 || r.Covered() != 4 {
		t.Errorf("got %+v", r)
	}
}

// A crash between the steps of making a checkpoint durable, or a power cut that takes the
// last of them back, leaves a log that goes on with the same chain of keys.
func TestCrashWhileACheckpointIsKept(t *testing.T) {
	dir := signedLog(t, 2, 300)
	all := mustCheckpoints(t, dir)
	key := firstKey(t, dir)
	path := filepath.Join(dir, checkpointsName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	state, err := readKeyState(dir)
	if err != nil {
		t.Fatal(err)
	}
	var part []byte // what the key file holds, too
	for i := range state.signed {
		part = append(state.signed[i].AppendNote(part), '\n')
	}
	before := len(whole) - len(part)
	for n := before; n <= len(whole); n += 37 {
		copied := filepath.Join(t.TempDir(), "copy")
		copyLog(t, dir, copied)
		if err := os.WriteFile(filepath.Join(copied, checkpointsName), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		l := openSmall(t, copied)
		c := l.StartCheckpoints(newKeys())
		mustAppendSync(t, l)
		c.Stop()
		mustHaveCovered(t, l)
		mustClose(t, l)
		wantChecked(t, copied, Trust{Keys: []string{key}, Held: all})
	}
}

func TestKillWhileCheckpointing(t *testing.T) {
	dir := newDir(t)
	most, kills := uint64(0), 15
	if needs.Long() {
		kills = 150
	}
	var held []Checkpoint
	for range kills {
		most = max(most, killOne(t, "checkpoints", dir))
		trust := Trust{Held: held}
		if len(held) > 0 {
			trust.Keys = []string{held[0].Start}
		}
		l := openSmall(t, dir)
		c := l.StartCheckpoints(newKeys())
		c.Stop()
		mustHaveCovered(t, l)
		mustClose(t, l)
		if r := wantChecked(t, dir, trust); r.Entries < most || len(r.Starts) != 1 {
			t.Fatalf("got %+v, want at least %d entries", r, most)
		}
		held = mustCheckpoints(t, dir)
	}
	t.Logf("%d kills, %d entries, %d checkpoints", kills, most, len(held))
}
