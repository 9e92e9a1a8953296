package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nsagent/nsagent/client"
)

const (
	passphrase = "correct horse battery staple"
	profile    = "bench"
	signURL    = "https://1234567-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=6&deploy=1&customParam=someValue&testParam=someOtherValue"
	profileDoc = `{"account":"1234567_SB1","auth":"tba","consumer_key":"%064d","consumer_secret":"%064d","token_id":"%064d","token_secret":"%064d"}`
)

// world is a home with an agent that has ten profiles and is unlocked.
type world struct {
	bin    string
	rounds int
	dir    string
	agent  *daemon
}

// daemon is a running agent.
type daemon struct {
	home   string
	cmd    *exec.Cmd
	client *client.Client
	pid    int
}

func newWorld(bin string, rounds int) (w *world, err error) {
	w = &world{rounds: rounds}
	if w.bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	if w.dir, err = os.MkdirTemp("", "nsb"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	home := filepath.Join(w.dir, "h")
	ctx := context.Background()
	if err = w.nsagent(ctx, home, passphrase, "init", "--unlock", "passphrase", "--passphrase-fd", "0", "--kdf", "low"); err != nil {
		return nil, err
	}
	if w.agent, err = w.start(ctx, home); err != nil {
		return nil, err
	}
	if err = w.unlock(ctx, home); err != nil {
		return nil, err
	}
	for i := range 10 {
		name := profile
		if i > 0 {
			name = fmt.Sprintf("%s-%d", profile, i)
		}
		if err = w.nsagent(ctx, home, fmt.Sprintf(profileDoc, 1, 100+i, 3, 200+i), "profile", "add", name, "--from", "-"); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) close() {
	if w.agent != nil {
		w.agent.stop()
	}
	_ = os.RemoveAll(w.dir)
}

// command returns nsagent in a home.
func (w *world) command(ctx context.Context, home string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, w.bin, args...)
	c.Env = []string{"HOME=" + home, "XDG_RUNTIME_DIR=" + filepath.Join(home, "run"), "NSAGENT_NO_INPUT=1"}
	return c
}

func (w *world) nsagent(ctx context.Context, home, input string, args ...string) error {
	_, err := output(w.command(ctx, home, args...), input)
	return err
}

// output runs a command, and returns what it prints.
func output(c *exec.Cmd, input string) (string, error) {
	c.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("nsagent %s: %w: %s", c.Args[1], err, stderr.String())
	}
	return stdout.String(), nil
}

func (w *world) unlock(ctx context.Context, home string) error {
	return w.nsagent(ctx, home, passphrase, "unlock", "--passphrase-fd", "0")
}

func (w *world) socket(home string) string {
	return filepath.Join(home, "run", "nsagent", "agent.sock")
}

// start runs an agent and waits until it answers.
func (w *world) start(ctx context.Context, home string) (*daemon, error) {
	return startAt(ctx, home, w.socket(home), w.command(context.WithoutCancel(ctx), home, "agent", "run"))
}

// startAt is start for a command that serves a socket.
func startAt(ctx context.Context, home, socket string, agent *exec.Cmd) (*daemon, error) {
	d := &daemon{home: home, cmd: agent}
	d.cmd.Stderr = os.Stderr
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	var err error
	for range 20000 {
		if d.client, err = client.Dial(ctx, client.WithSocket(socket)); err == nil {
			break
		}
		time.Sleep(500 * time.Microsecond)
	}
	if err != nil {
		d.stop()
		return nil, err
	}
	st, err := d.client.Status(ctx)
	if err != nil {
		d.stop()
		return nil, err
	}
	d.pid = int(st.GetPid())
	return d, nil
}

func (d *daemon) stop() {
	if d.client != nil {
		_ = d.client.Close()
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	_ = d.cmd.Wait()
}

// residentMiB returns VmRSS of a process in MiB.
func residentMiB(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}

// median returns the middle of values.
func median[T int64 | float64 | time.Duration](values []T) T {
	s := slices.Sorted(slices.Values(values))
	return s[len(s)/2]
}

// spread returns the least and the greatest, for the detail column.
func spread(values []float64) string {
	return fmt.Sprintf("rounds %.2f-%.2f", slices.Min(values), slices.Max(values))
}
