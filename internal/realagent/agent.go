package realagent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nsagent/nsagent/client"
)

// patience is how long an agent may take to answer after its start, and to end
// after it was asked to, on a machine that has other work.
const patience = 30 * time.Second

// Agent is an agent that runs in a home.
type Agent struct {
	// PID is the process that holds the keys.
	PID    int
	home   *Home
	parent *exec.Cmd
	ended  chan error
}

// Start runs an agent and waits until it answers. It ends with this process.
func (h *Home) Start(ctx context.Context) (*Agent, error) {
	c := h.Command(context.WithoutCancel(ctx), "agent", "run")
	c.Stderr = os.Stderr
	return h.StartAs(ctx, c)
}

// StartAs is Start with the command that runs the agent given.
func (h *Home) StartAs(ctx context.Context, c *exec.Cmd) (*Agent, error) {
	a := &Agent{home: h, parent: c, ended: make(chan error, 1)}
	a.parent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := a.parent.Start(); err != nil {
		return nil, err
	}
	go func() { a.ended <- a.parent.Wait(); close(a.ended) }()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		pid, err := h.ask(ctx)
		if err == nil {
			a.PID = pid
			return a, nil
		}
		select {
		case err := <-a.ended:
			return nil, fmt.Errorf("the agent ended at once: %v", err)
		default:
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, errors.Join(err, a.Stop())
		}
	}
}

// ask returns the process ID of the agent that answers.
func (h *Home) ask(ctx context.Context) (int, error) {
	c, err := client.Dial(ctx, client.WithSocket(h.Paths.Agent))
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	s, err := c.Status(ctx)
	return int(s.GetPid()), err
}

// Unlock unlocks the agent of the home.
func (h *Home) Unlock(ctx context.Context) error {
	_, err := h.Run(ctx, Passphrase, "unlock", "--passphrase-fd", "0")
	return err
}

// Stop asks the agent to end and waits until all of it has. The error is that of an
// agent that did not end well.
func (a *Agent) Stop() error {
	_ = a.parent.Process.Signal(syscall.SIGTERM)
	return a.await()
}

// Kill ends the agent process as kill -9 does, and waits for its parent.
func (a *Agent) Kill() error {
	if err := syscall.Kill(a.PID, syscall.SIGKILL); err != nil {
		return err
	}
	if err := a.await(); err == nil {
		return errors.New("the parent of a killed agent ended as if all were well")
	}
	return nil
}

func (a *Agent) await() error {
	select {
	case err := <-a.ended:
		return err
	case <-time.After(patience):
		_ = a.parent.Process.Kill()
		return fmt.Errorf("the agent did not end within %s", patience)
	}
}

// Use is what a process holds at a moment.
type Use struct {
	// Resident is in bytes.
	Resident    int64
	Threads     int
	Descriptors int // -1 where only root may count them
}

func (u Use) String() string {
	return fmt.Sprintf("%.1f MiB, %d threads, %d descriptors", float64(u.Resident)/(1<<20), u.Threads, u.Descriptors)
}

// Use reads what the agent process holds.
func (a *Agent) Use() (Use, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.PID))
	if err != nil {
		return Use{}, err
	}
	u := Use{Descriptors: -1}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		words := strings.Fields(value)
		if len(words) == 0 {
			continue
		}
		n, err := strconv.ParseInt(words[0], 10, 64)
		switch {
		case name == "VmRSS" && err == nil:
			u.Resident = n << 10
		case name == "Threads" && err == nil:
			u.Threads = int(n)
		}
	}
	if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", a.PID)); err == nil {
		u.Descriptors = len(fds)
	}
	return u, nil
}
