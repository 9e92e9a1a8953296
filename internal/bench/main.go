// Command bench measures nsagent beside its peers and prints the table of
// docs/benchmarks.md.
//
// Every row is a ratio within one run: what is compared runs in turns, so that a
// machine whose speed drifts drifts for both. The agent is the real binary in
// processes of its own, with policy and audit on.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// row is one line of the table.
type row struct {
	what, target, got, detail string
	met                       bool
}

// noTarget is the target of a row that is there for comparison only.
const noTarget = "none"

// section measures some rows.
type section struct {
	name string
	run  func(context.Context, *world) ([]row, error)
}

func main() {
	bin := flag.String("bin", "bin/nsagent", "the binary to measure")
	rounds := flag.Int("rounds", 5, "rounds of each comparison; the median counts")
	only := flag.String("only", "", "run only the sections whose name contains this")
	rawPath := flag.String("raw", "", "serve bare messages on this socket, for the rows that compare with it")
	flag.Parse()
	if *rawPath != "" {
		fmt.Fprintln(os.Stderr, "bench:", serveRaw(*rawPath))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *rounds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, rounds int, only string) error {
	w, err := newWorld(bin, rounds)
	if err != nil {
		return err
	}
	defer w.close()
	fmt.Printf("%s, %s, %d CPUs, Linux %s, %s\n\n", time.Now().UTC().Format(time.DateOnly), cpu(), runtime.NumCPU(), kernel(), runtime.Version())
	fmt.Println("| what | target | measured | met | detail |")
	fmt.Println("|---|---|---|---|---|")
	for _, s := range []section{
		{"start", startRows}, {"rpc", rpcRows}, {"raw", rawRows}, {"ssh-agent", sshAgentRows}, {"in process", inProcessRows}, {"decision", decisionRows}, {"unlock token", unlockTokenRows}, {"revocation", revocationRows}, {"token", tokenRows}, {"audit", auditRows}, {"command line", commandRows}, {"large vault", largeRows},
	} {
		if !strings.Contains(s.name, only) {
			continue
		}
		rows, err := s.run(ctx, w)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", s.name, err)
		}
		for _, r := range rows {
			met := "no"
			switch {
			case r.target == noTarget:
				met = "-"
			case r.met:
				met = "yes"
			}
			fmt.Printf("| %s | %s | %s | %s | %s |\n", r.what, r.target, r.got, met, r.detail)
		}
	}
	return nil
}

func cpu() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "?"
	}
	return unix.ByteSliceToString(u.Release[:])
}
