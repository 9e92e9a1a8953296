package agent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/socketpath"
)

// Who has the lock of a file is found in the kernel's list, and nobody where it says nothing.
func TestLockedBy(t *testing.T) {
	dir := t.TempDir()
	list, file := filepath.Join(dir, "locks"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{
		"":               0,
		"1: FLOCK short": 0,
		fmt.Sprintf("1: POSIX  ADVISORY  WRITE 11 fe:00:%d 0 EOF\n2: FLOCK  ADVISORY  WRITE 12 fe:00:1%d 0 EOF\n", st.Ino, st.Ino): 0,
		fmt.Sprintf("1: FLOCK  ADVISORY  WRITE 12 fe:00:9 0 EOF\n2: FLOCK  ADVISORY  WRITE 13 fe:00:%d 0 EOF\n", st.Ino):           13,
	} {
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := lockedBy(list, file); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
	if lockedBy(list, filepath.Join(dir, "none")) != 0 || lockedBy(filepath.Join(dir, "none"), file) != 0 {
		t.Error("a file that is not there is locked")
	}
}

// Who looks at other sockets learns where an agent is as long as it runs, and whether its
// socket is still the one that it made; of one that has ended nothing is told, whatever it
// left in its state directory.
func TestLookForOther(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	p := socketpath.Paths{Agent: at("a.sock"), Admin: at("m.sock"), NoteFile: at("note")}
	seen := socketpath.Paths{Agent: at("b.sock"), NoteFile: p.NoteFile}
	none := func(when string, p socketpath.Paths) {
		t.Helper()
		if o, there := LookForOther(p); there {
			t.Errorf("%s: got %+v, want nobody", when, o)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	none("before the first", seen)
	must(os.WriteFile(p.Agent, nil, 0o600))
	a := &Agent{cfg: Config{Paths: p}, log: slog.New(slog.DiscardHandler)}
	note := a.leaveNote()
	none("at its own sockets", p)
	want := Other{PID: os.Getpid(), Agent: p.Agent, Admin: p.Admin}
	if o, there := LookForOther(seen); !there || o != want {
		t.Errorf("got %+v, %v, want %+v", o, there, want)
	}
	must(os.Rename(p.Agent, at("moved")))
	must(os.WriteFile(p.Agent, nil, 0o600)) // another file at the same path
	want.Gone = true
	for name, p := range map[string]socketpath.Paths{"another's": seen, "its own": p} {
		if o, there := LookForOther(p); !there || o != want {
			t.Errorf("replaced, at %s: got %+v, %v, want %+v", name, o, there, want)
		}
	}
	// One that ends takes its note back, too.
	go note.take()
	if o, there := lookForOther(seen, time.Hour); there {
		t.Errorf("while it ends: got %+v, want nobody", o)
	}
	none("after it", seen)
	note.take()

	for _, text := range []string{"", "{", `{"agent":"a","admin":"/m"}`, `{"agent":"/a"}`} {
		must(os.WriteFile(p.NoteFile, []byte(text), 0o600))
		f, err := lockFile(p.NoteFile)
		must(err)
		none("with the note "+text, seen)
		must(f.Close())
	}
}

// What is typed next is a socket where it is there, also one to manage that is elsewhere, and
// else the process that is to be ended.
func TestOtherSays(t *testing.T) {
	for want, o := range map[string]Other{
		"process 7 has the audit log open\nend it, which locks the vault:  kill 7":                                               {PID: 7},
		"another process has the audit log open\nfind it, and end it:  pgrep -u $USER -fa 'nsagent agent run'":                   {},
		"process 7 has the vault, and serves /x/a.sock\nuse that one:  export NSAGENT_SOCK=/x/a.sock":                            {PID: 7, Agent: "/x/a.sock", Admin: "/x/admin.sock"},
		"process 7 has the vault, and serves /x/a.sock\nuse that one:  export NSAGENT_SOCK=/x/a.sock NSAGENT_ADMIN_SOCK=/m.sock": {PID: 7, Agent: "/x/a.sock", Admin: "/m.sock"},
		"process 7 has the vault, and its socket /x/a.sock is gone\nend it, which locks the vault:  kill 7":                      {PID: 7, Agent: "/x/a.sock", Admin: "/x/admin.sock", Gone: true},
	} {
		if got := o.Why() + "\n" + o.Next(); got != want {
			t.Errorf("%+v: got %q, want %q", o, got, want)
		}
	}
}
