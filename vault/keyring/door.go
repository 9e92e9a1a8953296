package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
)

// DefaultTimeout is how long a call may take, the start of its helper included.
const DefaultTimeout = 5 * time.Second

// Launch starts a helper process, which is to call Serve on the other end, and
// returns our end of its socketpair. It gives up when ctx ends. Closing the
// connection must be enough to end the helper.
type Launch func(ctx context.Context) (conn *net.UnixConn, err error)

// Door reads and writes small items of the OS keyring through helper processes.
// It is safe for concurrent use.
type Door struct {
	// Timeout is how long each call may take; zero means DefaultTimeout. Set it
	// before the first call.
	Timeout time.Duration
	// Seats holds a value for each call under way; the others wait, within their time. Doors
	// may share it. nil: there may be any number. Set it before the first call.
	Seats chan struct{}

	arena  *secret.Arena
	launch Launch
}

// New returns a door whose values are kept in arena and whose helpers come from
// launch.
func New(arena *secret.Arena, launch Launch) *Door {
	return &Door{arena: arena, launch: launch}
}

// Get returns the value of an item, which the caller must destroy.
//
// Errors: ErrNotFound, ErrForeign, those of a keyring that is not there or gives no
// access, and those of the arena. Where ctx ends first, the error is its own too.
func (d *Door) Get(ctx context.Context, item string) (secret.Bytes, error) {
	v, err := d.call(ctx, opGet, item, secret.Bytes{})
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("reading keyring item %q: %w", item, err)
	}
	if v.IsZero() { // an empty value is not one of ours
		return secret.Bytes{}, fmt.Errorf("reading keyring item %q: %w", item, ErrForeign)
	}
	return v, nil
}

// Set makes or replaces an item; v stays the caller's. When it returns without an
// error the keyring has given the value back once.
//
// Errors: ErrTooLarge and ErrRequest without a call, else as Get.
func (d *Door) Set(ctx context.Context, item string, v secret.Bytes) error {
	if _, err := d.call(ctx, opSet, item, v); err != nil {
		return fmt.Errorf("writing keyring item %q: %w", item, err)
	}
	return nil
}

// Delete removes an item. Errors: ErrNotFound, else as Get.
func (d *Door) Delete(ctx context.Context, item string) error {
	if _, err := d.call(ctx, opDelete, item, secret.Bytes{}); err != nil {
		return fmt.Errorf("deleting keyring item %q: %w", item, err)
	}
	return nil
}

// call has one helper do one thing.
func (d *Door) call(ctx context.Context, op byte, item string, v secret.Bytes) (secret.Bytes, error) {
	head, err := appendRequest(nil, op, item, v.Len())
	if err != nil {
		return secret.Bytes{}, err
	}
	limit := d.Timeout
	if limit <= 0 {
		limit = DefaultTimeout
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	if d.Seats != nil {
		select {
		case d.Seats <- struct{}{}:
			defer func() { <-d.Seats }()
		case <-timed.Done():
			return secret.Bytes{}, fmt.Errorf("waiting for other calls: %w", explain(ctx, timed.Err()))
		}
	}
	conn, err := d.launch(timed)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("starting a helper: %w", explain(ctx, err))
	}
	defer conn.Close()
	stop := context.AfterFunc(timed, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	result, err := d.exchange(conn, head, v)
	if err != nil {
		return secret.Bytes{}, explain(ctx, err)
	}
	return result, nil
}

// exchange writes the request and reads the answer. Values go from and to the arena
// without a stop: a Unix socket has no buffer of its own in this process.
func (d *Door) exchange(conn *net.UnixConn, head []byte, v secret.Bytes) (secret.Bytes, error) {
	if _, err := conn.Write(head); err != nil {
		return secret.Bytes{}, err
	}
	if v.Len() > 0 {
		err := v.Use(func(p []byte) error {
			_, err := conn.Write(p)
			return err
		})
		if err != nil {
			return secret.Bytes{}, err
		}
	}
	a, err := readAnswer(conn)
	if err != nil {
		return secret.Bytes{}, err
	}
	if err := a.decodeError(); err != nil || a.value == 0 {
		return secret.Bytes{}, err
	}
	result, err := d.arena.Alloc(a.value)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("taking the value: %w", err)
	}
	err = result.Use(func(p []byte) error {
		_, err := io.ReadFull(conn, p)
		return err
	})
	if err != nil {
		result.Destroy()
		return secret.Bytes{}, err
	}
	return result, nil
}

// explain turns what went wrong between door and helper into an error of this
// package; ctx is the caller's.
func explain(ctx context.Context, err error) error {
	switch {
	case Remedy(err) != "" || errors.Is(err, secret.ErrFull) || errors.Is(err, secret.ErrDestroyed):
		return err
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ctx.Err()
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the helper ended without an answer", ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
