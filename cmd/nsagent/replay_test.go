package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// prompt is what the shell of a transcript asks with: its last exit code, in a form
// that nothing else prints.
const prompt = "@@$?@@ "

var prompted = regexp.MustCompile(`@@\d+@@ $`)

// hidden stands in a transcript for what is typed and not shown.
const hidden = "········"

// cmdReplay types the commands of a transcript into a shell on a terminal and compares
// what comes with what the transcript shows:
//
//	replay PAGE ANSWERS
//
// The transcript is the console blocks of a page of docs/, in one shell. In it "…"
// stands for anything within a line, and alone for any lines. ANSWERS has a line for
// each kind of question, "how the question begins = what to type"; the shell's
// variables may be used, CODE is the last recovery code that was shown, here or before,
// and WORD the word of it that is asked for. A question is a line of the transcript that ends in dots, which stand for what is typed
// unseen, or in "…" if ANSWERS knows it.
func cmdReplay(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: replay PAGE ANSWERS")
	}
	page, err := os.ReadFile(filepath.Join("../../docs", args[0]))
	ts.Check(err)
	steps, err := transcript(string(page))
	ts.Check(err)
	s, err := newReplay(ts, ts.ReadFile(args[1]))
	ts.Check(err)
	defer s.end()
	for _, step := range steps {
		if err := s.play(step); err != nil {
			ts.Fatalf("docs/%s:%d: %s\n%v", args[0], step.line, step.command, err)
		}
	}
	stateOf(ts).screen = s.t.text()
	ts.Logf("[screen]\n%s", s.t.text())
}

// step is a command of a transcript and the lines that it shows.
type step struct {
	line    int
	command string
	want    []string
}

// transcript returns the steps of the console blocks of a page.
func transcript(page string) ([]step, error) {
	var steps []step
	inside := false
	for i, line := range strings.Split(page, "\n") {
		command, is := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = !inside && strings.HasPrefix(line, "```console")
		case !inside:
		case is:
			steps = append(steps, step{line: i + 1, command: command})
		case len(steps) == 0:
			return nil, fmt.Errorf("line %d shows something before the first command", i+1)
		default:
			last := &steps[len(steps)-1]
			last.want = append(last.want, line)
		}
	}
	if len(steps) == 0 {
		return nil, errors.New("there is no console block")
	}
	return steps, nil
}

// replay is a shell on a terminal, and somebody who types.
type replay struct {
	t       *terminal
	cmd     *exec.Cmd
	done    chan struct{}
	answers [][2]string
	getenv  func(string) string
	shown   int // how much of the screen has been compared
}

func newReplay(ts *testscript.TestScript, answers string) (*replay, error) {
	t, err := openTerminal()
	if err != nil {
		return nil, err
	}
	s := &replay{t: t, done: make(chan struct{}), getenv: ts.Getenv}
	for line := range strings.Lines(answers) {
		if question, answer, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " = "); ok {
			s.answers = append(s.answers, [2]string{question, answer})
		}
	}
	s.cmd = exec.Command("sh", "-i")
	s.cmd.Env = append(environment(ts), "PS1="+prompt, "PS2=", "TERM=dumb", "COLUMNS=100")
	s.cmd.Dir = ts.Getenv("WORK")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = t.slave, t.slave, t.slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := s.cmd.Start(); err != nil {
		t.close()
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	return s, s.awaitPrompt()
}

func (s *replay) end() {
	_ = s.cmd.Process.Kill()
	<-s.done
	s.t.close()
}

// awaitPrompt waits until the shell asks for the next command.
func (s *replay) awaitPrompt() error {
	for deadline := time.Now().Add(waitTime); ; time.Sleep(2 * time.Millisecond) {
		if text := s.t.text(); prompted.MatchString(text[min(s.shown, len(text)):]) {
			s.shown = len(text)
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not end; the screen has\n%s", s.t.text()[s.shown:])
		}
	}
}

// play types one command, answers what it asks, and compares.
func (s *replay) play(st step) error {
	from := s.shown
	s.t.skip()
	if _, err := s.t.master.WriteString(st.command + "\n"); err != nil {
		return err
	}
	for _, line := range st.want {
		question, answer, ok := s.question(line)
		if !ok {
			continue
		}
		if err := s.t.await(question, s.done); err != nil {
			return err
		}
		if strings.HasSuffix(line, hidden) {
			if err := s.t.awaitEcho(false); err != nil {
				return err
			}
		}
		if _, err := s.t.master.WriteString(answer() + "\n"); err != nil {
			return err
		}
	}
	if err := s.awaitPrompt(); err != nil {
		return err
	}
	got := prompted.ReplaceAllString(s.t.text()[from:s.shown], "")
	_, got, _ = strings.Cut(got, "\n") // the command itself
	return compare(st.want, got)
}

// question reports whether a line of a transcript is a question, and returns how it
// begins and what gives the answer.
func (s *replay) question(line string) (string, func() string, bool) {
	for _, a := range s.answers {
		if !strings.HasPrefix(line, a[0]) || !strings.HasSuffix(line, hidden) && !strings.HasSuffix(line, "…") {
			continue
		}
		return a[0], func() string { return os.Expand(a[1], s.variable) }, true
	}
	return "", nil, false
}

func (s *replay) variable(name string) string {
	switch name {
	case "CODE":
		if code := codeOn(s.t.text()); code != "" {
			return code
		}
		return s.getenv(name) // of an earlier terminal
	case "WORD":
		// The number comes behind the word by which the question is known.
		for deadline := time.Now().Add(waitTime); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
			if word := lastWord(s.t.text()); word != "" {
				return word
			}
		}
		return ""
	default:
		return s.getenv(name)
	}
}

// compare compares what a command printed with what a transcript shows.
func compare(want []string, got string) error {
	for len(want) > 0 && want[len(want)-1] == "" {
		want = want[:len(want)-1]
	}
	var pattern strings.Builder
	for _, line := range want {
		if line == "…" {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		parts := strings.Split(strings.TrimSuffix(line, hidden), "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(strings.TrimRight(parts[i], " "))
		}
		pattern.WriteString(strings.Join(parts, `.*`) + ` *\n`)
	}
	if !regexp.MustCompile("^" + pattern.String() + "$").MatchString(got) {
		return fmt.Errorf("the transcript shows\n%s\nbut it is\n%s", strings.Join(want, "\n"), got)
	}
	return nil
}
