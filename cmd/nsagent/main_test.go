package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/keyringtest"
	"github.com/nsagent/nsagent/internal/needs"
)

// world is what all tests of this package share.
type world struct {
	bin     string // directory with nsagent
	missing error  // why there is no keyring
}

// programVariable names, for tests that tests run, the directory that has nsagent already.
const programVariable = "NSAGENT_TEST_PROGRAM"

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	// Homes end up in socket addresses, which have 107 bytes.
	for _, variable := range []string{"TMPDIR", "GOTMPDIR"} {
		if len(os.Getenv(variable)) > len("/tmp") {
			_ = os.Setenv(variable, "/tmp")
		}
	}
	// Under nohup the tests themselves ignore hangups, and so would what they start.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	if err := shared.prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.close()
	return m.Run()
}

// shared is set up by TestMain and only read afterwards.
var shared world

// prepare builds the program that people run, with nothing of a test in it, and
// tries whether a keyring can be started. Under the race detector the program has it too.
func (w *world) prepare() error {
	if w.bin = os.Getenv(programVariable); w.bin == "" {
		if err := w.build(); err != nil {
			return err
		}
	}
	keyring, err := keyringtest.New(keyringtest.Unlocked)
	if err == nil {
		err = keyring.Stop()
	}
	w.missing = err
	if w.missing != nil && needs.Required("keyring") {
		return w.missing
	}
	return nil
}

// build builds the program into a directory of its own.
func (w *world) build() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	if w.bin, err = os.MkdirTemp("", "nsbin"); err != nil {
		return fmt.Errorf("making a directory for the program: %w", err)
	}
	if err := os.Chmod(w.bin, 0o755); err != nil { // another user runs it too
		return err
	}
	args, cgo := []string{"build", "-o", filepath.Join(w.bin, "nsagent")}, "CGO_ENABLED=0"
	if raceEnabled {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	build := exec.CommandContext(ctx, "go", append(args, ".")...)
	build.Env = append(os.Environ(), cgo)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building nsagent: %w\n%s", err, out)
	}
	return nil
}

func (w *world) close() {
	if os.Getenv(programVariable) == "" {
		_ = os.RemoveAll(w.bin)
	}
}
