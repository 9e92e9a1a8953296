package agent

import (
	"context"
	"sync"
	"time"

	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/vault"
)

// line is what ends with a session, beside its keys: the processes that have something of
// it in their memory, and whatever waits for them. The zero value is ready.
type line struct {
	mu    sync.Mutex // guards what follows
	ended bool
	ends  map[any]func()
}

// add has end called when the line ends, which must not wait for anything. The error is
// vault.ErrLocked where that has been; nothing is sent for the session then.
func (l *line) add(key any, end func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return vault.ErrLocked
	}
	if l.ends == nil {
		l.ends = make(map[any]func())
	}
	l.ends[key] = end
	return nil
}

func (l *line) remove(key any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ends, key)
}

// hold has c closed when the line ends, or at once where it has.
func (l *line) hold(c *gateway.Conn) error {
	err := l.add(c, func() { _ = c.Close() })
	if err != nil {
		_ = c.Close()
	}
	return err
}

// share is hold for a connection that is not the session's alone: as long as it has nothing
// of the session, it stays open.
func (l *line) share(c *gateway.Conn) error {
	l.mu.Lock()
	_, known := l.ends[c]
	l.mu.Unlock()
	if known {
		return nil
	}
	if err := l.add(c, func() { _ = c.Close() }); err != nil {
		return err
	}
	go func() {
		<-c.Done()
		l.remove(c)
	}()
	return nil
}

// cause returns err, or vault.ErrLocked where the line has ended, which is why then.
func (l *line) cause(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return vault.ErrLocked
	}
	return err
}

// told is cause for what came of a request.
func (l *line) told(a gateway.Answer, err error) (gateway.Answer, error) {
	if err = l.cause(err); err != nil {
		return gateway.Answer{}, err
	}
	return a, nil
}

// end closes and cancels all. What was decided on before is not sent from then on.
func (l *line) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, end := range l.ends {
		end()
	}
	l.ends = nil
}

// bound returns ctx, which ends with the line as well.
func (l *line) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if l.add(ctx, cancel) != nil {
		cancel()
	}
	return ctx, func() {
		l.remove(ctx)
		cancel()
	}
}

// during returns a context for what comes to an end though whoever asked for it may go
// away: it ends after d, and with the line.
func (l *line) during(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), d)
	ctx, end := l.bound(ctx)
	return ctx, func() {
		end()
		stop()
	}
}
