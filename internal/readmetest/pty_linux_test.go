package readmetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// typist runs cmd on a terminal of its own and answers each question with the
// passphrase, as a person would. It returns what stood on the terminal; what cmd
// wrote to stdout goes to stdout.
func typist(t *testing.T, ctx context.Context, cmd *exec.Cmd, passphrase string, stdout io.Writer) (string, error) {
	t.Helper()
	pty, tty := openTerminal(t)
	defer pty.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, stdout, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		tty.Close()
		return "", err
	}
	tty.Close()
	defer context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })()

	screen := make(chan string, 1)
	go func() { screen <- converse(pty, passphrase) }()
	err := cmd.Wait()
	// Daemons that were left behind may hold the terminal open.
	_ = pty.Close()
	return <-screen, err
}

// converse reads the terminal to its end, answering what ends in ": ".
func converse(pty *os.File, passphrase string) string {
	var all, line bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := pty.Read(buf)
		all.Write(buf[:n])
		line.Write(buf[:n])
		if i := bytes.LastIndexByte(line.Bytes(), '\n'); i >= 0 {
			line.Next(i + 1)
		}
		if question := line.String(); strings.HasSuffix(question, ": ") {
			line.Reset()
			if strings.HasSuffix(question, "/n]: ") { // is there to be more than the README has?
				fmt.Fprintln(pty, "n")
			} else {
				fmt.Fprintln(pty, passphrase)
			}
		}
		if err != nil {
			return all.String()
		}
	}
}

// openTerminal returns both ends of a new pseudo terminal.
func openTerminal(t *testing.T) (pty, tty *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	if err != nil {
		t.Fatal(err)
	}
	pty = os.NewFile(uintptr(fd), "/dev/ptmx") // non-blocking, so that Close ends a Read
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pty, tty
}
