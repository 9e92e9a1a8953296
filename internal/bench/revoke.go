package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

const (
	// revokers is how many connections sign by the token of a grant at each agent while it is
	// revoked, each pausing for revokerPause in between.
	revokers     = 16
	revokerPause = time.Millisecond
)

// revocationRows measures how long after `nsagent grant revoke` was started the last signature
// was made by a token of the grant: at the agent that is told, and at another one on the same
// vault, which has sockets and a log of its own.
func revocationRows(ctx context.Context, w *world) ([]row, error) {
	besideAt := func(args ...string) *exec.Cmd {
		c := w.command(context.WithoutCancel(ctx), w.agent.home, args...)
		c.Env = append(c.Env, "XDG_RUNTIME_DIR="+filepath.Join(w.dir, "beside"), "XDG_STATE_HOME="+filepath.Join(w.dir, "beside", "state"))
		return c
	}
	socket := filepath.Join(w.dir, "beside", "nsagent", "agent.sock")
	beside, err := startAt(ctx, w.agent.home, socket, besideAt("agent", "run"))
	if err != nil {
		return nil, err
	}
	defer beside.stop()
	if _, err := output(besideAt("unlock", "--passphrase-fd", "0"), passphrase); err != nil {
		return nil, err
	}
	var told, other []time.Duration
	for range w.rounds {
		token, err := output(w.command(ctx, w.agent.home, "grant", "new", "-q", "-p", profile, "--ttl", "1h", "--passphrase-fd", "0"), passphrase)
		if err != nil {
			return nil, err
		}
		here, there, err := w.revoke(ctx, strings.TrimSpace(token), socket)
		if err != nil {
			return nil, err
		}
		told, other = append(told, here), append(other, there)
	}
	const target = 100 * time.Millisecond
	rowOf := func(what string, all []time.Duration) row {
		worst := slices.Max(all)
		return row{what, "≤ 100 ms", fmt.Sprintf("%.1f ms", worst.Seconds()*1000), fmt.Sprintf("the slowest of %d rounds, median %.1f ms; the command's own start included", len(all), median(all).Seconds()*1000), worst <= target}
	}
	return []row{
		rowOf(fmt.Sprintf("`nsagent grant revoke`, until the last signature for its grant, %d clients", revokers), told),
		rowOf("… at another agent on the vault, as many clients", other),
	}, nil
}

// revoke revokes the grant of a token that is in use at both agents, and returns how long
// after the beginning of that each of them signed by it for the last time.
func (w *world) revoke(ctx context.Context, token, socket string) (here, there time.Duration, err error) {
	parsed, err := unlocktoken.Parse([]byte(token))
	if err != nil {
		return 0, 0, err
	}
	said, err := parsed.Chain.Read()
	if err != nil {
		return 0, 0, err
	}
	last := make([][]time.Time, 2)
	failed := make([][]error, 2)
	var signing, begun sync.WaitGroup
	for i, at := range []string{w.socket(w.agent.home), socket} {
		last[i], failed[i] = make([]time.Time, revokers), make([]error, revokers)
		for n := range revokers {
			begun.Add(1)
			signing.Go(func() {
				last[i][n], failed[i][n] = signUntilRevoked(ctx, at, token, begun.Done)
			})
		}
	}
	begun.Wait()
	start := time.Now()
	_, err = output(w.command(ctx, w.agent.home, "grant", "revoke", unlocktoken.GrantName(said.Authority.Grant)), "")
	signing.Wait()
	err = errors.Join(append(append(failed[0], failed[1]...), err)...)
	after := func(all []time.Time) time.Duration { return max(slices.MaxFunc(all, time.Time.Compare).Sub(start), 0) }
	return after(last[0]), after(last[1]), err
}

// signUntilRevoked signs by a token until that is revoked, and returns when it did for the
// last time. It calls begun once it has signed, or cannot.
func signUntilRevoked(ctx context.Context, socket, token string, begun func()) (last time.Time, err error) {
	c, err := client.Dial(ctx, client.WithSocket(socket), client.WithUnlockToken([]byte(token)))
	if err != nil {
		begun()
		return last, err
	}
	defer func() { _ = c.Close() }()
	for first := true; ; first = false {
		_, err := c.Sign(ctx, client.Request{Profile: profile, URL: signURL})
		if first {
			begun()
		}
		if errors.Is(err, client.ErrRevoked) {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		last = time.Now()
		time.Sleep(revokerPause)
	}
}
