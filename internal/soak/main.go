// Command soak loads an agent for long, and breaks it all the while: 64 clients
// sign, profiles are added, edited, renamed and removed, the vault is locked and
// unlocked, the process is stopped, killed and started again, and its clock jumps as
// it does over a suspend.
//
// It ends with an error if a change that was acknowledged is lost, if a signature is
// not on record, if the log does not verify, if a call fails in any way but those
// that locking and killing explain, or if memory, goroutines or descriptors grow.
//
// The agent is package agent in a process of its own, with the sandbox and a clock
// that can be told to jump; commands are the product.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// options are the flags of the command.
type options struct {
	bin       string
	time      time.Duration
	clients   int
	killEvery time.Duration
	agent     bool // a child: the agent
}

// run is main with its surroundings given; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.bin, "bin", "bin/nsagent", "the program to run commands with")
	flags.DurationVar(&o.time, "time", 30*time.Minute, "how long to go on")
	flags.IntVar(&o.clients, "clients", 64, "how many clients sign")
	flags.DurationVar(&o.killEvery, "kill", 10*time.Second, "how often the agent is killed, during the first two thirds")
	flags.BoolVar(&o.agent, "agent", false, "be the agent (for the process that it starts)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if o.agent {
		err = runAgent(ctx, stdin, stdout)
	} else {
		err = soak(ctx, o, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "soak:", err)
		return 1
	}
	return 0
}

// soak runs everything for the given time and prints what happened.
func soak(ctx context.Context, o options, out io.Writer) (err error) {
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	begin := time.Now()
	w.load(ctx, o)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	quiet, err := w.quiet(ctx)
	if err != nil {
		w.fail("%v", err)
	}
	if err := w.agent.Stop(); err != nil {
		w.fail("stopping the agent: %v", err)
	}
	entries, err := w.checkLog(ctx)
	if err != nil {
		w.fail("%v", err)
	}
	fmt.Fprintf(out, `%s, %d clients
signatures   %d acknowledged, %d on record, %d calls refused while locked or killed
profiles     %d changes acknowledged, %d cut off, %d there at the end
disturbed    %d kills, %d locks, %d stops of the process, %d jumps of the clock
audit log    %d entries, verified
before       %s
under load   %s at most
afterwards   %s
`,
		time.Since(begin).Round(time.Second), o.clients, w.signed.Load(), entries.signed, w.refused.Load(),
		w.changes, w.cutOff, len(w.there), w.kills, w.locks.Load(), w.stops, w.jumps, entries.all, w.before, w.most, quiet)
	return w.failures()
}
