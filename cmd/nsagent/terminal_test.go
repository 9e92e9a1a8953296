package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cmdTerminal runs a program on a terminal of its own, which must end with this
// code, and talks to it as a file says:
//
//	terminal [-screen] N DIALOGUE program args...
//
//	> text       wait until this stands on the screen, behind what was waited for
//	< text       type this and press return; variables are replaced
//	type text    type this, without return
//	paste text   type this at once; \\r is a return
//	tab text     press Tab, each second again, until this stands on the screen
//	key c        press this key: ^C, ^D, ^U, ^H, ^I, ^Z, ^\\
//	echo on|off  what is typed is shown, or is not
//	words        type the two words of the recovery code that are asked for
//	totp         type the code of the authenticator key that is shown
//	signal NAME  send this signal: INT, TERM, HUP, QUIT, KILL
//	size R C     the terminal gets this many rows and columns
//
// stdout and stderr are no terminal: stdout is for data, and what stands on the
// screen is what the program wrote to the terminal itself. With -screen they are the
// terminal, too. In the end the terminal must echo again.
func cmdTerminal(ts *testscript.TestScript, neg bool, args []string) {
	onScreen := len(args) > 0 && args[0] == "-screen"
	if onScreen {
		args = args[1:]
	}
	if neg || len(args) < 3 {
		ts.Fatalf("usage: terminal [-screen] N DIALOGUE program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	dialogue := os.Expand(ts.ReadFile(args[1]), ts.Getenv)
	t, err := openTerminal()
	ts.Check(err)
	defer t.close()

	program := args[2]
	if program == "nsagent" {
		program = shared.bin + "/nsagent"
	}
	cmd := exec.Command(program, args[3:]...)
	cmd.Env, cmd.Dir = environment(ts), ts.MkAbs(".")
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	cmd.Stdin = t.slave
	if onScreen {
		cmd.Stdout, cmd.Stderr = t.slave, t.slave
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	ts.Check(cmd.Start())
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	fault := t.talk(dialogue, cmd.Process, done)
	select {
	case <-done:
	case <-time.After(waitTime):
		_ = cmd.Process.Kill()
		<-done
		fault = errors.Join(fault, errors.New("it did not end"))
	}
	fault = errors.Join(fault, t.readAll())
	stateOf(ts).screen = t.text()
	ts.Logf("[screen]\n%s", t.text())
	if fault != nil {
		ts.Fatalf("%v", fault)
	}
	got := cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		got = 128 + int(ws.Signal())
	}
	if got != want {
		ts.Fatalf("got exit code %d, want %d", got, want)
	}
	if on, err := t.echoes(); err != nil || !on {
		ts.Fatalf("the terminal does not echo any more (%v)", err)
	}
}

// environment returns the variables of a script.
func environment(ts *testscript.TestScript) []string {
	var out []string
	for _, name := range []string{
		"PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
		"PS1", "TERM", "TZ", "NO_COLOR", "DBUS_SESSION_BUS_ADDRESS", "NSAGENT_SOCK", "NSAGENT_NO_INPUT", "CREDENTIALS_DIRECTORY", "NSAGENT_PROFILE", "NSAGENT_CONFIG", "EDITOR",
	} {
		if v := ts.Getenv(name); v != "" {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// cmdScreen checks what stood on the last terminal:
//
//	[!] screen PATTERN
func cmdScreen(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: screen PATTERN")
	}
	pattern, err := regexp.Compile(`(?m)` + args[0])
	ts.Check(err)
	if pattern.MatchString(stateOf(ts).screen) == neg {
		ts.Fatalf("the screen was %q", stateOf(ts).screen)
	}
}

// terminal is a pseudo terminal with somebody who reads it.
type terminal struct {
	master, slave *os.File

	mu     sync.Mutex // guards what follows
	screen bytes.Buffer
	from   int // what was waited for ends here
}

func openTerminal() (*terminal, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)); err != nil {
		return nil, err
	}
	t := &terminal{master: os.NewFile(uintptr(fd), "/dev/ptmx")}
	if t.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, err
	}
	go t.read()
	return t, nil
}

func (t *terminal) close() {
	_ = t.master.Close()
	_ = t.slave.Close()
}

func (t *terminal) read() {
	for b := make([]byte, 4096); ; {
		n, err := t.master.Read(b)
		t.mu.Lock()
		t.screen.Write(b[:n])
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (t *terminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ReplaceAll(t.screen.String(), "\r\n", "\n")
}

// readAll waits until all that was written to the terminal is on the screen.
func (t *terminal) readAll() error {
	const end = "\x00that was all\x00"
	if _, err := t.slave.WriteString(end); err != nil {
		return err
	}
	err := t.await(end, nil)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.screen.Truncate(max(0, t.screen.Len()-len(end)))
	return err
}

// await waits until text stands on the screen.
func (t *terminal) await(text string, done <-chan struct{}) error {
	return t.awaitWithin(waitTime, text, done)
}

func (t *terminal) awaitWithin(limit time.Duration, text string, done <-chan struct{}) error {
	over := false
	for deadline := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		t.mu.Lock()
		i := strings.Index(t.screen.String()[t.from:], text)
		if i >= 0 {
			t.from += i + len(text)
		}
		rest := t.screen.String()[t.from:]
		t.mu.Unlock()
		switch {
		case i >= 0:
			return nil
		case over || time.Now().After(deadline):
			return fmt.Errorf("waiting for %q, the screen has %q", text, rest)
		}
		select {
		case <-done:
			over = true // one more look
		default:
		}
	}
}

// complete presses Tab until text stands on the screen: where the machine is busy,
// completion may have found nothing.
func (t *terminal) complete(text string, done <-chan struct{}) (err error) {
	for deadline := time.Now().Add(waitTime); time.Now().Before(deadline); {
		if _, err = t.master.WriteString("\t"); err != nil {
			return err
		}
		if err = t.awaitWithin(time.Second, text, done); err == nil {
			return nil
		}
	}
	return err
}

// skip takes all that stands on the screen for read.
func (t *terminal) skip() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.from = t.screen.Len()
}

// awaitEcho waits until what is typed is shown, or is not.
func (t *terminal) awaitEcho(want bool) error {
	for deadline := time.Now().Add(waitTime); ; time.Sleep(2 * time.Millisecond) {
		on, err := t.echoes()
		if err != nil || on == want {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the terminal still has echo %t", on)
		}
	}
}

// echoes reports whether what is typed is shown.
func (t *terminal) echoes() (bool, error) {
	state, err := unix.IoctlGetTermios(int(t.slave.Fd()), unix.TCGETS)
	if err != nil {
		return false, err
	}
	return state.Lflag&unix.ECHO != 0, nil
}

// resize gives the terminal rows and columns.
func (t *terminal) resize(text string) error {
	var size unix.Winsize
	if _, err := fmt.Sscan(text, &size.Row, &size.Col); err != nil {
		return err
	}
	return unix.IoctlSetWinsize(int(t.slave.Fd()), unix.TIOCSWINSZ, &size)
}

// talk goes through a dialogue.
func (t *terminal) talk(dialogue string, p *os.Process, done <-chan struct{}) error {
	keys := map[string]string{"^C": "\x03", "^D": "\x04", "^U": "\x15", "^H": "\x7f", "^I": "\t", "^Z": "\x1a", `^\`: "\x1c"}
	signals := map[string]os.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT, "KILL": syscall.SIGKILL}
	for line := range strings.Lines(dialogue) {
		what, text, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		var err error
		switch what {
		case "", "#":
		case ">":
			err = t.await(text, done)
		case "<":
			_, err = t.master.WriteString(text + "\r")
		case "tab":
			err = t.complete(text, done)
		case "key":
			_, err = t.master.WriteString(keys[text])
		case "type":
			_, err = t.master.WriteString(text)
		case "paste":
			_, err = t.master.WriteString(strings.ReplaceAll(text, `\r`, "\r"))
		case "echo":
			var on bool
			if on, err = t.echoes(); err == nil && on != (text == "on") {
				err = fmt.Errorf("echo is not %s", text)
			}
		case "size":
			err = t.resize(text)
		case "words":
			err = t.typeWords(done)
		case "totp":
			err = t.typeTOTP()
		case "signal":
			err = p.Signal(signals[text])
		default:
			err = fmt.Errorf("unknown line %q", line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
