package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// target is what an attack is let loose on.
type target struct {
	Agent, Admin string
	// token is the text of an unlock token, for the attack that has one.
	token []byte
}

// tally is what an attack did, as its process prints it.
type tally struct {
	// Done counts what the attack did, in its own unit.
	Done int `json:"done"`
	// Through counts how many of these were answered as if all were well.
	Through int `json:"through"`
	// Wrong is the first thing that should not have been possible; empty if none.
	Wrong string `json:"wrong"`
}

// attack is one way to be hostile.
type attack struct {
	name string
	what string // for the table
	unit string // what is counted
	uid  uint32 // another user to be; zero means ourselves
	// recorded is true where the agent has to write down that it refused somebody.
	recorded bool
	// redeems is true where the attacker has an unlock token, and the honest client shows the
	// same one now and then.
	redeems bool
	play    func(ctx context.Context, on target, t *count)
}

// nobody is another user.
const nobody = 65534

func attacks() []attack {
	return []attack{
		{name: "other-user", what: "another user, with the modes of both sockets opened to all", unit: "connections", uid: nobody, recorded: true, play: otherUser},
		{name: "heir", what: "a connection handed to a child whose parent ended", unit: "calls", recorded: true, play: heirs},
		{name: "exec", what: "a connection kept across exec", unit: "calls", play: acrossExec},
		{name: "silent", what: "200 connections that say nothing", unit: "connections", play: silent},
		{name: "trickle", what: "150 connections that say a byte now and then, and never a whole request", unit: "connections", play: trickle},
		{name: "bodyless", what: "calls whose message never comes, all that 200 connections may have open", unit: "calls", play: bodyless},
		{name: "half-message", what: "calls whose message stops in the middle", unit: "calls", play: halfMessages},
		{name: "length-lies", what: "lengths that lie: gRPC prefix, HTTP/2 frame, Content-Length", unit: "lies", play: lengthLies},
		{name: "bad-utf8", what: "text that is not UTF-8, in every field of every call and of JSON", unit: "calls", play: badUTF8},
		{name: "large", what: "messages of 5 MiB, to every call and as JSON", unit: "messages", play: large},
		{name: "headers", what: "headers of 1 MiB, also in CONTINUATION frames without end", unit: "frames", play: headerFlood},
		{name: "rapid-reset", what: "calls opened and reset at once", unit: "calls", play: rapidReset},
		{name: "control", what: "floods of SETTINGS, PING, PRIORITY and WINDOW_UPDATE", unit: "frames", play: controlFlood},
		{name: "slow-reader", what: "calls whose answers are never read", unit: "calls", play: slowReaders},
		{name: "churn", what: "connections opened and closed as fast as it goes", unit: "connections", play: churn},
		{name: "hoard", what: "every connection there may be, opened properly and kept", unit: "connections", play: hoard},
		{name: "redeem", what: "unlock tokens of garbage, cut short or with a wrong proof, and 150 connections that redeem by half", unit: "redemptions", redeems: true, play: redeems},
		{name: "noise", what: "random bytes, also after a proper beginning", unit: "connections", play: noise},
	}
}

// play is the process of one attack: it prints its tally when time is over.
func play(ctx context.Context, o options, out io.Writer) error {
	for _, a := range attacks() {
		if a.name != o.play {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, o.time)
		defer cancel()
		if a.redeems {
			token, err := io.ReadAll(os.Stdin)
			if err != nil {
				return err
			}
			o.target.token = bytes.TrimSpace(token)
		}
		c := new(count)
		a.play(ctx, o.target, c)
		return json.NewEncoder(out).Encode(c.tally)
	}
	return playHeir(o, out)
}

// count is a tally that many goroutines keep.
type count struct {
	mu    sync.Mutex // guards tally
	tally tally
}

func (c *count) done(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally.Done += n
}

// through notes an answer; wrong says why it should not have come, "" if it may.
func (c *count) through(wrong string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally.Through++
	if c.tally.Wrong == "" {
		c.tally.Wrong = wrong
	}
}

func (c *count) wrong(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tally.Wrong == "" {
		c.tally.Wrong = fmt.Sprintf(format, args...)
	}
}

// repeat runs n of f at a time, again and again, until ctx ends. f gets which of the
// n it is.
func repeat(ctx context.Context, n int, f func(i int)) {
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			for ctx.Err() == nil {
				f(i)
			}
		})
	}
	wait.Wait()
}

// pause waits, or less if ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
