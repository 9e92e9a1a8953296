// Command nsabuse is a hostile client. It attacks a running agent in every way that
// a local process can, while an honest client goes on signing, and prints the table
// of docs/hostile.md.
//
// The agent is the real product in processes of its own, and so is each attack. An
// attack passes if the honest client is served all the while, the agent is as it was
// afterwards, and nothing was answered that should have been refused.
//
// It attacks an agent that it started itself, in a home of its own, and no other.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nsagent/nsagent/internal/realagent"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are the flags of the command.
type options struct {
	bin    string
	time   time.Duration
	only   string
	play   string // a child: which attack to play
	target target
}

// run is main with its surroundings given; it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("nsabuse", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.bin, "bin", "bin/nsagent", "the program to attack")
	flags.DurationVar(&o.time, "time", 3*time.Second, "how long each attack takes")
	flags.StringVar(&o.only, "only", "", "run only the attacks whose name contains this")
	flags.StringVar(&o.play, "play", "", "play one attack (for the processes that it starts)")
	flags.StringVar(&o.target.Agent, "agent", "", "agent.sock, with -play")
	flags.StringVar(&o.target.Admin, "admin", "", "admin.sock, with -play")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if o.play != "" {
		err = play(ctx, o, stdout)
	} else {
		err = abuse(ctx, o, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "nsabuse:", err)
		return 1
	}
	return 0
}

// Limits that an attack has to leave standing.
const (
	backWithin    = time.Second
	p99Below      = 50 * time.Millisecond
	residentBelow = 160 << 20
)

// abuse runs the attacks one after the other and prints what each did.
func abuse(ctx context.Context, o options, out io.Writer) error {
	s, err := newScene(ctx, o.bin)
	if err != nil {
		return err
	}
	defer s.close()
	fmt.Fprintln(out, "| attack | done | let through | honest calls | failed | p50 | p99 | worst | back after | agent afterwards | met |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|")
	var unmet []string
	for _, a := range attacks() {
		if !strings.Contains(a.name, o.only) {
			continue
		}
		if a.uid != 0 && os.Geteuid() != 0 {
			fmt.Fprintf(out, "| %s | not run: needs root | | | | | | | | | |\n", a.what)
			continue
		}
		r, err := s.run(ctx, a, o.time)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		met := "yes"
		if why := r.unmet(s.before, true); why != "" {
			met = "no: " + why
			unmet = append(unmet, a.name+": "+why)
		}
		fmt.Fprintf(out, "| %s | %d %s | %d | %d | %d | %s | %s | %s | %s | %s | %s |\n", a.what, r.tally.Done, a.unit, r.tally.Through,
			r.honest.calls, r.honest.failed, short(r.honest.p50), short(r.honest.p99), short(r.honest.worst), short(r.back), r.after, met)
	}
	fmt.Fprintf(out, "\nBefore the first attack the agent held %s.\n", s.before)
	if len(unmet) > 0 {
		return fmt.Errorf("not met:\n  %s", strings.Join(unmet, "\n  "))
	}
	return nil
}

func short(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

// result is what one attack did.
type result struct {
	attack attack
	tally  tally
	honest served
	back   time.Duration
	after  realagent.Use
	denied int // refused peers on record
}

// unmet says what the attack broke; empty if nothing. timed adds the limits in
// time, for a machine that has nothing else to do.
func (r result) unmet(before realagent.Use, timed bool) string {
	switch {
	case r.tally.Wrong != "":
		return r.tally.Wrong
	case r.tally.Done == 0:
		return "the attack did nothing"
	case r.honest.calls == 0:
		return "no honest call came through"
	case r.honest.failed > 0:
		return fmt.Sprintf("%d honest calls failed: %v", r.honest.failed, r.honest.err)
	case r.attack.recorded && r.denied == 0:
		return "no refusal is on record"
	case r.after.Resident > residentBelow:
		return fmt.Sprintf("memory grew from %s to %s", before, r.after)
	case r.after.Descriptors > before.Descriptors+fewDescriptors:
		return fmt.Sprintf("descriptors stay: %s, now %s", before, r.after)
	case timed && r.back > backWithin:
		return fmt.Sprintf("back after %s", short(r.back))
	case timed && r.honest.p99 > p99Below:
		return fmt.Sprintf("p99 %s", short(r.honest.p99))
	}
	return ""
}
