package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/socketpath"
)

// noticingAgent is an agent of which only that part runs which is told of changes in the
// directory of its ledger.
func noticingAgent(dir string) (*Agent, *output) {
	said := new(output)
	log := slog.New(slog.NewTextHandler(said, nil))
	return &Agent{log: log, hear: make(chan struct{}, 1), cfg: Config{Paths: socketpath.Paths{Ledger: filepath.Join(dir, "ledger")}}}, said
}

// What changes in a directory has somebody look, until the directory itself is no longer there.
func TestChangesAreNoticed(t *testing.T) {
	for what, end := range map[string]func(dir string) error{
		"removed": os.Remove,
		"moved":   func(dir string) error { return os.Rename(dir, dir+".away") },
	} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			a, _ := noticingAgent(dir)
			ended := make(chan error, 1)
			go func() { ended <- a.untilUnnoticed(t.Context(), dir) }()
			heard := func(what string) {
				t.Helper()
				select {
				case <-a.hear:
				case err := <-ended:
					t.Fatalf("%s: it ended: %v", what, err)
				}
			}
			heard("at first")
			outside := filepath.Join(t.TempDir(), "ledger")
			if err := os.WriteFile(outside, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(outside, filepath.Join(dir, "ledger")); err != nil {
				t.Fatal(err)
			}
			heard("a file that took its place")
			if err := os.Truncate(filepath.Join(dir, "ledger"), 1); err != nil {
				t.Fatal(err)
			}
			heard("a file that is longer")
			if err := os.Remove(filepath.Join(dir, "ledger")); err != nil { // nobody is told of that
				t.Fatal(err)
			}
			if err := end(dir); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if !errors.Is(err, errMoved) {
					t.Errorf("got %v", err)
				}
			case <-a.hear:
				t.Error("it goes on")
			}
		})
	}
}

// Whoever cannot be told of changes says so, and does not take it that there are none.
func TestChangesThatCannotBeNoticed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	a, said := noticingAgent(dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.untilUnnoticed(ctx, dir) }()
	select {
	case err := <-ended:
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a directory that is not there: got %v", err)
		}
	case <-a.hear:
		t.Error("a directory that is not there is watched")
	}
	if a.noticing.Load() {
		t.Error("it is relied upon")
	}

	go func() { ended <- a.noticeChanges(ctx) }()
	<-a.hear // so that the time says from now on when to look
	eventually(t, inTime, func() string {
		if strings.Contains(said.String(), "the system does not tell") {
			return ""
		}
		return "the log has " + said.String()
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	err := a.untilUnnoticed(t.Context(), t.TempDir())
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("without a descriptor: got %v", err)
	}
}

// The ledger of a bundle has no revocations: nobody watches it, and nobody is woken for it.
func TestChangesAreNotNoticedForABundle(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, of := range []*bundled{nil, {}} {
		a, _ := noticingAgent(t.TempDir())
		a.bundled = of
		if err := a.noticeChanges(over); err != nil {
			t.Error(err)
		}
		if woken := len(a.hear) > 0; woken != (of == nil) {
			t.Errorf("a bundle: %v; somebody was woken: %v", of != nil, woken)
		}
	}
}

// Of several events each is looked at, whatever name the ones before it have.
func TestDirectoryIsOver(t *testing.T) {
	event := func(mask uint32, name string) []byte {
		b := make([]byte, unix.SizeofInotifyEvent+len(name))
		binary.NativeEndian.PutUint32(b[4:], mask)
		binary.NativeEndian.PutUint32(b[12:], uint32(len(name))) // #nosec G115 -- of a test
		copy(b[unix.SizeofInotifyEvent:], name)
		return b
	}
	named := event(unix.IN_MODIFY, strings.Repeat("\xff", 32))
	for what, c := range map[string]struct {
		events []byte
		want   bool
	}{
		"nothing":                   {nil, false},
		"a change":                  {named, false},
		"events that were too many": {event(unix.IN_Q_OVERFLOW, ""), false},
		"two changes":               {slices.Concat(named, event(unix.IN_MOVED_TO, "a")), false},
		"watched no more":           {event(unix.IN_IGNORED, ""), true},
		"removed":                   {event(unix.IN_DELETE_SELF, ""), true},
		"moved, after a change":     {slices.Concat(named, event(unix.IN_MOVE_SELF, "")), true},
		"unmounted, before one":     {slices.Concat(event(unix.IN_UNMOUNT, ""), named), true},
	} {
		if got := over(c.events); got != c.want {
			t.Errorf("%s: got %v", what, got)
		}
	}
}
