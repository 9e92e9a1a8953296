package audit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Options are the settings of a Log. The zero value is right.
type Options struct {
	// FlushEvery is how long a written entry waits for its fsync at most, the time of
	// the fsync aside; zero means 50 ms, and more than 100 ms is refused.
	FlushEvery time.Duration
}

const (
	defaultFlushEvery = 50 * time.Millisecond
	maxFlushEvery     = 100 * time.Millisecond
)

// Log appends to the log of one directory. It is safe for concurrent use.
type Log struct {
	dir   string
	every time.Duration

	current atomic.Pointer[writer]
	mu      sync.Mutex // guards replacing current, and closed
	closed  bool
}

// Open opens the log in dir, making both if they are not there, takes the lock on it
// and checks its end.
//
// If a crash has left an incomplete line, or zeros that a power cut leaves, that part
// is moved to a file audit.torn-N beside the log and an audit.recovered entry, fsynced,
// says so. A line at the end that was changed is an error that wraps ErrBroken. Other
// errors wrap ErrInUse, ErrUnsafe or that of the system.
func Open(dir string, opts Options) (*Log, error) {
	if opts.FlushEvery == 0 {
		opts.FlushEvery = defaultFlushEvery
	}
	if opts.FlushEvery < 0 || opts.FlushEvery > maxFlushEvery {
		return nil, fmt.Errorf("audit: FlushEvery of %v is not within %v", opts.FlushEvery, maxFlushEvery)
	}
	w, err := openWriter(dir, opts.FlushEvery)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, every: opts.FlushEvery}
	l.current.Store(w)
	return l, nil
}

// Append adds an entry and returns its number once it has been written to the file;
// the fsync follows. It is for uses. If it fails, what the entry records must not
// happen. The error wraps ErrUnavailable, ErrClosed or ErrEvent.
func (l *Log) Append(e Event) (seq uint64, err error) {
	if err := e.check(); err != nil {
		return 0, err
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	return l.current.Load().append(&e)
}

// AppendSync is Append that returns once the entry has been fsynced. It is for
// administrative events.
func (l *Log) AppendSync(e Event) (seq uint64, err error) {
	if err := e.check(); err != nil {
		return 0, err
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	return l.current.Load().appendSync(&e)
}

// Err returns nil while entries can be written. Once a write or an fsync has failed it
// returns that failure, which wraps ErrUnavailable, until Recover.
func (l *Log) Err() error {
	_, _, err := l.current.Load().state()
	return err
}

// Head returns the number and the hash of the last entry that was written; zeros if
// there is none.
func (l *Log) Head() (seq uint64, hash [32]byte) {
	head, _, _ := l.current.Load().state()
	return head.Seq, head.Hash
}

// Recover tries to make a failed log usable: it opens the file anew, checks and repairs
// its end as Open does, and chains an audit.recovered entry that names the failure and
// the entries whose fsync is not certain. It does nothing if the log has not failed. If
// it fails the log stays as it was, and Recover may be called again.
func (l *Log) Recover() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	failed := l.current.Load()
	last, synced, cause := failed.state()
	if cause == nil {
		return nil
	}
	_ = failed.close(cause) // its failure is known; the lock must go
	w, err := openWriter(l.dir, l.every)
	if err != nil {
		return err
	}
	if _, err := w.appendSync(recoveredEvent(failureDetail(last, synced, w))); err != nil {
		_ = w.close(err)
		return err
	}
	l.current.Store(w)
	return nil
}

// Close fsyncs, closes the file and gives up the lock. It returns the failure of the
// log if there was one.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	return l.current.Load().close(ErrClosed)
}

// failureDetail says what a failure may have cost: entries that were acknowledged and
// are not in the file, and entries whose fsync did not succeed.
func failureDetail(last Head, synced uint64, w *writer) string {
	detail := "after=failure"
	if synced < last.Seq {
		detail += fmt.Sprintf(" unsynced=%d-%d", synced+1, last.Seq)
	}
	if found, _, _ := w.state(); found != last {
		detail += fmt.Sprintf(" expected=%d:%x found=%d", last.Seq, last.Hash[:8], found.Seq)
	}
	return detail
}
