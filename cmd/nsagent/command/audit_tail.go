package command

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/term"
)

type tailOptions struct {
	filterFlags
	number   int
	noFollow bool
}

func newAuditTail(e *env) *cobra.Command {
	var o tailOptions
	c := &cobra.Command{
		Use:   "tail",
		Short: "Print the newest entries of the log, and those to come",
		Long: `Print the newest entries of the log, and then each entry as it is written, until
it is interrupted or nobody reads what it prints. It needs no agent and no
passphrase. -p picks a profile.`,
		Example: `  nsagent audit tail
  nsagent audit tail -n 0 --outcome denied
  nsagent audit tail -o jsonl --since 1h`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runAuditTail(c.Context(), e, o) },
	}
	o.register(c.Flags())
	c.Flags().IntVarP(&o.number, "number", "n", 10, "how many of the newest that match, `N`, come first")
	c.Flags().BoolVar(&o.noFollow, "no-follow", false, "end after those")
	return c
}

func runAuditTail(ctx context.Context, e *env, o tailOptions) error {
	f, err := o.filter(e)
	if err != nil {
		return err
	}
	if o.number < 0 {
		return usage("-n is negative", "it takes a number of entries; 0 means those to come alone", "")
	}
	p, err := e.auditPaths()
	if err != nil {
		return err
	}
	last, err := audit.LastSeq(p.AuditDir)
	if err != nil {
		return noAudit(err, p.AuditDir)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go untilUnread(ctx, cancel)

	t := newEntryPrinter(e)
	t.stream()
	if err := printNewest(e, t, f, last, o.number); err != nil {
		return err
	}
	if !o.noFollow && (f.Last == 0 || f.Last > last) {
		f.First = max(f.First, last+1)
		for x, err := range audit.Follow(ctx, p.AuditDir, last+1, f) {
			if err != nil {
				return noAudit(err, p.AuditDir)
			}
			if err := t.print(x); err != nil {
				return err
			}
			if x.Seq == f.Last {
				break
			}
		}
	}
	return nil
}

// printNewest prints the last n of the entries up to last that f lets through.
func printNewest(e *env, t *entryPrinter, f audit.Filter, last uint64, n int) error {
	if n == 0 || last == 0 {
		return nil
	}
	if f.Last == 0 || f.Last > last {
		f.Last = last
	}
	kept, err := e.newest(f, n)
	if err != nil {
		return err
	}
	for _, x := range kept {
		t.fit(x)
	}
	for _, x := range kept {
		if err := t.print(x); err != nil {
			return err
		}
	}
	return nil
}

// untilUnread cancels when nobody can read standard output any more, as after head has
// taken its lines: a tail that waits would else not notice before the next entry.
func untilUnread(ctx context.Context, cancel context.CancelFunc) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if term.Unread(os.Stdout) {
			cancel()
			return
		}
	}
}
