package pinentry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/nsagent/nsagent/internal/secret"
)

const (
	// sayTime is how long the program may take for what asks nobody.
	sayTime = 10 * time.Second
	// endTime is how long it may take to end, each time before it is told more firmly.
	endTime = time.Second
)

// Config says which program asks, and where.
type Config struct {
	// Program is its path, as Find returned it.
	Program string
	// Screen says where somebody sits.
	Screen Screen
	// Start starts it, and tells when it has ended. It has to end with this process.
	Start func(*exec.Cmd) (ended <-chan error, err error)
}

// Prompt is what somebody is shown.
type Prompt struct {
	Title string
	// Text may have several lines; Fits says whether it can be shown.
	Text string
	// Label names what is asked for, such as "Passphrase:".
	Label string
	// Yes and No are what the buttons say.
	Yes, No string
	// Fault is what was wrong with the answer before; empty: nothing.
	Fault string
}

// Dialog is a program that runs. It is not safe for concurrent use.
type Dialog struct {
	ctx     context.Context
	in, out *os.File
	line    secret.Bytes
	process *os.Process
	ended   <-chan error
	stop    func() bool
	tty     *os.File // to be put in order; nil: none
	state   *term.State
}

// Open starts the program and waits until it is there. The end of ctx ends what is asked
// then; Close has to be called in any case. The errors are ErrFailed, ErrProtocol, that of
// ctx, or those of arena.
func Open(ctx context.Context, arena *secret.Arena, cfg Config) (*Dialog, error) {
	line, err := arena.Alloc(maxLine)
	if err != nil {
		return nil, err
	}
	d := &Dialog{ctx: ctx, line: line}
	if err := d.start(cfg); err != nil {
		line.Destroy()
		return nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	d.stop = context.AfterFunc(ctx, func() { _ = d.out.Close() }) // a read ends then
	if err := d.greet(cfg.Screen); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// start starts the process on two pipes.
func (d *Dialog) start(cfg Config) error {
	stdin, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = stdin.Close() }()
	out, stdout, err := os.Pipe()
	if err != nil {
		_ = in.Close()
		return err
	}
	defer func() { _ = stdout.Close() }()
	d.in, d.out = in, out
	d.keepTerminal(cfg.Screen.TTY)
	c := exec.Command(cfg.Program) // #nosec G204 -- Find has looked at it
	c.Stdin, c.Stdout, c.Dir = stdin, stdout, "/"
	c.Env = append([]string{}, cfg.Screen.Env...) // not nil, which exec takes for all of ours
	if d.ended, err = cfg.Start(c); err != nil {
		_ = in.Close()
		_ = out.Close()
		d.closeTerminal()
		return err
	}
	d.process = c.Process
	return nil
}

// keepTerminal remembers how the terminal is: a program that has to be ended while it asks
// leaves it without echo.
func (d *Dialog) keepTerminal(path string) {
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0) // #nosec G304 -- the user's terminal
	if err != nil {
		return // the program says what is wrong with it
	}
	if d.state, err = term.GetState(int(f.Fd())); err != nil { // #nosec G115 -- a descriptor fits
		_ = f.Close()
		return
	}
	d.tty = f
}

// greet waits for the program, and tells it where somebody sits. An option that it does not
// know is none.
func (d *Dialog) greet(s Screen) error {
	if err := d.say(""); err != nil {
		return err
	}
	for _, option := range s.options() {
		if err := d.say("OPTION " + option); err != nil && !errors.Is(err, ErrFailed) {
			return err
		}
	}
	return nil
}

// Secret asks for a secret of at most limit bytes; it may be empty. The caller destroys it.
// The errors are ErrCancelled, ErrFailed, ErrProtocol, ErrTooLong, that of the context, or
// those of arena.
func (d *Dialog) Secret(arena *secret.Arena, p Prompt, limit int) (secret.Bytes, error) {
	if err := d.show(p); err != nil {
		return secret.Bytes{}, err
	}
	return arena.Fill(limit, func(to []byte) (int, error) { return d.call("GETPIN", to, 0) })
}

// Confirm returns nil where somebody says yes. The errors are those of Secret.
func (d *Dialog) Confirm(p Prompt) error {
	if err := d.show(p); err != nil {
		return err
	}
	_, err := d.call("CONFIRM", nil, 0)
	return err
}

// show says what somebody is to be shown.
func (d *Dialog) show(p Prompt) error {
	for _, c := range []struct{ command, text string }{
		{"SETTITLE", p.Title}, {"SETDESC", p.Text}, {"SETPROMPT", p.Label}, {"SETOK", p.Yes}, {"SETCANCEL", p.No}, {"SETERROR", p.Fault},
	} {
		if c.text == "" {
			continue
		}
		if err := d.say(c.command + " " + escape(c.text)); err != nil {
			return err
		}
	}
	return nil
}

// Fits reports whether a text can be shown: a command is one line.
func Fits(text string) bool { return len("SETDESC \n")+len(escape(text)) <= maxLine }

// say says something that has an empty answer; "" only hears.
func (d *Dialog) say(command string) error {
	_, err := d.call(command, nil, sayTime)
	return err
}

// call says something and reads the answer to to, which takes so long at most; zero: until
// the context ends.
func (d *Dialog) call(command string, to []byte, within time.Duration) (n int, err error) {
	if len(command)+1 > maxLine {
		return 0, ErrTooLong
	}
	var deadline time.Time
	if within > 0 {
		deadline = time.Now().Add(within)
	}
	// A pipe whose other end does not read takes more than is ever said.
	if err := d.out.SetReadDeadline(deadline); err != nil {
		return 0, d.why(fmt.Errorf("%w: %w", ErrFailed, err))
	}
	if command != "" {
		if _, err := io.WriteString(d.in, command+"\n"); err != nil {
			return 0, d.why(fmt.Errorf("%w: %w", ErrFailed, err))
		}
	}
	err = d.line.Use(func(line []byte) (err error) {
		n, err = readAnswer(d.out, line, to)
		return err
	})
	return n, d.why(err)
}

// why returns err, or the error of the context where that has ended.
func (d *Dialog) why(err error) error {
	if err != nil && d.ctx.Err() != nil {
		return d.ctx.Err()
	}
	return err
}

// Close ends the program and waits for that. One that had to be told leaves its terminal as
// it is while it asks: that is put in order.
func (d *Dialog) Close() {
	d.stop()
	_ = d.in.Close() // a program that listens ends by itself
	_ = d.out.Close()
	if told := d.end(d.ctx.Err() != nil); told && d.tty != nil {
		_ = term.Restore(int(d.tty.Fd()), d.state) // #nosec G115 -- a descriptor fits
	}
	d.closeTerminal()
	d.line.Destroy()
}

// end waits for the end of the process, and ends it where it is asking or goes on. It
// reports whether it did.
func (d *Dialog) end(asking bool) (told bool) {
	if !asking && d.endsWithin(endTime) {
		return false
	}
	_ = d.process.Signal(syscall.SIGTERM) // it has ended where this fails
	if !d.endsWithin(endTime) {
		_ = d.process.Kill()
		<-d.ended
	}
	return true
}

func (d *Dialog) endsWithin(t time.Duration) bool {
	select {
	case <-d.ended:
		return true
	case <-time.After(t):
		return false
	}
}

func (d *Dialog) closeTerminal() {
	if d.tty != nil {
		_ = d.tty.Close()
	}
}
