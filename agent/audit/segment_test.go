package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/needs"
)

// small lets a log roll after a few entries.
var small = Options{SegmentSize: 2000, FlushEvery: time.Millisecond}

func openSmall(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(dir, small)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// grow appends until the log of dir has at least n closed segments.
func grow(t testing.TB, l *Log, n int) {
	t.Helper()
	for i := 0; len(mustSegments(t, l.dir)) < n; i++ {
		if _, err := l.AppendSync(use(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func mustSegments(t testing.TB, dir string) []uint64 {
	t.Helper()
	firsts, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	return firsts
}

// wantChain fails the test unless the whole log of dir verifies, each segment begins
// with the entry that its name tells, and no file of a roll is left.
func wantChain(t testing.TB, dir string, least uint64) {
	t.Helper()
	res, err := CheckDir(dir, Trust{})
	if err != nil || !res.OK || res.Entries < least {
		t.Fatalf("verify: got %+v, %v, want at least %d good entries", res, err, least)
	}
	for _, first := range mustSegments(t, dir) {
		p, err := os.ReadFile(filepath.Join(dir, segmentName(first)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(p, fmt.Appendf(nil, `{"seq":%d,`, first)) {
			t.Errorf("%s begins with %.20s", segmentName(first), p)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, nextName)); err == nil {
		t.Errorf("%s is left", nextName)
	}
}

func TestSegmentsAreOneChain(t *testing.T) {
	dir := newDir(t)
	for round := 1; round <= 3; round++ {
		l := openSmall(t, dir)
		grow(t, l, 2*round)
		mustClose(t, l)
		wantChain(t, dir, uint64(round))
	}
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all := entries(t, r)
	for i, e := range all {
		if e.Seq != uint64(i+1) {
			t.Fatalf("entry %d stands at place %d", e.Seq, i+1)
		}
	}
	fi, err := os.Stat(filepath.Join(dir, segmentName(1)))
	if err != nil || fi.Mode().Perm() != 0o600 || fi.Size() < small.SegmentSize {
		t.Errorf("the first segment: %v, %v", fi, err)
	}
}

// Callers of a crowd lose nothing and see no error while the log rolls under them.
func TestRollWhileManyAppend(t *testing.T) {
	dir := newDir(t)
	l := openSmall(t, dir)
	var wg sync.WaitGroup
	var stop atomic.Bool
	var acknowledged atomic.Uint64
	for range 8 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if _, err := l.Append(use(i)); err != nil {
					t.Error(err)
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	for start := time.Now(); len(mustSegments(t, dir)) < 5 && time.Since(start) < time.Minute; {
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	wg.Wait()
	mustClose(t, l)
	wantChain(t, dir, acknowledged.Load())
	if n := len(mustSegments(t, dir)); n < 5 {
		t.Errorf("%d segments", n)
	}
}

// After every step of closing a segment the process may die, or the power go. What is
// left on the disk is copied there, and must open as the same log.
func TestCrashAtEveryStepOfARoll(t *testing.T) {
	dir := newDir(t)
	l := openSmall(t, dir)
	grow(t, l, 1)
	mustAppend(t, l, 2)
	mustClose(t, l)
	res, err := CheckDir(dir, Trust{})
	if err != nil || !res.OK {
		t.Fatal(res, err)
	}
	first := mustSegments(t, dir)[0]
	firstOfActive, err := firstOf(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	active, next, closed := filepath.Join(dir, fileName), filepath.Join(dir, nextName), filepath.Join(dir, segmentName(firstOfActive))
	check := func(step string) {
		t.Helper()
		copied := filepath.Join(t.TempDir(), "copy")
		copyLog(t, dir, copied)
		for range 2 {
			l := openSmall(t, copied)
			if seq, _ := l.Head(); seq < res.Entries {
				t.Fatalf("%s: the log ends at %d, want %d", step, seq, res.Entries)
			}
			mustAppend(t, l, 1)
			mustClose(t, l)
		}
		wantChain(t, copied, res.Entries+2)
		if got := mustSegments(t, copied)[0]; got != first {
			t.Errorf("%s: the first segment begins at %d", step, got)
		}
	}
	check("before")
	if err := os.WriteFile(next, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check("new file made")
	if err := os.Link(active, closed); err != nil {
		t.Fatal(err)
	}
	check("second name given")
	if err := os.Rename(next, active); err != nil {
		t.Fatal(err)
	}
	check("first name taken")
}

func firstOf(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return firstSeq(f, 0)
}

// copyLog copies a log directory with its hard links.
func copyLog(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	made := make(map[uint64]string)
	for _, d := range names {
		fi, err := d.Info()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(to, d.Name())
		inode := fi.Sys().(*syscall.Stat_t).Ino
		if old, ok := made[inode]; ok {
			err = os.Link(old, path)
		} else {
			var p []byte
			if p, err = os.ReadFile(filepath.Join(from, d.Name())); err == nil {
				err = os.WriteFile(path, p, 0o600)
			}
			made[inode] = path
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSegmentsChanged(t *testing.T) {
	dir := newDir(t)
	l := openSmall(t, dir)
	grow(t, l, 3)
	mustAppend(t, l, 1)
	mustClose(t, l)
	firsts := mustSegments(t, dir)
	last := filepath.Join(dir, segmentName(firsts[2]))
	good, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	lines := splitLines(good)
	for name, bad := range map[string][]byte{
		"last line changed": bytes.Replace(good, lines[len(lines)-1], bytes.Replace(lines[len(lines)-1], []byte("GET"), []byte("PUT"), 1), 1),
		"last line removed": bytes.TrimSuffix(good, lines[len(lines)-1]),
		"cut":               good[:len(good)-10],
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(last, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, small); !errors.Is(err, ErrBroken) {
				t.Errorf("Open: got %v, want ErrBroken", err)
			}
			if res, err := CheckDir(dir, Trust{}); err != nil || res.OK || res.FirstBad > firsts[2]+uint64(len(lines)) || res.FirstBad < firsts[2] {
				t.Errorf("verify: got %+v, %v", res, err)
			}
		})
	}
	if err := os.WriteFile(last, good, 0o600); err != nil {
		t.Fatal(err)
	}
	wantChain(t, dir, 1)
	if err := os.Remove(filepath.Join(dir, segmentName(firsts[1]))); err != nil {
		t.Fatal(err)
	}
	if res, err := CheckDir(dir, Trust{}); err != nil || res.OK || res.FirstBad != firsts[1] {
		t.Errorf("without the second segment: got %+v, %v", res, err)
	}
}

// A log that cannot be closed as a segment goes on growing, and rolls later.
func TestRollIsPutOff(t *testing.T) {
	dir := newDir(t)
	l := openSmall(t, dir)
	blocker := filepath.Join(dir, segmentName(1))
	if err := os.Mkdir(blocker, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		if _, err := l.AppendSync(use(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	grow(t, l, 1)
	mustClose(t, l)
	wantChain(t, dir, 30)
}

// TestKillWhileRolling kills a process that rolls all the time.
func TestKillWhileRolling(t *testing.T) {
	dir := newDir(t)
	most, kills := uint64(0), 20
	if needs.Long() {
		kills = 200
	}
	for range kills {
		most = max(most, killOne(t, "roll", dir))
		l := openSmall(t, dir)
		seq, _ := l.Head()
		mustClose(t, l)
		if seq < most {
			t.Fatalf("entry %d was acknowledged, the log ends at %d", most, seq)
		}
	}
	wantChain(t, dir, most)
	t.Logf("%d kills, %d segments", kills, len(mustSegments(t, dir)))
}

// Reading while segments are closed gives every entry once, in order.
func TestReadWhileRolling(t *testing.T) {
	dir := newDir(t)
	l := openSmall(t, dir)
	mustAppend(t, l, 1)
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !stop.Load(); i++ {
			if _, err := l.AppendSync(use(i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for start := time.Now(); len(mustSegments(t, dir)) < 10 && time.Since(start) < time.Minute; {
		r, err := OpenReader(dir)
		if err != nil {
			t.Fatal(err)
		}
		p, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		p = p[:bytes.LastIndexByte(p, '\n')+1]
		if res := verifyBytes(t, p); !res.OK {
			t.Fatalf("got %+v", res)
		}
	}
	stop.Store(true)
	wg.Wait()
}

func TestSegmentNames(t *testing.T) {
	dir := newDir(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		segmentName(1), segmentName(700), segmentName(25), "audit-1.jsonl", "audit-0000000000000000.jsonl",
		"audit-00000000000000002.jsonl", "audit--000000000000003.jsonl", "audit.jsonl", "audit.torn-1", "audit-0000000000000004.jsonl.gz",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := mustSegments(t, dir); !slices.Equal(got, []uint64{1, 25, 700}) {
		t.Errorf("got %v", got)
	}
	if strings.Compare(segmentName(700), fileName) > 0 {
		t.Error("a shell's audit*.jsonl does not give the segments in order")
	}
}

// With Strict, Append returns after its fsync, and callers at once share one.
func TestStrictSharesFsyncs(t *testing.T) {
	l, d, dir := openFaulty(t)
	l.opts.Strict = true
	const callers, each = 64, 20
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := range each {
				seq, err := l.Append(use(i))
				if err != nil {
					t.Error(err)
					return
				}
				if _, synced, _ := l.current.Load().state(); synced.Seq < seq {
					t.Errorf("entry %d was acknowledged, fsynced is %d", seq, synced.Seq)
				}
			}
		})
	}
	wg.Wait()
	if n := d.syncs.Load(); n > callers*each/2 {
		t.Errorf("%d fsyncs for %d entries of %d callers", n, callers*each, callers)
	} else {
		t.Logf("%d fsyncs for %d entries of %d callers", n, callers*each, callers)
	}
	mustClose(t, l)
	wantGood(t, dir, callers*each)
}

func TestStrictFailsWithItsFsync(t *testing.T) {
	l, d, _ := openFaulty(t)
	l.opts.Strict = true
	d.failSync = syscall.EIO
	if _, err := l.Append(use(0)); !errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v, want ErrUnavailable from EIO", err)
	}
}
