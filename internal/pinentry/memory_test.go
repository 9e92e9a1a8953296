package pinentry

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/secret"
)

// childEnv makes this test binary ask a program: "sealed" as the package does, "naive" by
// reading lines as text. The program is named by childProgram.
const (
	childEnv     = "PINENTRY_TEST_CHILD"
	childProgram = "PINENTRY_TEST_PROGRAM"
	childAnswers = 200
)

// playChild asks again and again, keeps nothing, and waits until its stdin ends.
func playChild(how string) error {
	ask := askSealed
	if how == "naive" {
		ask = askNaive
	}
	if err := ask(os.Getenv(childProgram)); err != nil {
		return err
	}
	fmt.Println("asked")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func askSealed(program string) error {
	arena, err := secret.NewArena(secret.ArenaConfig{Size: 64 << 10})
	if err != nil {
		return err
	}
	d, err := Open(context.Background(), arena, Config{Program: program, Start: starter})
	if err != nil {
		return err
	}
	for range childAnswers {
		b, err := d.Secret(arena, Prompt{Text: "x", Label: "Passphrase:"}, 1024)
		if err != nil {
			return err
		}
		b.Destroy()
	}
	return nil
}

func askNaive(program string) error {
	c := exec.Command(program)
	c.Env = []string{"HOME=/"}
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	lines := bufio.NewReader(out)
	kept := make([]string, 0, childAnswers)
	for range childAnswers {
		_, _ = io.WriteString(in, "GETPIN\n")
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return err
			}
			if data, ok := strings.CutPrefix(line, "D "); ok {
				kept = append(kept, data)
				break
			}
		}
	}
	_ = kept
	return nil
}

// TestMemory guards M-12: a passphrase that a pinentry gave leaves no copy in the process
// that asked for it. The same scan finds what reading lines leaves behind.
func TestMemory(t *testing.T) {
	needs.Root(t, "scans the memory of another process")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	answer := rand.Text() + rand.Text()
	dir := t.TempDir()
	program := filepath.Join(dir, "pinentry-told")
	if err := os.Symlink(exe, program); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "answer"), []byte(answer), 0o600); err != nil {
		t.Fatal(err)
	}
	needles := memscan.Needles("passphrase", []byte(answer))
	for how, want := range map[string]bool{"sealed": false, "naive": true} {
		c := exec.Command(exe)
		c.Env, c.Stderr = append(os.Environ(), childEnv+"="+how, childProgram+"="+program), os.Stderr
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "asked\n" {
			t.Fatalf("%s: got %q, %v", how, line, err)
		}
		rep, err := memscan.Scan(c.Process.Pid, needles)
		if found := rep.Total.Unlocked > 0 || rep.Total.Locked > 0; err != nil || found != want {
			t.Errorf("%s: found %v, want %v: %v\n%s", how, found, want, err, rep)
		}
		_ = stdin.Close()
		_ = c.Wait()
	}
}
