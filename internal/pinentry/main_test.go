package pinentry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
)

// fakes are programs that this test binary plays where it is started by their name. Each is
// told a command, "" at its start, and says what it likes.
func fakes() map[string]func(command string) {
	honest := func(command string) {
		if command == "GETPIN" {
			fmt.Print("S PASSWORD_FROM_USER\nD pass%25wo\nD rd\r\n")
		}
		fmt.Println("OK")
	}
	asked := func(answer func()) func(string) {
		return func(command string) {
			if command == "GETPIN" || command == "CONFIRM" {
				answer()
				return
			}
			fmt.Println("OK")
		}
	}
	says := func(text string) func(string) { return asked(func() { fmt.Print(text) }) }
	repeats := func(n int, text string) func(string) {
		return asked(func() {
			for range n {
				fmt.Print(text)
			}
			fmt.Println("\nOK")
		})
	}
	return map[string]func(string){
		"pinentry-honest": honest,
		"pinentry-mute":   func(string) {},
		"pinentry-told": func(command string) {
			if command == "GETPIN" {
				answer, _ := os.ReadFile(filepath.Join(filepath.Dir(os.Args[0]), "answer"))
				fmt.Printf("D %s\n", answer)
			}
			fmt.Println("OK")
		},
		"pinentry-hangs":     says(""),
		"pinentry-stubborn":  asked(func() { signal.Ignore(syscall.SIGTERM) }),
		"pinentry-cancelled": says("ERR 83886179 Operation cancelled <Pinentry>\n"),
		"pinentry-no":        says("ERR 83886194 Not confirmed\n"),
		"pinentry-timeout":   says("ERR 83886142 Timeout\n"),
		"pinentry-noscreen":  says("ERR 83918950 Inappropriate ioctl for device\n"),
		"pinentry-dies":      asked(func() { os.Exit(1) }),
		"pinentry-half":      asked(func() { fmt.Print("D half"); os.Exit(0) }),
		"pinentry-long":      repeats(10<<20, "x"),
		"pinentry-longdata":  repeats(1, "D "+strings.Repeat("%41", 300)+"\nD "+strings.Repeat("A", 900)),
		"pinentry-many":      repeats(10<<20, "S x\n"),
		"pinentry-yes":       says("YES\n"),
		"pinentry-data":      says("D yes\nOK\n"),
		"pinentry-inquires":  says("INQUIRE QUALITY pass\n"),
		"pinentry-escape":    says("D %4\nOK\n"),
		"pinentry-nocode":    says("ERR cancelled\n"),
		"pinentry-empty":     says("\n"),
		"pinentry-refuses": func(command string) {
			if command != "" {
				fmt.Println("ERR 83886356 Unknown IPC command")
				return
			}
			fmt.Println("OK")
		},
	}
}

func TestMain(m *testing.M) {
	if how := os.Getenv(childEnv); how != "" {
		if err := playChild(how); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	fake := fakes()[filepath.Base(os.Args[0])]
	if fake == nil {
		os.Exit(m.Run())
	}
	fake("")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fake(in.Text())
	}
	if strings.HasSuffix(os.Args[0], "-stubborn") {
		time.Sleep(time.Minute)
	}
}

// opened is a dialog with one of the fakes.
type opened struct {
	*Dialog
	arena  *secret.Arena
	cancel context.CancelFunc
}

func starter(c *exec.Cmd) (<-chan error, error) {
	if err := c.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	return ended, nil
}

// open starts a fake.
func open(t *testing.T, name string) (*opened, error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(exe, path); err != nil {
		t.Fatal(err)
	}
	arena, err := secret.NewArena(secret.ArenaConfig{Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	if strings.HasSuffix(name, "-mute") {
		time.AfterFunc(100*time.Millisecond, cancel)
	}
	before := arena.Info().Used
	d, err := Open(ctx, arena, Config{Program: path, Start: starter})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		start := time.Now()
		d.Close()
		if took := time.Since(start); took > 2*endTime+10*time.Second {
			t.Errorf("the end took %v", took)
		}
		if err := d.process.Signal(syscall.Signal(0)); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("the program is still there: %v", err)
		}
		if left := arena.Info().Used - before; left != 0 {
			t.Errorf("%d bytes of locked memory are left", left)
		}
	})
	return &opened{d, arena, cancel}, nil
}

// secretOf asks for a secret and returns a copy.
func (o *opened) secretOf() (string, error) {
	b, err := o.Secret(o.arena, Prompt{Title: "t", Text: "100 %\nof it", Label: "Passphrase:"}, 1024)
	if err != nil {
		return "", err
	}
	defer b.Destroy()
	var text string
	err = b.Use(func(p []byte) error { text = string(p); return nil })
	return text, err
}
