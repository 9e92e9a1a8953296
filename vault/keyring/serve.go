package keyring

import (
	"fmt"
	"io"
	"net"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
)

// serveTimeout is how long a helper lives at most. It is longer than a Door waits,
// so that the door's error is the one that counts.
const serveTimeout = 6 * time.Second

// Serve is the life of a helper process: it reads one request from conn, makes the
// call, answers, and returns. It also returns, with the call still running, when the
// other end closes or after 6 seconds; the process must exit then, and that ends the
// call. The error says why there was no answer; what the keyring said is in the
// answer.
//
// The process should have given up its rights first (harden.Process and
// harden.Helper), and have an environment with the address of the bus and little
// else: on Linux and the BSDs Serve sets DBUS_SESSION_BUS_ADDRESS and unsets PATH.
func Serve(conn *net.UnixConn) error { return serve(conn, serveTimeout, perform) }

// serve is Serve with its parts given.
func serve(conn *net.UnixConn, limit time.Duration, perform func(request) ([]byte, error)) error {
	defer conn.Close()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return fmt.Errorf("limiting the time of the helper: %w", err)
	}
	var buf [requestSize]byte
	req, err := readRequest(conn, &buf)
	if err != nil {
		secret.Wipe(buf[:])
		return fmt.Errorf("reading the request: %w", err)
	}

	type result struct {
		value []byte
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := guard(req, perform)
		done <- result{value, err}
	}()
	gone := make(chan struct{})
	go func() { // nothing follows a request: whatever comes ends the helper
		_, _ = conn.Read(make([]byte, 1))
		close(gone)
	}()
	select {
	case r := <-done: // else the call still runs, and the end of the process wipes
		defer secret.Wipe(buf[:])
		defer secret.Wipe(r.value)
		return reply(conn, r.value, r.err)
	case <-gone:
		return fmt.Errorf("waiting for the keyring: %w", io.ErrUnexpectedEOF)
	case <-timer.C:
		return fmt.Errorf("waiting for the keyring: %w", ErrTimeout)
	}
}

// reply writes the answer.
func reply(conn *net.UnixConn, value []byte, err error) error {
	if err != nil {
		value = nil
	}
	for _, part := range [][]byte{appendAnswer(nil, err, len(value)), value} {
		if len(part) == 0 {
			continue
		}
		if _, err := conn.Write(part); err != nil {
			return fmt.Errorf("answering: %w", err)
		}
	}
	return nil
}

// guard makes a call and turns a panic into an error: the client of the Secret
// Service panics when the bus goes away during a prompt, or lies about types.
func guard(req request, perform func(request) ([]byte, error)) (value []byte, err error) {
	defer func() {
		if recover() != nil {
			value, err = nil, fmt.Errorf("%w: the keyring's client broke off", ErrUnavailable)
		}
	}()
	return perform(req)
}
