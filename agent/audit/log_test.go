package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/needs"
)

func TestAppendThenVerifyAcrossReopen(t *testing.T) {
	dir := newDir(t)
	total := uint64(0)
	for range 3 {
		l := mustOpen(t, dir)
		if seq, _ := l.Head(); seq != total {
			t.Fatalf("head after opening: got %d, want %d", seq, total)
		}
		mustAppend(t, l, 4)
		seq, err := l.AppendSync(Event{Event: EventVaultLock, Outcome: OutcomeOK, UID: 1000, PID: 1, Detail: "idle"})
		if err != nil {
			t.Fatal(err)
		}
		if total += 5; seq != total {
			t.Fatalf("seq: got %d, want %d", seq, total)
		}
		_, hash := l.Head()
		mustClose(t, l)
		res := verifyBytes(t, contents(t, dir))
		if !res.OK || res.Entries != total || res.Head != (Head{Seq: total, Hash: hash}) {
			t.Fatalf("verify: got %+v, want %d entries and the head of the log", res, total)
		}
	}
	for i, e := range wantGood(t, dir, total) {
		if e.Seq != uint64(i+1) {
			t.Errorf("entry %d has seq %d", i+1, e.Seq)
		}
	}
}

func TestZeroTimeMeansNow(t *testing.T) {
	dir := newDir(t)
	l := mustOpen(t, dir)
	before := time.Now().Truncate(time.Microsecond)
	e := use(1)
	e.Time = time.Time{}
	if _, err := l.Append(e); err != nil {
		t.Fatal(err)
	}
	got := wantGood(t, dir, 1)[0].Time
	if got.Before(before) || got.After(time.Now()) || got.Location() != time.UTC {
		t.Errorf("time: got %v, want now in UTC", got)
	}
}

func TestUnknownEventsAreRefused(t *testing.T) {
	dir := newDir(t)
	l := mustOpen(t, dir)
	for _, e := range []Event{
		{},
		{Event: "sign"},
		{Event: "Sign", Outcome: OutcomeOK},
		{Event: "sign", Outcome: "allowed"},
		{Event: `sign","outcome":"ok`, Outcome: OutcomeOK},
	} {
		if _, err := l.Append(e); !errors.Is(err, ErrEvent) {
			t.Errorf("Append(%+v): got %v, want ErrEvent", e, err)
		}
		if _, err := l.AppendSync(e); !errors.Is(err, ErrEvent) {
			t.Errorf("AppendSync(%+v): got %v, want ErrEvent", e, err)
		}
	}
	wantGood(t, dir, 0)
}

func TestCallsAfterClose(t *testing.T) {
	l := mustOpen(t, newDir(t))
	mustClose(t, l)
	if _, err := l.Append(use(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Append: got %v, want ErrClosed", err)
	}
	if _, err := l.AppendSync(use(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("AppendSync: got %v, want ErrClosed", err)
	}
	if err := l.Recover(); !errors.Is(err, ErrClosed) {
		t.Errorf("Recover: got %v, want ErrClosed", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// Nothing follows the entry of Finish, whoever appends meanwhile: an agent's stop was
// once followed by the denial of a call that was still under way.
func TestFinishIsLast(t *testing.T) {
	dir := newDir(t)
	l := mustOpen(t, dir)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				if _, err := l.Append(use(1)); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("Append: got %v, want ErrClosed", err)
					}
					return
				}
			}
		})
	}
	for seq := uint64(0); seq < 100; seq, _ = l.Head() {
		time.Sleep(time.Millisecond)
	}
	if err := l.Finish(Event{Event: EventAgentStop, Outcome: OutcomeOK}); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	found := entries(t, bytes.NewReader(contents(t, dir)))
	if last := found[len(found)-1]; last.Event != EventAgentStop {
		t.Errorf("last entry: got %+v", last)
	}
	wantGood(t, dir, uint64(len(found)))
}

func TestFinishThatCannotBeWritten(t *testing.T) {
	l := mustOpen(t, newDir(t))
	if err := l.Finish(Event{Event: EventAgentStop}); !errors.Is(err, ErrEvent) {
		t.Errorf("Finish: got %v, want ErrEvent", err)
	}
	if _, err := l.Append(use(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Append afterwards: got %v, want ErrClosed", err)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := newDir(t)
	l := mustOpen(t, dir)
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Fatalf("same process: got %v, want ErrInUse", err)
	}
	if out, err := child(t, "open", dir).CombinedOutput(); err == nil || !bytes.Contains(out, []byte(ErrInUse.Error())) {
		t.Fatalf("other process: got %v, %s, want ErrInUse", err, out)
	}
	mustAppend(t, l, 1)
	mustClose(t, l)
	if out, err := child(t, "open", dir).CombinedOutput(); err != nil {
		t.Fatalf("other process after Close: %v, %s", err, out)
	}
}

func TestUnsafePlacesAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(dir, file string) error{
		"directory open to group": func(dir, _ string) error { return os.Chmod(dir, 0o750) },
		"directory open to all":   func(dir, _ string) error { return os.Chmod(dir, 0o701) },
		"directory is a link": func(dir, _ string) error {
			if err := os.Rename(dir, dir+"2"); err != nil {
				return err
			}
			return os.Symlink(dir+"2", dir)
		},
		"directory is a file": func(dir, _ string) error {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			return os.WriteFile(dir, nil, 0o600)
		},
		"file open to group": func(_, file string) error { return os.Chmod(file, 0o640) },
		"file open to all":   func(_, file string) error { return os.Chmod(file, 0o604) },
		"file is a link": func(_, file string) error {
			if err := os.Rename(file, file+"2"); err != nil {
				return err
			}
			return os.Symlink(file+"2", file)
		},
		"file is a dangling link": func(dir, file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(dir, "nowhere"), file)
		},
		"file is a pipe": func(_, file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return mkfifo(file)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := place(t, nil)
			if err := spoil(dir, filepath.Join(dir, fileName)); err != nil {
				t.Fatal(err)
			}
			if l, err := Open(dir, Options{}); !errors.Is(err, ErrUnsafe) {
				t.Errorf("got %v, %v, want ErrUnsafe", l, err)
			}
		})
	}
	t.Run("other owner", func(t *testing.T) {
		needs.Root(t, "gives a file to another user")
		for _, what := range []string{"", fileName} {
			dir := place(t, nil)
			if err := os.Chown(filepath.Join(dir, what), 65534, -1); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, Options{}); !errors.Is(err, ErrUnsafe) {
				t.Errorf("%q of another user: got %v, want ErrUnsafe", what, err)
			}
		}
	})
}

func TestNewFilesAreClosedToOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "nsagent", "audit")
	mustOpen(t, dir)
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, fileName): 0o600} {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v", path, fi.Mode().Perm(), want)
		}
	}
}

func TestManyCallersKeepTheOrder(t *testing.T) {
	const callers, each = 64, 50
	dir := newDir(t)
	l := mustOpen(t, dir)
	seen := make([][]uint64, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				appendOne := l.Append
				if i%25 == 24 {
					appendOne = l.AppendSync
				}
				e := use(i)
				e.PID = c
				seq, err := appendOne(e)
				if err != nil {
					t.Error(err)
					return
				}
				seen[c] = append(seen[c], seq)
				l.Head()
			}
		})
	}
	wg.Wait()
	mustClose(t, l)
	all := wantGood(t, dir, callers*each)
	for c, seqs := range seen {
		for i, seq := range seqs {
			if e := all[seq-1]; e.PID != c || e.Path != use(i).Path {
				t.Fatalf("seq %d was given to entry %d of caller %d, the file has %+v", seq, i, c, e)
			}
		}
	}
}

func TestLinesAreJSON(t *testing.T) {
	log := sample(t, 3)
	d := json.NewDecoder(bytes.NewReader(log))
	for i := range 3 {
		var m map[string]any
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		if m["seq"] != float64(i+1) || m["event"] != "sign" || m["profile"] != "acme-sb1" || m["uid"] != float64(1000) {
			t.Errorf("line %d: got %v", i+1, m)
		}
		if _, there := m["reason"]; there {
			t.Errorf("line %d: an empty reason is there", i+1)
		}
	}
	if d.More() {
		t.Error("more values than lines")
	}
}
