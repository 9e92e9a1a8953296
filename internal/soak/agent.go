package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/internal/socketpath"
)

// What the agent's process is told, a line each.
const (
	sayJump   = "jump " // and a duration: the boot clock goes forward
	sayReport = "report"
	sayLive   = "live" // a report after a garbage collection
)

// report is what the agent's process says about itself.
type report struct {
	Goroutines int `json:"goroutines"`
	// Live is what the heap holds, in bytes; after a collection it is what is in use.
	Live int64 `json:"live"`
}

// reportNow reports on this process, if exact after it has collected its garbage:
// twice, since the first time frees what finalizers and cleanups hold.
func reportNow(exact bool) report {
	if exact {
		runtime.GC()
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return report{runtime.NumGoroutine(), int64(m.HeapAlloc)} // #nosec G115 -- no heap is that large
}

// runAgent is the process of the agent. It ends with its input.
func runAgent(ctx context.Context, in io.Reader, out io.Writer) error {
	p, err := socketpath.Find(socketpath.Options{Getenv: os.Getenv})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var jumped atomic.Int64
	a, err := agent.New(ctx, agent.Config{
		Paths: p, Version: "soak", Sandbox: true,
		Boottime: func() time.Duration { return agent.Boottime() + time.Duration(jumped.Load()) },
	})
	if err != nil {
		return err
	}
	go func() {
		defer cancel()
		for lines := bufio.NewScanner(in); lines.Scan(); {
			if by, ok := strings.CutPrefix(lines.Text(), sayJump); ok {
				if d, err := time.ParseDuration(by); err == nil {
					jumped.Add(int64(d))
				}
				continue
			}
			if err := json.NewEncoder(out).Encode(reportNow(lines.Text() == sayLive)); err != nil {
				return
			}
		}
	}()
	if err := a.Run(ctx); err != nil {
		return fmt.Errorf("running the agent: %w", err)
	}
	return nil
}
