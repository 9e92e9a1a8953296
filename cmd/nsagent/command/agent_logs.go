package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/systemd"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type logsOptions struct {
	follow bool
	since  duration
	lines  int
}

func newAgentLogs(e *env) *cobra.Command {
	var o logsOptions
	c := &cobra.Command{
		Use:   "logs",
		Short: "Show what the agent says of itself",
		Long: `Show what the agent says of itself: from the journal where systemd runs it, else
from agent.log in the state directory, where agent start lets it write. What an
agent in the foreground says stands in its terminal only.

Uses and changes are in the audit log:  nsagent audit query`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runLogs(c.Context(), e, o) },
	}
	f := c.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with what comes")
	f.Var(&o.since, "since", "only the last `TIME`, such as 2h or 7d")
	f.IntVarP(&o.lines, "lines", "n", 100, "the last `N` lines; 0 means all")
	return c
}

func runLogs(ctx context.Context, e *env, o logsOptions) error {
	p, err := e.paths()
	if err != nil {
		return err
	}
	if o.lines < 0 {
		return usage("--lines is negative", "it takes a number of lines; 0 means all", "")
	}
	ctx, cancel := interruptible(ctx)
	defer cancel()
	m := findManager(ctx)
	for _, unit := range []string{systemd.ForSocket, systemd.Service} {
		if m.do(ctx, "is-active", "--quiet", unit) == nil {
			return e.journal(ctx, o)
		}
	}
	return e.logFile(ctx, p, o)
}

// journal hands over to journalctl.
func (e *env) journal(ctx context.Context, o logsOptions) error {
	// Not --user, which leaves out what is kept for users with low numbers.
	args := []string{"--user-unit=" + systemd.Service, "--no-pager", "--quiet"}
	if o.follow {
		args = append(args, "--follow")
	}
	if o.since > 0 {
		args = append(args, "--since=@"+strconv.FormatInt(time.Now().Add(-time.Duration(o.since)).Unix(), 10))
	}
	if o.lines > 0 {
		args = append(args, "--lines="+strconv.Itoa(o.lines))
	}
	if e.json() {
		args = append(args, "--output=cat") // each line as it was said, for a document of ours
	}
	signal.Reset(syscall.SIGPIPE)                        // what Main ignores, journalctl would ignore too
	c := exec.CommandContext(ctx, "journalctl", args...) // #nosec G204 -- fixed words and numbers
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.Stdout, c.Stderr = os.Stdout, e.stderr
	err := e.runJournal(c)
	var ended *exec.ExitError
	switch {
	case err == nil, ctx.Err() != nil:
		return nil
	case errors.As(err, &ended):
		return exitCode(max(ended.ExitCode(), 1))
	default:
		return agentFailure("the journal cannot be read", err)
	}
}

// runJournal has journalctl print by itself or, for programs, puts each line into a
// document.
func (e *env) runJournal(c *exec.Cmd) error {
	if !e.json() {
		return c.Run()
	}
	c.Stdout = nil
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if e.logLine(lines.Text()) != nil {
			break // the failure is kept with the output
		}
	}
	_ = out.Close() // one that follows ends then
	if err := c.Wait(); e.stdout.failed() == nil {
		return err
	}
	return nil
}

// logFile shows agent.log.
func (e *env) logFile(ctx context.Context, p socketpath.Paths, o logsOptions) error {
	f, err := os.Open(p.LogFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &client.Error{Code: pb.CodeNotFound, Message: "the agent has not written a log yet", Why: p.LogFile + " is written by an agent in the background", Next: "start one:  nsagent agent start"}
	}
	if err != nil {
		return agentFailure("the agent's log cannot be read", err)
	}
	defer func() { _ = f.Close() }()
	from := time.Time{}
	if o.since > 0 {
		from = time.Now().Add(-time.Duration(o.since))
	}
	last, rest, err := lastLines(f, from, o.lines)
	if err != nil {
		return agentFailure("the agent's log cannot be read", err)
	}
	for _, line := range last {
		if err := e.logLine(line); err != nil {
			return err
		}
	}
	if !o.follow {
		return nil
	}
	return e.follow(ctx, f, rest)
}

// logLine prints a line of the log.
func (e *env) logLine(line string) error {
	if e.json() {
		return e.printJSON(struct {
			Schema string `json:"schema"`
			Line   string `json:"line"`
		}{"nsagent.agent-log/v1", line})
	}
	return e.print(oneLine(line))
}

// lastLines reads a log to its end and returns its last n lines (0: all), of those
// that were written since. A line without a time belongs to the one before. rest is
// the begin of a line that is being written.
func lastLines(r io.Reader, since time.Time, n int) (lines []string, rest string, err error) {
	in := bufio.NewReader(r)
	recent := since.IsZero()
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return lines, line, nil
		}
		if err != nil {
			return nil, "", fmt.Errorf("reading the log: %w", err)
		}
		if at, ok := lineTime(line); ok {
			recent = !at.Before(since)
		}
		if !recent {
			continue
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
		if n > 0 && len(lines) > n {
			lines = lines[1:]
		}
	}
}

// lineTime returns the time that a line of the log begins with.
func lineTime(line string) (time.Time, bool) {
	text, ok := strings.CutPrefix(line, "time=")
	if !ok {
		return time.Time{}, false
	}
	text, _, _ = strings.Cut(text, " ")
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil
}

// follow prints what is added to a log, until ctx ends. A log that was emptied is read
// from its begin.
func (e *env) follow(ctx context.Context, f *os.File, rest string) error {
	const look = 200 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	pending := []byte(rest)
	buf := make([]byte, 32<<10)
	for {
		n, err := f.Read(buf)
		if n > 0 {
			pending = append(pending, buf[:n]...)
			for {
				line, after, ok := bytes.Cut(pending, []byte("\n"))
				if !ok {
					break
				}
				pending = after
				if err := e.logLine(string(line)); err != nil {
					return err
				}
			}
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return agentFailure("the agent's log cannot be read", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return agentFailure("the agent's log cannot be read", err)
		}
		if fi, err := f.Stat(); err == nil && fi.Size() < at {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return agentFailure("the agent's log cannot be read", err)
			}
			pending = nil
		}
	}
}
