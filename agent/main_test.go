package agent

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/realagent"
)

// TestMain runs the tests, or plays one of the other processes that they need:
// the first argument says which.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if play, ok := roles()[os.Args[1]]; ok {
			if err := play(os.Args[2:]); err != nil {
				fmt.Println("error:", err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	code := m.Run()
	if dir := programDir(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// roles are the processes that this binary can play.
func roles() map[string]func(args []string) error {
	return map[string]func([]string) error{
		roleVisit: playVisit, roleLeave: playLeave, roleHeir: playHeir,
		roleSpy: playSpy, roleLimited: playLimited, roleSignMany: playSignMany,
	}
}

// program is the product, built once for all tests that run a real daemon.
type program struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// theProgram returns the one program; the closure keeps it out of package state.
var theProgram = sync.OnceValue(func() *program { return new(program) })

func programDir() string { return theProgram().dir }

// productPath returns the path of the product, in a directory that every user can
// reach.
func productPath(t testing.TB) string {
	t.Helper()
	p := theProgram()
	p.once.Do(func() {
		if p.dir, p.err = os.MkdirTemp("", "nsb"); p.err != nil {
			return
		}
		if p.err = os.Chmod(p.dir, 0o755); p.err != nil { // #nosec G302 -- nobody has to run what lies in it
			return
		}
		p.path, p.err = realagent.Build(context.Background(), p.dir)
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.path
}

// inTime is how long a busy machine may take for what happens at once.
const inTime = 10 * time.Second

// awaitIn waits until a call has come to a function of the agent, where it waits itself.
func awaitIn(t testing.TB, function string) {
	t.Helper()
	buf := make([]byte, 1<<20)
	eventually(t, inTime, func() string {
		if strings.Contains(string(buf[:runtime.Stack(buf, true)]), "agent.(*Agent)."+function+"(") {
			return ""
		}
		return "nobody waits in " + function
	})
}

// eventually waits until check returns "", or fails with what it last said.
func eventually(t testing.TB, within time.Duration, check func() string) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(2 * time.Millisecond) {
		said := check()
		if said == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s still: %s", within, said)
		}
	}
}
