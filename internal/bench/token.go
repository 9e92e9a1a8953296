package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// tokenProfile is an M2M profile for the NetSuite of `nsagent mock`.
const tokenProfile = "bench-m2m"

// tokenRows measures what an access token costs that the agent has already. The exchange
// for it went through the gateway to a NetSuite of ours.
func tokenRows(ctx context.Context, w *world) ([]row, error) {
	stop, profiles, err := w.startMock(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	var m2m map[string]any
	text, err := os.ReadFile(filepath.Join(profiles, "1234567-sb1-m2m.json")) // #nosec G703 -- written by our own mock
	if err == nil {
		err = json.Unmarshal(text, &m2m)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the profile of the mock: %w", err)
	}
	m2m["access"] = "write"
	if text, err = json.Marshal(m2m); err != nil {
		return nil, err
	}
	if err := w.nsagent(ctx, w.agent.home, string(text), "profile", "add", tokenProfile, "--from", "-"); err != nil {
		return nil, err
	}
	c, err := w.dial()
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	first, err := c.sign.AccessToken(ctx, &pb.AccessTokenRequest{Profile: tokenProfile})
	if err != nil {
		return nil, fmt.Errorf("getting an access token: %w", err)
	}
	ratio, echo, token, err := w.alternate(func() error { return c.doEcho(ctx) }, func() error {
		r, err := c.sign.AccessToken(ctx, &pb.AccessTokenRequest{Profile: tokenProfile})
		if err == nil && r.GetAccessToken() != first.GetAccessToken() {
			err = fmt.Errorf("the access token was not the one that is kept")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return []row{{"cached `AccessToken` p50 / empty gRPC echo on the same socket, 1 client", "≤ 1.20", fmt.Sprintf("%.2f", median(ratio)),
		fmt.Sprintf("%s against %s, %d bytes; %s", token, echo, len(first.GetAccessToken()), spread(ratio)), median(ratio) <= 1.20}}, nil
}

// startMock runs `nsagent mock` and returns the directory of its profiles.
func (w *world) startMock(ctx context.Context) (stop func(), profiles string, err error) {
	profiles = filepath.Join(w.dir, "mock")
	c := w.command(ctx, w.agent.home, "mock", "--tls", "--profiles", profiles, "-o", "jsonl")
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := c.Start(); err != nil {
		return nil, "", err
	}
	stop = func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() { // it serves, and the profiles are there
		stop()
		return nil, "", fmt.Errorf("the mock said nothing: %w", lines.Err())
	}
	go func() {
		for lines.Scan() {
			continue // its verdicts
		}
	}()
	return stop, profiles, nil
}
