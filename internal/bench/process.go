package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const processRuns = 60

// commandRows compares whole processes: `nsagent sign` and `ssh-keygen -Y sign`
// through ssh-agent, in turns.
func commandRows(ctx context.Context, w *world) ([]row, error) {
	s, err := w.sshAgent()
	if err != nil {
		return nil, err
	}
	defer s.stop()
	public := filepath.Join(w.dir, "id.pub")
	message := filepath.Join(w.dir, "message")
	if err := os.WriteFile(public, []byte(s.key.String()+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(message, make([]byte, 600), 0o600); err != nil {
		return nil, err
	}
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		return nil, err
	}
	var ours, theirs []time.Duration
	for range processRuns {
		_ = os.Remove(message + ".sig")
		c := exec.CommandContext(ctx, keygen, "-Y", "sign", "-f", public, "-n", "bench", message) // #nosec G204 -- the peer to measure
		c.Env = []string{"SSH_AUTH_SOCK=" + s.socket, "HOME=" + w.dir}
		t, err := timed(c)
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, t)
		if t, err = timed(w.command(ctx, w.agent.home, "-q", "-p", profile, "sign", signURL)); err != nil {
			return nil, err
		}
		ours = append(ours, t)
	}
	ratio := float64(median(ours)) / float64(median(theirs))
	return []row{{"`nsagent sign` as a whole process / `ssh-keygen -Y sign` through ssh-agent", "≤ 1.4", fmt.Sprintf("%.2f", ratio),
		fmt.Sprintf("%s against %s", median(ours).Round(100*time.Microsecond), median(theirs).Round(100*time.Microsecond)), ratio <= 1.4}}, nil
}

func timed(c *exec.Cmd) (time.Duration, error) {
	begin := time.Now()
	if err := c.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Base(c.Path), err)
	}
	return time.Since(begin), nil
}

// startRows measures the idle agent and the way from start to first signature. The
// unlock runs Argon2id, whose time is measured beside it and taken off.
func startRows(ctx context.Context, w *world) ([]row, error) {
	time.Sleep(3 * time.Second) // let freed memory go back
	idle, err := residentMiB(w.agent.pid)
	if err != nil {
		return nil, err
	}
	var total []time.Duration
	for i := range w.rounds {
		home := filepath.Join(w.dir, fmt.Sprintf("start%d", i))
		if err := copyHome(w.agent.home, home); err != nil {
			return nil, err
		}
		begin := time.Now()
		d, err := w.start(ctx, home)
		if err != nil {
			return nil, err
		}
		started := time.Now()
		if err := w.unlock(ctx, home); err != nil {
			d.stop()
			return nil, err
		}
		unlocked := time.Now()
		_, err = d.client.Sign(ctx, benchRequest)
		signed := time.Now()
		// Unlocking again costs the same KDF and the same process, and opens the same
		// profiles: what it takes is the part that is not the start.
		if err == nil {
			err = w.unlock(ctx, home)
		}
		again := time.Since(signed)
		d.stop()
		if err != nil {
			return nil, err
		}
		total = append(total, started.Sub(begin)+max(0, unlocked.Sub(started)-again)+signed.Sub(unlocked))
	}
	rssGoal, startGoal := 25.0, 60*time.Millisecond
	return []row{
		{"idle resident memory of the agent, 10 profiles", "≤ 25 MiB", fmt.Sprintf("%.1f MiB", idle), "VmRSS, 3 s after the last profile was added", idle <= rssGoal},
		{"`agent run` to first signature, KDF aside", "≤ 60 ms", median(total).Round(100 * time.Microsecond).String(), "supervisor and sandbox included", median(total) <= startGoal},
	}, nil
}

func copyHome(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	return exec.Command("cp", "-a", filepath.Join(from, ".local"), to).Run() // #nosec G204 -- keeps the modes
}

// largeRows measures 10,000 profiles. The test of package agent makes the vault.
func largeRows(ctx context.Context, w *world) ([]row, error) {
	const n = 10000
	home := filepath.Join(w.dir, "large")
	gen := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "TestLargeVault", "./agent") // #nosec G204 -- our own test
	gen.Env = append(os.Environ(), "NSAGENT_LARGE_VAULT="+home, fmt.Sprintf("NSAGENT_LARGE_VAULT_SIZE=%d", n))
	if out, err := gen.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making a large vault: %w: %s", err, out)
	}
	d, err := w.start(ctx, home)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	var large, small []time.Duration
	for range w.rounds {
		for _, m := range []struct {
			home string
			to   *[]time.Duration
		}{{home, &large}, {w.agent.home, &small}} {
			begin := time.Now()
			if err := w.unlock(ctx, m.home); err != nil {
				return nil, err
			}
			*m.to = append(*m.to, time.Since(begin))
		}
	}
	time.Sleep(3 * time.Second)
	rss, err := residentMiB(d.pid)
	if err != nil {
		return nil, err
	}
	unlock := median(large) - median(small)
	return []row{
		{"unlock 10,000 profiles, KDF aside", "≤ 0.5 s", unlock.Round(time.Millisecond).String(), "more than with 10 profiles", unlock <= 500*time.Millisecond},
		{"idle resident memory of the agent, 10,000 profiles", "≤ 60 MiB", fmt.Sprintf("%.1f MiB", rss), "VmRSS", rss <= 60},
	}, nil
}
