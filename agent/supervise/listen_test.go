package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/socketpath"
)

// listenForGrants plays an agent that has sockets made for it in HOME, and says what
// became of each.
func listenForGrants(l *Link) int {
	ctx, home := context.Background(), os.Getenv("HOME")
	for _, path := range []string{"s", "s", "file", "link", "open/s", "none/s", "d/../t", "relative", strings.Repeat("x", 120)} {
		name := path
		if path != "relative" {
			path = home + "/" + path
		}
		f, err := l.Listen(ctx, path)
		if err != nil {
			_, why, _ := strings.Cut(err.Error(), "socketpath: ")
			why, _, _ = strings.Cut(why, ":")
			fmt.Printf("%.10s %v %s\n", name, errors.Is(err, ErrParent), why)
			continue
		}
		listener, err := net.FileListener(f)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		_ = f.Close()
		fi, err := os.Lstat(path)
		fmt.Printf("%.10s %v %v %v\n", name, fi.Mode(), err, socketpath.Answers(path))
		// The parent lets go of what it has handed over: an answer to what comes after
		// that shows that it has.
		_, _ = l.Exe(ctx, int32(os.Getpid())) // #nosec G115 -- a pid fits
		_ = listener.Close()
		fmt.Println("closed", socketpath.Answers(path)) // nobody else has it
	}
	if err := l.Unlisten(ctx, home+"/s"); err != nil {
		fmt.Println(err)
		return 1
	}
	_, err := os.Lstat(home + "/s")
	fmt.Println("removed", errors.Is(err, fs.ErrNotExist))
	_ = l.Unlisten(ctx, home+"/file") // none of the agent's
	_, err = os.Lstat(home + "/file")
	fmt.Println("file", err)
	return 0
}

// TestListen: the parent makes sockets where nobody else can put another, replaces
// nothing that is somebody's, and keeps none.
func TestListen(t *testing.T) {
	home := homeOfSockets(t)
	for _, err := range []error{
		os.WriteFile(filepath.Join(home, "file"), nil, 0o600), os.Symlink("file", filepath.Join(home, "link")),
		os.Mkdir(filepath.Join(home, "d"), 0o700), os.Mkdir(filepath.Join(home, "open"), 0o700), os.Chmod(filepath.Join(home, "open"), 0o777), // #nosec G302 -- that is the test
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := runAgent(t, t.Context(), "listen", "HOME="+home)
	want := `s Srw-rw-rw- <nil> true
closed false
s true somebody listens there
file true unsafe place
link true unsafe place
open/s true unsafe place
none/s true 
d/../t true path is not absolute
relative true path is not absolute
xxxxxxxxxx true socket path too long
removed true
file <nil>
`
	if err != nil || out != want {
		t.Errorf("got %v and\n%s\nwant\n%s", err, out, want)
	}
}

// TestListenAfterDeath: what an agent that was killed could not remove, its parent does.
func TestListenAfterDeath(t *testing.T) {
	home := homeOfSockets(t)
	if out, err := runAgent(t, t.Context(), "listen and die", "HOME="+home); err == nil {
		t.Errorf("got %q, want its death", out)
	}
	if _, err := os.Lstat(filepath.Join(home, "s")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket: got %v, want none", err)
	}
}

// homeOfSockets returns a private directory with a short path.
func homeOfSockets(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
