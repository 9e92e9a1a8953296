package approval

import (
	"context"
	"slices"
	"time"
)

// Waiting is one caller that waits.
type Waiting struct {
	queue   *Queue
	request *request
	caller  Caller
}

// Request returns what is waited for.
func (w *Waiting) Request() Request {
	w.queue.mu.Lock()
	defer w.queue.mu.Unlock()
	return w.request.copy()
}

// Wait returns nil once the request is approved, and else why not: ErrDenied, ErrTimeout,
// ErrDropped, or the error of ctx. last tells that it is this caller with whom the request
// went away, so that one of them writes it down. A caller that gives up leaves the request
// to the others that wait.
func (w *Waiting) Wait(ctx context.Context) (last bool, err error) {
	r := w.request
	// The timer stands still while the machine sleeps, and the request does not: who
	// approves it late finds it gone by the boot clock, and this caller wakes up here.
	timer := time.NewTimer(max(r.Ends-w.queue.boottime(), 0))
	defer timer.Stop()
	select {
	case <-r.done:
		return false, r.verdict
	case <-ctx.Done():
		return w.leave(ctx.Err())
	case <-timer.C:
		return w.expire()
	}
}

// settled reports whether there is a verdict.
func (r *request) settled() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// leave takes the caller out of the request, and with the last one the request away.
func (w *Waiting) leave(cause error) (last bool, err error) {
	q, r := w.queue, w.request
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.settled() {
		return false, cause
	}
	// Of one process all that wait are alike.
	if i := slices.IndexFunc(r.Callers, func(c Caller) bool { return c.PID == w.caller.PID }); i >= 0 {
		r.Callers = slices.Delete(r.Callers, i, i+1)
	}
	if len(r.Callers) > 0 {
		q.noteLocked()
		return false, cause
	}
	q.settleLocked(r, cause)
	return true, cause
}

// expire ends the request because its time is over.
func (w *Waiting) expire() (last bool, err error) {
	q, r := w.queue, w.request
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.settled() {
		return false, r.verdict
	}
	q.settleLocked(r, ErrTimeout)
	return true, ErrTimeout
}

// Cancel takes the request away before anybody could answer it: it could not be recorded.
func (w *Waiting) Cancel() {
	q, r := w.queue, w.request
	q.mu.Lock()
	defer q.mu.Unlock()
	if !r.settled() {
		q.settleLocked(r, ErrDropped)
	}
}
