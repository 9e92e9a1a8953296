package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/realagent"
)

const (
	// base is the profile that everybody signs with. It stays.
	base = "base"
	// settle is how long the agent may take to give back what its clients held.
	settle = 30 * time.Second
	// few goroutines and descriptors come and go by themselves.
	few = 12
	// plateau is what memory may grow by from one half of the last third of the time
	// to the other.
	plateau = 24 << 20
	// judged is how many samples, four a second, each half must have: until then a heap
	// under load is still finding its size.
	judged = 120
	// leak is how much more the agent may use, garbage collected, after its last client
	// than before its first: profiles and caches with a limit.
	leak = 8 << 20
	// most is how many failures are kept.
	mostFailures = 20
)

// holding is what the agent holds at a moment.
type holding struct {
	realagent.Use
	report
}

func (h holding) String() string {
	return fmt.Sprintf("%s, %d goroutines, %.1f MiB of heap", h.Use, h.Goroutines, float64(h.Live)/(1<<20))
}

// world is the agent, what it has acknowledged, and what went wrong.
type world struct {
	home   *realagent.Home
	before holding

	signed, refused, locks atomic.Int64

	process sync.Mutex // guards agent and its pipes
	agent   *realagent.Agent
	tell    io.Writer
	hear    *bufio.Reader

	vault   sync.Mutex // held during a change and a look at all of them
	there   map[string]bool
	gone    map[string]bool
	changes int
	cutOff  int

	kills, stops, jumps int // of the one goroutine that disturbs

	wrong  sync.Mutex // guards faults
	faults []string

	most    holding // of the one goroutine that samples
	samples []int64
}

func newWorld(ctx context.Context, o options) (w *world, err error) {
	w = &world{there: map[string]bool{base: true}, gone: make(map[string]bool)}
	if w.home, err = realagent.NewHome(ctx, o.bin); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = w.close()
		}
	}()
	if err = w.start(ctx); err != nil {
		return nil, err
	}
	if err = w.home.Unlock(ctx); err != nil {
		return nil, err
	}
	if _, err = w.home.Run(ctx, realagent.Profile(0), "profile", "add", base, "--from", "-"); err != nil {
		return nil, err
	}
	if _, err = w.home.Run(ctx, "", "sign", "-q", realagent.URL); err != nil {
		return nil, err
	}
	w.before, err = w.holds(sayLive)
	return w, err
}

// close ends the agent, if it runs, and removes the home.
func (w *world) close() error {
	if w.agent != nil {
		_ = w.agent.Stop()
	}
	w.home.Remove()
	return nil
}

// start starts the agent.
func (w *world) start(ctx context.Context) error {
	w.process.Lock()
	defer w.process.Unlock()
	c := w.home.Program(context.WithoutCancel(ctx), "/proc/self/exe", "-agent")
	c.Env = append(c.Env, "GORACE=atexit_sleep_ms=0")
	c.Stderr = os.Stderr
	c.WaitDelay = time.Second
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	c.Stdout = theirs
	w.tell, w.hear = in, bufio.NewReader(out)
	w.agent, err = w.home.StartAs(ctx, c)
	_ = theirs.Close()
	return err
}

// holds asks the agent what it holds, by sayReport or sayLive.
func (w *world) holds(say string) (holding, error) {
	w.process.Lock()
	defer w.process.Unlock()
	u, err := w.agent.Use()
	if err != nil {
		return holding{}, err
	}
	if _, err := fmt.Fprintln(w.tell, say); err != nil {
		return holding{}, err
	}
	line, err := w.hear.ReadBytes('\n')
	if err != nil {
		return holding{}, err
	}
	var r report
	if err := json.Unmarshal(line, &r); err != nil {
		return holding{}, err
	}
	return holding{u, r}, nil
}

// fail notes what should not have happened.
func (w *world) fail(format string, args ...any) {
	w.wrong.Lock()
	defer w.wrong.Unlock()
	if len(w.faults) < mostFailures {
		w.faults = append(w.faults, fmt.Sprintf(format, args...))
	}
}

func (w *world) failures() error {
	w.wrong.Lock()
	defer w.wrong.Unlock()
	if len(w.faults) == 0 {
		return nil
	}
	return fmt.Errorf("this should not have happened:\n  %s", strings.Join(w.faults, "\n  "))
}

// kill ends the agent without warning, starts another one, unlocks it, and looks
// whether what was acknowledged is there.
func (w *world) kill(ctx context.Context) error {
	if err := w.agent.Kill(); err != nil {
		return fmt.Errorf("killing the agent: %w", err)
	}
	w.kills++
	if err := w.start(ctx); err != nil {
		return fmt.Errorf("starting the agent after a kill: %w", err)
	}
	w.unlock(ctx)
	return w.checkProfiles(ctx)
}

// unlock unlocks, unless the agent is killed or locked meanwhile.
func (w *world) unlock(ctx context.Context) {
	if err := w.home.Unlock(ctx); err != nil && !explained(err) && ctx.Err() == nil {
		w.fail("unlocking: %v", err)
	}
}

// explained reports whether a failed command is what locking, killing and a jump of
// the clock do: a seal key is good for 60 seconds.
func explained(err error) bool {
	for _, code := range []string{"NSA-LOCKED", "NSA-AGENT", "the seal key is not known"} {
		if strings.Contains(err.Error(), code) {
			return true
		}
	}
	return false
}

// checkProfiles holds the profiles that there are against what was acknowledged.
func (w *world) checkProfiles(ctx context.Context) error {
	w.vault.Lock()
	defer w.vault.Unlock()
	c, err := client.Dial(ctx, client.WithSocket(w.home.Paths.Agent))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	list, err := c.Profiles(ctx)
	for errors.Is(err, client.ErrLocked) { // by somebody who locks now and then
		w.unlock(ctx)
		list, err = c.Profiles(ctx)
	}
	if err != nil {
		return err
	}
	var names []string
	for _, p := range list.GetProfiles() {
		names = append(names, p.GetName())
		if w.gone[p.GetName()] {
			w.fail("after kill %d profile %s is back, and its removal was acknowledged", w.kills, p.GetName())
		}
	}
	for name := range w.there {
		if !slices.Contains(names, name) {
			w.fail("after kill %d profile %s is lost, and it was acknowledged", w.kills, name)
		}
	}
	return nil
}

// stop lets the process stand still for a while, as the machine does.
func (w *world) stop(ctx context.Context, d time.Duration) {
	_ = syscall.Kill(w.agent.PID, syscall.SIGSTOP)
	pause(ctx, d)
	_ = syscall.Kill(w.agent.PID, syscall.SIGCONT)
	w.stops++
}

// jump sets the boot clock of the agent forward.
func (w *world) jump(d time.Duration) {
	w.process.Lock()
	defer w.process.Unlock()
	if _, err := fmt.Fprintln(w.tell, sayJump+d.String()); err == nil {
		w.jumps++
	}
}

// quiet waits until the agent, which nobody uses any more, holds what it held before
// anybody did.
func (w *world) quiet(ctx context.Context) (holding, error) {
	for deadline := time.Now().Add(settle); ; pause(ctx, 50*time.Millisecond) {
		h, err := w.holds(sayLive)
		if err != nil {
			return h, fmt.Errorf("the agent at the end: %w", err)
		}
		if h.Goroutines <= w.before.Goroutines+few && h.Descriptors <= w.before.Descriptors+few && h.Live <= w.before.Live+leak {
			half := len(w.samples) / 2
			if half >= judged && median(w.samples[half:]) > median(w.samples[:half])+plateau {
				return h, fmt.Errorf("memory grows: %d MiB, then %d MiB", median(w.samples[:half])>>20, median(w.samples[half:])>>20)
			}
			return h, nil
		}
		if time.Now().After(deadline) {
			return h, fmt.Errorf("%s after the last client the agent holds %s; before the first it held %s", settle, h, w.before)
		}
	}
}

func median(v []int64) int64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// recorded is what the log has.
type recorded struct{ all, signed int64 }

// checkLog verifies the log and holds it against what was acknowledged.
func (w *world) checkLog(ctx context.Context) (recorded, error) {
	var n recorded
	if out, err := w.home.Run(ctx, "", "audit", "verify"); err != nil {
		return n, fmt.Errorf("the log does not verify: %w: %s", err, out)
	}
	r, err := audit.OpenReader(w.home.Paths.AuditDir)
	if err != nil {
		return n, err
	}
	defer func() { _ = r.Close() }()
	changed := 0
	for e, err := range audit.Query(r, audit.Filter{}) {
		if err != nil {
			return n, err
		}
		n.all++
		switch {
		case e.Outcome != audit.OutcomeOK:
		case e.Event == audit.EventSign:
			n.signed++
		case e.Event == audit.EventProfileAdd, e.Event == audit.EventProfileEdit, e.Event == audit.EventProfileRename, e.Event == audit.EventProfileRemove:
			changed++
		}
	}
	if signed := w.signed.Load(); n.signed < signed {
		w.fail("clients hold %d signatures, and %d are on record", signed, n.signed)
	}
	if changed < w.changes {
		w.fail("%d changes were acknowledged, and %d are on record", w.changes, changed)
	}
	return n, nil
}

// pause waits, or less if ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
