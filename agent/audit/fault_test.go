package audit

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// faultyDisk is a real file that fails when it is told to.
type faultyDisk struct {
	disk
	room         int // bytes that may still be written; -1 means any number
	failSync     error
	failTruncate error
	syncs        atomic.Int32
	beforeSync   func()
}

func (d *faultyDisk) Write(p []byte) (int, error) {
	if d.room < 0 {
		return d.disk.Write(p)
	}
	n := min(d.room, len(p))
	n, err := d.disk.Write(p[:n])
	d.room -= n
	if err == nil && n < len(p) {
		err = syscall.ENOSPC
	}
	return n, err
}

func (d *faultyDisk) Sync() error {
	d.syncs.Add(1)
	if d.beforeSync != nil {
		d.beforeSync()
	}
	if d.failSync != nil {
		return d.failSync
	}
	return d.disk.Sync()
}

func (d *faultyDisk) Truncate(n int64) error {
	if d.failTruncate != nil {
		return d.failTruncate
	}
	return d.disk.Truncate(n)
}

// openFaulty opens a new log whose file is a faultyDisk.
func openFaulty(t testing.TB) (*Log, *faultyDisk, string) {
	t.Helper()
	dir := newDir(t)
	opts, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l := &Log{dir: dir, opts: opts, settled: make(chan struct{}, 1)}
	first, err := openWriter(dir, opts, l.settled)
	if err != nil {
		t.Fatal(err)
	}
	close(first.quit)
	<-first.ended
	d := &faultyDisk{disk: first.file, room: -1}
	l.current.Store(newWriter(active{d, first.path, first.self, first.first, first.size, first.written}, opts, l.settled))
	t.Cleanup(func() { _ = l.Close() })
	return l, d, dir
}

// fill appends until it fails; it returns how many entries were acknowledged.
func fill(l *Log) (int, error) {
	for n := range 100_000 {
		if _, err := l.Append(use(n)); err != nil {
			return n, err
		}
	}
	return 100_000, nil
}

// stayFailed checks that a failed log refuses everything.
func stayFailed(l *Log) error {
	for i := range 3 {
		if seq, err := l.Append(use(i)); !errors.Is(err, ErrUnavailable) || seq != 0 {
			return fmt.Errorf("Append on a failed log: got %d, %v, want ErrUnavailable", seq, err)
		}
		if seq, err := l.AppendSync(use(i)); !errors.Is(err, ErrUnavailable) || seq != 0 {
			return fmt.Errorf("AppendSync on a failed log: got %d, %v, want ErrUnavailable", seq, err)
		}
	}
	if err := l.Err(); !errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("Err of a failed log: got %v, want ErrUnavailable", err)
	}
	return nil
}

func TestShortWriteIsTakenBackAndSticks(t *testing.T) {
	for _, room := range []int{0, 1, 100, 300} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			l, d, dir := openFaulty(t)
			mustAppend(t, l, 3)
			seq, hash := l.Head()
			d.room = room
			if _, err := l.Append(use(3)); !errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("got %v, want ErrUnavailable from ENOSPC", err)
			}
			d.room = -1 // there is room again, and still nothing may go on
			if err := stayFailed(l); err != nil {
				t.Fatal(err)
			}
			if s, h := l.Head(); s != seq || h != hash {
				t.Errorf("head moved to %d", s)
			}
			wantGood(t, dir, 3)
			if err := l.Recover(); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, l, 1)
			mustClose(t, l)
			if e := wantGood(t, dir, 5)[3]; e.Event != EventRecovered || !strings.HasPrefix(e.Detail, "after=failure") {
				t.Errorf("entry 4: got %+v, want audit.recovered", e)
			}
		})
	}
}

func TestShortWriteThatCannotBeTakenBack(t *testing.T) {
	l, d, dir := openFaulty(t)
	mustAppend(t, l, 3)
	d.room, d.failTruncate = 100, syscall.EIO
	if _, err := l.Append(use(3)); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	if res, err := CheckDir(dir, Trust{}); err != nil || res.OK || res.Torn != 100 || res.Entries != 3 || res.FirstBad != 4 {
		t.Errorf("verify: got %+v, %v, want 3 entries and 100 torn bytes", res, err)
	}
	if err := l.Recover(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	all := wantGood(t, dir, 5) // 3, the torn part, the failure
	if !strings.HasPrefix(all[3].Detail, "file=audit.torn-1 bytes=100 sha256=") {
		t.Errorf("entry 4: got detail %q", all[3].Detail)
	}
}

func TestFailedFsyncSticksAndIsNotRetried(t *testing.T) {
	l, d, dir := openFaulty(t)
	d.failSync = syscall.EIO
	if _, err := l.AppendSync(use(0)); !errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v, want ErrUnavailable from EIO", err)
	}
	d.failSync = nil // a second fsync would succeed without having written anything
	if err := stayFailed(l); err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(); err != nil {
		t.Fatal(err)
	}
	if n := d.syncs.Load(); n != 1 {
		t.Errorf("%d fsyncs of the failed descriptor, want 1", n)
	}
	mustClose(t, l)
	if e := wantGood(t, dir, 2)[1]; e.Detail != "after=failure unsynced=1-1" {
		t.Errorf("entry 2: got detail %q", e.Detail)
	}
}

func TestFailedBackgroundFsyncStopsAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d, _ := openFaulty(t)
		d.failSync = syscall.EIO
		mustAppend(t, l, 2) // written, and the fsync comes later
		time.Sleep(maxFlushEvery)
		synctest.Wait()
		if err := stayFailed(l); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Close: got %v, want the failure", err)
		}
		if n := d.syncs.Load(); n != 1 {
			t.Errorf("%d fsyncs, want 1", n)
		}
	})
}

func TestFsyncComesWithin100ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d, _ := openFaulty(t)
		for round := range int32(3) {
			mustAppend(t, l, 20)
			if n := d.syncs.Load(); n != round {
				t.Fatalf("%d fsyncs before the time, want %d", n, round)
			}
			time.Sleep(maxFlushEvery)
			synctest.Wait()
			if n := d.syncs.Load(); n != round+1 {
				t.Fatalf("%d fsyncs after 20 entries and 100 ms, want %d", n, round+1)
			}
			time.Sleep(time.Hour) // nothing to do, nothing done
		}
	})
}

func TestAppendsGoOnDuringFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d, dir := openFaulty(t)
		hold := make(chan struct{})
		d.beforeSync = func() { <-hold }
		var done atomic.Int32
		for range 4 {
			go func() {
				if _, err := l.AppendSync(use(0)); err != nil {
					t.Error(err)
				}
				done.Add(1)
			}()
		}
		synctest.Wait() // all four written, one fsync under way
		mustAppend(t, l, 10)
		if n := done.Load(); n != 0 {
			t.Errorf("%d administrative entries were acknowledged before their fsync", n)
		}
		if seq, _ := l.Head(); seq != 14 {
			t.Errorf("head: got %d, want 14", seq)
		}
		close(hold)
		synctest.Wait()
		if n := done.Load(); n != 4 {
			t.Errorf("%d administrative entries were acknowledged, want 4", n)
		}
		if n := d.syncs.Load(); n > 2 {
			t.Errorf("%d fsyncs for four callers at once, want at most 2", n)
		}
		mustClose(t, l)
		wantGood(t, dir, 14)
	})
}

func TestRecoverWhileOthersAppend(t *testing.T) {
	l, d, dir := openFaulty(t)
	d.room = 2000
	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				if _, err := l.Append(use(i)); err == nil {
					acknowledged.Add(1)
				} else if !errors.Is(err, ErrUnavailable) {
					t.Error(err)
				} else if err := l.Recover(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	mustClose(t, l)
	wantGood(t, dir, uint64(acknowledged.Load())+1)
}
