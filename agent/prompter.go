package agent

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"
)

const (
	// prompterPause is how long nobody is asked by a window where the process that does so
	// ended although somebody waits. The other ways to answer go on.
	prompterPause = time.Minute
	// maxPrompterText bounds what that process has logged, in bytes.
	maxPrompterText = 1024
)

// tendPrompter has somebody asked, by a process of its own, while callers wait for an
// approval. That process is a client of admin.sock like any other, and approves nothing
// without a proof.
func (a *Agent) tendPrompter(ctx context.Context) error {
	for a.cfg.Prompter != nil {
		all, revision := a.approvals.Requests()
		if len(all) == 0 {
			select {
			case <-a.approvals.Changed(revision):
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err := a.runPrompter(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("nobody is asked by a window", "error", err)
		}
		// It ends when nothing waits: what waited before would not any more.
		if _, err := a.approvals.Find(all[0].ID); err == nil && !pause(ctx, prompterPause) {
			return nil
		}
	}
	<-ctx.Done()
	return nil
}

// pause waits, and reports false where ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// runPrompter runs the process to its end, and logs what it says.
func (a *Agent) runPrompter(ctx context.Context) error {
	conn, err := a.cfg.Prompter(ctx)
	if err != nil {
		return fmt.Errorf("starting it: %w", err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	for lines := bufio.NewScanner(io.LimitReader(conn, maxPrompterText)); lines.Scan(); {
		a.log.Warn("asking for an approval by a window", "error", lines.Text())
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}
