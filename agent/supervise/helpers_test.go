package supervise

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"
)

// launchMany has as many gateways as may live at once, and as many requests as may wait.
// Nothing but their connections ends them.
func launchMany(l *Link) int {
	ctx := context.Background()
	var conns []io.Closer
	for i := range maxGateways {
		c, err := l.LaunchGateway(ctx)
		if err != nil {
			fmt.Println("launch", i, err)
			return 1
		}
		conns = append(conns, c)
	}
	begin := time.Now()
	refused := make(chan error)
	for range maxGateways + 1 {
		go func() { _, err := l.LaunchGateway(ctx); refused <- err }()
	}
	for i := range maxGateways + 1 {
		err, took := <-refused, time.Since(begin)
		if err == nil || (i == 0) != (took < roomTime) {
			fmt.Println("refused", i, took, err)
			return 1
		}
		fmt.Println(err)
	}
	// What was refused takes no room later.
	for _, c := range conns {
		_ = c.Close()
	}
	for i := range maxGateways {
		if _, err := l.LaunchGateway(ctx); err != nil {
			fmt.Println("launch again", i, err)
			return 1
		}
	}
	return 0
}

// launchInTurn has helpers one after the other, each of which ends a while after its answer.
func launchInTurn(l *Link) int {
	for i := range 3 * maxHelpers {
		c, err := l.Launch(context.Background())
		if err != nil {
			fmt.Println("launch", i, err)
			return 1
		}
		_, _ = io.WriteString(c, "linger")
		if b, err := io.ReadAll(c); err != nil || string(b) != "helped linger" {
			fmt.Printf("helper %d: %q, %v\n", i, b, err)
			return 1
		}
		_ = c.Close()
	}
	return 0
}

func TestHelpersAreLimited(t *testing.T) {
	const full = "starting the gateway: supervise: parent process: 2 gateways at once already\n"
	if out, err := runAgent(t, t.Context(), "many"); err != nil || out != full+full+full {
		t.Errorf("got %q, %v", out, err)
	}
}

// TestHelpersInTurn guards an unlock on a busy machine: its calls come one after the other,
// and a helper that has answered still takes a moment to end.
func TestHelpersInTurn(t *testing.T) {
	if out, err := runAgent(t, t.Context(), "in turn"); err != nil {
		t.Errorf("got %q, %v", out, err)
	}
}
