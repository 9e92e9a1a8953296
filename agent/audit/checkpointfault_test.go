package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A checkpoint that cannot be written stops no entry. Status tells of it, and once there
// is room it is made.
func TestCheckpointThatCannotBeWritten(t *testing.T) {
	for _, name := range []string{keyFile, checkpointsName} {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			l := mustOpen(t, dir)
			blocker := filepath.Join(dir, name)
			if err := os.Mkdir(blocker, 0o700); err != nil {
				t.Fatal(err)
			}
			c := l.StartCheckpoints(newKeys())
			mustAppend(t, l, 300)
			mustAppendSync(t, l)
			waitFor(t, func() bool { return l.CheckpointStatus().Err != nil })
			if err := l.Err(); err != nil {
				t.Fatalf("the log failed: %v", err)
			}
			mustAppendSync(t, l)
			c.Stop()
			if err := os.Remove(blocker); err != nil {
				t.Fatal(err)
			}
			c = l.StartCheckpoints(newKeys())
			c.Stop()
			mustHaveCovered(t, l)
			mustClose(t, l)
			wantChecked(t, dir, Trust{})
		})
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come in time")
		}
	}
}

// A key that was lost starts a new chain, and never in silence: an entry says so, and who
// holds the first key sees where its chain ends.
func TestLostKey(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"missing":    os.Remove,
		"unreadable": nil, // another vault
		"damaged":    func(path string) error { return os.WriteFile(path, []byte("rubbish"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := signedLog(t, 1, 300)
			key := firstKey(t, dir)
			keys := newKeys()
			if lose == nil {
				keys.vault = "other"
			} else if err := lose(filepath.Join(dir, keyFile)); err != nil {
				t.Fatal(err)
			}
			l := openSmall(t, dir)
			c := l.StartCheckpoints(keys)
			waitFor(t, func() bool { return l.CheckpointStatus().Size > 301 })
			c.Stop()
			mustHaveCovered(t, l)
			mustClose(t, l)
			r := wantChecked(t, dir, Trust{})
			if len(r.Starts) != 2 || r.Starts[0] != key {
				t.Fatalf("starts: got %v", r.Starts)
			}
			wantChecked(t, dir, Trust{Keys: r.Starts})
			bad, err := CheckDir(dir, Trust{Keys: []string{key}})
			if err != nil || bad.OK || bad.FirstBad != 302 || !strings.Contains(bad.Why, "key was lost") {
				t.Errorf("with the first key: got %+v, %v", bad, err)
			}
			log, err := OpenReader(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			all := entries(t, log)
			e := all[301]
			if e.Event != EventAuditKey || !strings.HasSuffix(e.Detail, "before="+name) {
				t.Errorf("entry 302: got %+v", e)
			}
		})
	}
}

// A state of the key, or a file of checkpoints, that is older than the other is not gone
// on with: a key would sign twice.
func TestOlderFilesAreNotContinued(t *testing.T) {
	t.Run("several times", func(t *testing.T) { testOlderFiles(t, signedLog(t, 1, 300)) })

	// A key file that holds the chain from its beginning was once continued.
	dir := newDir(t)
	l := openSmall(t, dir)
	mustAppend(t, l, 300)
	mustAppendSync(t, l)
	l.StartCheckpoints(newKeys()).Stop()
	mustHaveCovered(t, l)
	mustClose(t, l)
	t.Run("all at once", func(t *testing.T) { testOlderFiles(t, dir) })
}

func testOlderFiles(t *testing.T, first string) {
	second := newDir(t)
	copyLog(t, first, second)
	l := openSmall(t, second)
	c := l.StartCheckpoints(newKeys())
	mustAppendSync(t, l)
	c.Stop()
	mustClose(t, l)
	for name, old := range map[string]string{"key": keyFile, "checkpoints": checkpointsName} {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			copyLog(t, second, dir)
			p, err := os.ReadFile(filepath.Join(first, old))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, old), p, 0o600); err != nil {
				t.Fatal(err)
			}
			before := len(mustCheckpoints(t, dir))
			l := openSmall(t, dir)
			c := l.StartCheckpoints(newKeys())
			mustAppendSync(t, l)
			c.Stop()
			s := l.CheckpointStatus()
			mustClose(t, l)
			if old == checkpointsName { // the one that is missing is in the key file
				wantChecked(t, dir, Trust{Held: mustCheckpoints(t, second)})
				return
			}
			if !errors.Is(s.Err, ErrBroken) || len(mustCheckpoints(t, dir)) != before {
				t.Errorf("got %+v, want ErrBroken and nothing signed", s)
			}
		})
	}
}

// What was changed in the log behind the back of the agent is not signed, be it an entry
// that another one follows or the last.
func TestChangedEntriesAreNotSigned(t *testing.T) {
	for _, entry := range []int{7, 20} {
		t.Run(fmt.Sprint("entry ", entry), func(t *testing.T) {
			dir := newDir(t)
			l := mustOpen(t, dir)
			mustAppend(t, l, 20)
			mustAppendSync(t, l)
			p := contents(t, dir)
			line := splitLines(p)[entry]
			i := bytes.Index(p, line) + bytes.Index(line, []byte("/customer/"))
			f, err := os.OpenFile(filepath.Join(dir, fileName), os.O_WRONLY, 0) // in place: same file, same length
			if err == nil {
				_, err = f.WriteAt([]byte("/kustomer/"), int64(i))
			}
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			c := l.StartCheckpoints(newKeys())
			waitFor(t, func() bool { return errors.Is(l.CheckpointStatus().Err, ErrBroken) })
			c.Stop()
			mustClose(t, l)
			if p, err := LastCheckpoint(dir); p != nil || err != nil {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
}

// A log whose end was cut off below a checkpoint is not gone on with.
func TestCutBelowACheckpoint(t *testing.T) {
	dir := newDir(t)
	l := mustOpen(t, dir)
	c := l.StartCheckpoints(newKeys())
	mustAppend(t, l, 20)
	mustAppendSync(t, l)
	c.Stop()
	mustClose(t, l)
	lines := splitLines(contents(t, dir))
	for _, n := range []int{0, 1, 20} {
		if err := os.WriteFile(filepath.Join(dir, fileName), bytes.Join(lines[:n], nil), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrBroken) {
			t.Errorf("%d of 21 lines: got %v, want ErrBroken", n, err)
		}
		if r, err := CheckDir(dir, Trust{}); err != nil || r.OK || r.FirstBad != uint64(n+1) || r.Entries != uint64(n) {
			t.Errorf("%d of 21 lines: got %+v, %v", n, r, err)
		}
	}
}

// Segments that were deleted leave a log that goes on, and verifies for whoever holds a
// key or a later checkpoint.
func TestDeletedSegments(t *testing.T) {
	dir := signedLog(t, 2, 300)
	key, all := firstKey(t, dir), mustCheckpoints(t, dir)
	firsts := mustSegments(t, dir)
	for n, first := range firsts {
		if err := os.Remove(filepath.Join(dir, segmentName(first))); err != nil {
			t.Fatal(err)
		}
		if n%10 != 0 && n < len(firsts)-1 {
			continue
		}
		l := openSmall(t, dir)
		c := l.StartCheckpoints(newKeys())
		mustAppendSync(t, l)
		c.Stop()
		mustHaveCovered(t, l)
		mustClose(t, l)
		next := uint64(0)
		if n+1 < len(firsts) {
			next = firsts[n+1]
		} else if next, _ = firstOf(filepath.Join(dir, fileName)); next == 0 {
			t.Fatal("the active file is empty")
		}
		r := wantChecked(t, dir, Trust{Keys: []string{key}})
		if r.First != next {
			t.Errorf("first entry: got %d, want %d", r.First, next)
		}
		wantChecked(t, dir, Trust{Held: all[len(all)-1:]})
		if r, err := CheckDir(dir, Trust{}); err != nil || r.OK || r.FirstBad != 1 {
			t.Errorf("without trust: got %+v, %v", r, err)
		}
	}
}
