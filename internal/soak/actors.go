package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/realagent"
)

const (
	// think is what a client waits between two calls, at most.
	think = 100 * time.Millisecond
	// patience is how long a call may take. What is looked for is a call that never ends:
	// on a machine that compiles with all its cores, unlocking alone took half a minute.
	patience = 3 * time.Minute
	// manyProfiles is from where on more are removed than added.
	manyProfiles = 60
)

// load lets everybody loose until the time is over. In the last third nothing is
// killed, so that what one agent holds can be watched.
func (w *world) load(ctx context.Context, o options) {
	ctx, cancel := context.WithTimeout(ctx, o.time)
	defer cancel()
	var group sync.WaitGroup
	for i := range o.clients {
		group.Go(func() { w.sign(ctx, i) })
	}
	for i := range 2 {
		group.Go(func() { w.keep(ctx, fmt.Sprintf("k%d", i)) })
	}
	group.Go(func() { w.lockAndUnlock(ctx) })
	begin := time.Now()
	for ctx.Err() == nil {
		pause(ctx, o.killEvery/2+time.Duration(rand.Int64N(int64(o.killEvery))))
		switch {
		case ctx.Err() != nil:
		case time.Since(begin) > o.time*2/3:
			w.watch(ctx)
		default:
			w.disturb(ctx)
		}
	}
	group.Wait()
}

// disturb kills the agent, after its clock jumped and its process stood still.
func (w *world) disturb(ctx context.Context) {
	w.jump([]time.Duration{time.Minute, 30 * time.Minute, 2 * time.Hour, 13 * time.Hour}[rand.IntN(4)])
	pause(ctx, 200*time.Millisecond)
	w.stop(ctx, 300*time.Millisecond)
	pause(ctx, time.Duration(rand.IntN(200))*time.Millisecond)
	if err := w.kill(ctx); err != nil && ctx.Err() == nil {
		w.fail("%v", err)
	}
}

// watch samples what the agent holds until the time is over, while its clock jumps.
func (w *world) watch(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		h, err := w.holds(sayReport)
		if err != nil {
			w.fail("looking at the agent: %v", err)
			return
		}
		w.samples = append(w.samples, h.Resident)
		w.most.Resident, w.most.Threads = max(w.most.Resident, h.Resident), max(w.most.Threads, h.Threads)
		w.most.Descriptors, w.most.Goroutines = max(w.most.Descriptors, h.Descriptors), max(w.most.Goroutines, h.Goroutines)
		w.most.Live = max(w.most.Live, h.Live)
		if n%40 == 39 {
			w.jump(2 * time.Hour)
		}
		pause(ctx, 250*time.Millisecond)
	}
}

// tolerated are the errors that locking, killing and removing explain.
func tolerated(err error) bool {
	return errors.Is(err, client.ErrLocked) || errors.Is(err, client.ErrAgent) || errors.Is(err, client.ErrClosed)
}

// sign is one client, which signs in its own way until ctx ends.
func (w *world) sign(ctx context.Context, n int) {
	call := w.caller(ctx, n)
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		err := call(one)
		cancel()
		switch {
		case err == nil:
			w.signed.Add(1)
		case tolerated(err):
			w.refused.Add(1)
			pause(ctx, 20*time.Millisecond)
		default:
			w.fail("client %d: %v", n, err)
			return
		}
		pause(ctx, time.Duration(rand.Int64N(int64(think))))
	}
}

// caller returns the way in which client n signs: by calls, by streams, over JSON, or
// with a new connection each time.
func (w *world) caller(ctx context.Context, n int) func(context.Context) error {
	request := client.Request{Profile: base, URL: realagent.URL}
	dial := func(one context.Context) (*client.Client, error) {
		return client.Dial(one, client.WithSocket(w.home.Paths.Agent))
	}
	if n%4 == 2 {
		return w.overJSON(ctx)
	}
	if n%4 == 3 {
		return func(one context.Context) error {
			c, err := dial(one)
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			_, err = c.Sign(one, request)
			return err
		}
	}
	var c *client.Client
	var s *client.Stream
	return func(one context.Context) error {
		var err error
		if c == nil {
			if c, err = dial(one); err != nil {
				c = nil
				return err
			}
			kept := c
			context.AfterFunc(ctx, func() { _ = kept.Close() })
		}
		if n%4 == 0 {
			_, err = c.Sign(one, request)
			return err
		}
		if s == nil {
			if s, err = c.Stream(context.WithoutCancel(ctx)); err != nil {
				s = nil
				return err
			}
		}
		if _, err = s.Sign(one, request); errors.Is(err, client.ErrAgent) {
			_ = s.Close()
			s = nil
		}
		return err
	}
}

// overJSON signs with an HTTP client.
func (w *world) overJSON(ctx context.Context) func(context.Context) error {
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", w.home.Paths.Agent)
	}}
	h := &http.Client{Transport: t}
	context.AfterFunc(ctx, t.CloseIdleConnections)
	body := fmt.Sprintf(`{"profile":%q,"url":%q}`, base, realagent.URL)
	return func(one context.Context) error {
		q, err := http.NewRequestWithContext(one, http.MethodPost, "http://nsagent/v1/sign", strings.NewReader(body))
		if err != nil {
			return err
		}
		r, err := h.Do(q)
		if one.Err() != nil {
			return fmt.Errorf("no answer within %s: %w", patience, err)
		}
		if err != nil {
			return errors.Join(client.ErrAgent, err)
		}
		defer func() { _ = r.Body.Close() }()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return errors.Join(client.ErrAgent, err)
		}
		var answer struct {
			Error struct{ Code string }
		}
		if err := json.Unmarshal(b, &answer); err != nil {
			return fmt.Errorf("the answer is %.100q: %w", b, err)
		}
		switch answer.Error.Code {
		case "":
			return nil
		case "NSA-LOCKED":
			return client.ErrLocked
		default:
			return fmt.Errorf("the answer is %.200q", b)
		}
	}
}

// keep changes profiles, all with names of its own.
func (w *world) keep(ctx context.Context, prefix string) {
	var own []string
	for n := 0; ctx.Err() == nil; n++ {
		pause(ctx, time.Duration(50+rand.IntN(150))*time.Millisecond)
		w.vault.Lock()
		own = w.change(ctx, own, fmt.Sprintf("%s-%d", prefix, n))
		w.vault.Unlock()
	}
}

// change makes one change and notes whether it was acknowledged. What was cut off may
// be there or not, and is left alone from then on.
func (w *world) change(ctx context.Context, own []string, fresh string) []string {
	ctx = context.WithoutCancel(ctx)
	pick := func() (string, []string) {
		i := rand.IntN(len(own))
		name := own[i]
		return name, append(own[:i:i], own[i+1:]...)
	}
	kind := rand.IntN(10)
	if len(own) == 0 {
		kind = 0
	} else if len(own) > manyProfiles {
		kind = 9
	}
	var old, now string
	var err error
	switch {
	case kind < 5:
		now = fresh
		_, err = w.home.Run(ctx, realagent.Profile(len(fresh)), "profile", "add", now, "--from", "-")
	case kind < 7:
		old, own = pick()
		now = old
		_, err = w.home.Run(ctx, fmt.Sprintf(`{"token_secret":"%064d"}`, 1000+rand.IntN(1000)), "profile", "edit", now, "--from", "-")
	case kind < 8:
		old, own = pick()
		now = fresh
		_, err = w.home.Run(ctx, "", "profile", "rename", old, now)
	default:
		old, own = pick()
		_, err = w.home.Run(ctx, "", "profile", "rm", old)
	}
	if err != nil {
		if !explained(err) {
			w.fail("changing a profile: %v", err)
		}
		w.cutOff++
		if old != "" && (old == now || strings.Contains(err.Error(), "NSA-LOCKED")) {
			return append(own, old) // as it was: an edit leaves it there, a locked vault does nothing
		}
		delete(w.there, old)
		return own
	}
	w.changes++
	if old != "" && old != now {
		delete(w.there, old)
		w.gone[old] = true
	}
	if now == "" {
		return own
	}
	w.there[now] = true
	return append(own, now)
}

// lockAndUnlock locks now and then, and unlocks what somebody or the clock locked.
func (w *world) lockAndUnlock(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, time.Duration(100+rand.IntN(400))*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		out, err := w.home.Run(context.WithoutCancel(ctx), "", "status", "-o", "json")
		if err != nil {
			continue // killed
		}
		var status struct{ Locked bool }
		if err := json.Unmarshal(out, &status); err != nil {
			w.fail("status says %.100q: %v", out, err)
			return
		}
		if status.Locked {
			w.unlock(ctx)
			continue
		}
		if rand.IntN(5) > 0 {
			continue
		}
		if _, err := w.home.Run(context.WithoutCancel(ctx), "", "lock"); err == nil {
			w.locks.Add(1)
		} else if !explained(err) {
			w.fail("locking: %v", err)
		}
	}
}
