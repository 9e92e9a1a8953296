package term

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/secret"
)

// pseudo opens a pseudo terminal: the end of who sits there, and the end of programs.
func pseudo(t *testing.T) (person *os.File, tty *TTY) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|noControl, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err = errors.Join(err, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|noControl, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return person, &TTY{f: f, turn: new(Turn)}
}

// free reports whether another process could take the turn: a lock belongs to the file that
// was opened, and not to the process.
func free(t *testing.T, tty *TTY) bool {
	t.Helper()
	f, err := tty.lock()
	if err != nil && !errors.Is(err, errBusy) {
		t.Fatal(err)
	}
	if err == nil {
		f.Close()
	}
	return err == nil
}

// TestTurn: one process at a time has the turn, from its first question to its last; one
// that stops lets it go meanwhile.
func TestTurn(t *testing.T) {
	_, tty := pseudo(t)
	turn := func() func() {
		t.Helper()
		end, err := tty.Turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return end
	}
	outer := turn()
	inner := turn()
	inner()
	inner() // a second time it ends nothing
	if free(t, tty) {
		t.Error("the turn ended with a question within")
	}
	tty.turn.put(nil)
	if !free(t, tty) {
		t.Error("what stopped keeps the turn")
	}
	if err := tty.again(t.Context()); err != nil || free(t, tty) {
		t.Errorf("what goes on does not have the turn (%v)", err)
	}
	outer()
	if !free(t, tty) {
		t.Error("the turn does not end with the last question")
	}
}

// TestSecretInTurn: a question waits for that of another process and leaves the terminal
// alone until then, for the one that ends first shows again what is typed; and it has the
// turn itself.
func TestSecretInTurn(t *testing.T) {
	person, tty := pseudo(t)
	arena, err := secret.NewArena(secret.ArenaConfig{Size: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { arena.Close() })
	other, err := tty.lock()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tty.SecretUntil(ctx, arena, "Passphrase: ", 16); !errors.Is(err, context.Canceled) || tty.hidden {
		t.Errorf("got %v, asked %t; want context.Canceled, and no question", err, tty.hidden)
	}
	if _, err := person.WriteString("typed for the other\r"); err != nil {
		t.Fatal(err)
	}
	if tty.dropRest() {
		t.Error("it threw away what was typed for another process")
	}
	other.Close()
	if !tty.dropRest() {
		t.Error("it left what was typed for the shell")
	}

	type answer struct {
		b   secret.Bytes
		err error
	}
	answers := make(chan answer)
	go func() {
		b, err := tty.Secret(arena, "Passphrase: ", 16)
		answers <- answer{b, err}
	}()
	for shown := ""; !strings.Contains(shown, "Passphrase: "); {
		p := make([]byte, 256)
		n, err := person.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		shown += string(p[:n])
	}
	if free(t, tty) {
		t.Error("a question without a turn")
	}
	if _, err := person.WriteString("secret\r"); err != nil {
		t.Fatal(err)
	}
	got := <-answers
	if got.err != nil {
		t.Fatal(got.err)
	}
	defer got.b.Destroy()
	if err := got.b.Use(func(p []byte) error {
		if !bytes.Equal(p, []byte("secret")) {
			t.Errorf("got %q", p)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if !free(t, tty) {
		t.Error("the turn outlasts the question")
	}
}
