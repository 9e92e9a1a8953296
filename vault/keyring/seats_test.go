//go:build linux

package keyring

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
)

// TestSeats: calls wait for a seat within their time, and give it up at their end.
func TestSeats(t *testing.T) {
	a, err := secret.NewArena(secret.ArenaConfig{Mode: secret.ModeAuto, Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	var at, most atomic.Int64
	d := New(a, func(context.Context) (*net.UnixConn, error) {
		most.Store(max(most.Load(), at.Add(1)))
		defer at.Add(-1)
		time.Sleep(time.Millisecond)
		return nil, ErrNoService
	})
	d.Seats = make(chan struct{}, 1)
	done := make(chan error)
	for range 8 {
		go func() { _, err := d.Get(t.Context(), "item"); done <- err }()
	}
	for range 8 {
		if err := <-done; !errors.Is(err, ErrNoService) {
			t.Errorf("got %v", err)
		}
	}
	if most.Load() != 1 {
		t.Errorf("%d at once", most.Load())
	}
	d.Seats <- struct{}{}
	d.Timeout = 10 * time.Millisecond
	if _, err := d.Get(t.Context(), "item"); !errors.Is(err, ErrTimeout) {
		t.Errorf("without a seat: got %v", err)
	}
}
