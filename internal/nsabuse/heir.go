package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/realagent"
)

// Parts that are played by processes of their own.
const (
	playParent  = "heir-parent" // connects, leaves the connection to a child, ends
	playChild   = "heir-child"  // signs on descriptor 3 once its parent is gone
	playExeced  = "exec-before" // connects and becomes another program
	playBecame  = "exec-after"  // signs on descriptor 3
	heirCalls   = 20            // signatures that an heir asks for
	parentGone  = 10 * time.Second
	heirsSocket = 3
)

// heirs lets processes leave their connections to children; what the children ask
// for once the parent is gone must be refused.
func heirs(ctx context.Context, on target, t *count) {
	inherit(ctx, on, t, playParent, func(got tally) {
		t.done(got.Done)
		for range got.Through {
			t.through("the heir of a process that ended was given a signature")
		}
	})
}

// acrossExec lets processes become other programs with their connection open. It is
// the same process still, so that an answer is as good as a refusal.
func acrossExec(ctx context.Context, on target, t *count) {
	inherit(ctx, on, t, playExeced, func(got tally) {
		t.done(got.Done)
		for range got.Through {
			t.through("")
		}
	})
}

func inherit(ctx context.Context, on target, t *count, part string, note func(tally)) {
	repeat(ctx, 2, func(int) {
		c := exec.Command("/proc/self/exe", "-play", part, "-agent", on.Agent) // #nosec G204 -- this program
		c.Env = os.Environ()
		out, err := c.Output() // until whoever it left behind has ended too
		var got tally
		if err == nil {
			err = json.Unmarshal(out, &got)
		}
		if err != nil {
			t.wrong("an heir says %.100q: %v", out, err)
			pause(ctx, time.Second)
			return
		}
		if got.Wrong != "" {
			t.wrong("%s", got.Wrong)
		}
		note(got)
	})
}

// playHeir is the process of one part.
func playHeir(o options, out io.Writer) error {
	switch o.play {
	case playParent, playExeced:
		return leave(o, o.play == playExeced)
	case playChild, playBecame:
		return json.NewEncoder(out).Encode(signOn(heirsSocket, o.play == playChild))
	}
	return fmt.Errorf("no attack is called %q", o.play)
}

// leave connects and asks for the status, so that the agent knows it; then it hands
// the connection on.
func leave(o options, become bool) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: o.target.Agent, Net: "unix"})
	if err != nil {
		return err
	}
	if code, err := ask(conn, bufio.NewReader(conn), "GET /v1/status HTTP/1.1\r\nHost: nsagent\r\n\r\n"); err != nil || code != http.StatusOK {
		return fmt.Errorf("the parent's own call: %d, %w", code, err)
	}
	f, err := conn.File()
	if err != nil {
		return err
	}
	if become {
		if int(f.Fd()) == heirsSocket {
			if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
				return err
			}
		} else if err := unix.Dup3(int(f.Fd()), heirsSocket, 0); err != nil {
			return err
		}
		return unix.Exec("/proc/self/exe", []string{os.Args[0], "-play", playBecame}, os.Environ())
	}
	child := exec.Command("/proc/self/exe", "-play", playChild)
	child.Env, child.ExtraFiles = os.Environ(), []*os.File{f}
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	return child.Start()
}

// signOn asks for signatures on an inherited descriptor.
func signOn(fd uintptr, orphan bool) (t tally) {
	parent := os.Getppid()
	for deadline := time.Now().Add(parentGone); orphan && os.Getppid() == parent && parent != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return tally{Wrong: "the parent does not end"}
		}
	}
	conn, err := net.FileConn(os.NewFile(fd, "inherited"))
	if err != nil {
		return tally{Wrong: err.Error()}
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	body := fmt.Sprintf(`{"profile":%q,"url":%q}`, profile, realagent.URL)
	for range heirCalls {
		code, err := ask(conn, r, fmt.Sprintf("POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		if err != nil {
			if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "pipe") {
				t.Wrong = err.Error()
			}
			break // closed on us, which is a refusal
		}
		if t.Done++; code == http.StatusOK {
			t.Through++
		}
	}
	return t
}

// ask writes a request and returns the status of the answer.
func ask(conn net.Conn, r *bufio.Reader, request string) (int, error) {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, errors.Join(err, answer.Body.Close())
}
