package audit

import (
	"errors"
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
	// Strict lets Append return only once the entry has been fsynced, as AppendSync
	// does. Callers that wait together share an fsync.
	Strict bool
	// SegmentSize is the size in bytes at which a file of the log is closed and a new
	// one begun; zero means 64 MiB.
	SegmentSize int64
}

const (
	defaultFlushEvery  = 50 * time.Millisecond
	maxFlushEvery      = 100 * time.Millisecond
	defaultSegmentSize = 64 << 20
)

// withDefaults fills in what was left out, and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	if o.FlushEvery == 0 {
		o.FlushEvery = defaultFlushEvery
	}
	if o.FlushEvery < 0 || o.FlushEvery > maxFlushEvery {
		return o, fmt.Errorf("audit: FlushEvery of %v is not within %v", o.FlushEvery, maxFlushEvery)
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegmentSize
	}
	if o.SegmentSize < 0 {
		return o, fmt.Errorf("audit: SegmentSize of %d", o.SegmentSize)
	}
	return o, nil
}

// Log appends to the log of one directory. It is safe for concurrent use.
type Log struct {
	dir     string
	opts    Options
	settled chan struct{} // has a message when entries were fsynced

	current atomic.Pointer[writer]
	mu      sync.Mutex // guards replacing current, and what follows
	closed  bool

	checking sync.Mutex // guards what follows; nothing waits under it
	// checkpoints is what makes them now, or did last; nil if nothing did.
	checkpoints  *Checkpoints
	checkpointed CheckpointStatus
}

// Open opens the log in dir, making both if they are not there, takes the lock on it
// and checks its end.
//
// If a crash has left an incomplete line, or zeros that a power cut leaves, that part
// is moved to a file audit.torn-N beside the log and an audit.recovered entry, fsynced,
// says so. A line at the end that was changed is an error that wraps ErrBroken. Other
// errors wrap ErrInUse, ErrUnsafe, or ErrOpen and that of the system.
func Open(dir string, opts Options) (*Log, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, opts: opts, settled: make(chan struct{}, 1)}
	w, err := openWriter(dir, opts, l.settled)
	if err != nil {
		if !errors.Is(err, ErrInUse) && !errors.Is(err, ErrUnsafe) && !errors.Is(err, ErrBroken) {
			err = fmt.Errorf("%w: %w", ErrOpen, err)
		}
		return nil, err
	}
	l.current.Store(w)
	if end, err := readCheckpointEnd(dir); err == nil && end.last != nil {
		l.checkpointed = CheckpointStatus{Size: end.last.Size, Head: end.last.Head, Time: end.last.Time}
	}
	return l, nil
}

// Append adds an entry and returns its number once it has been written to the file;
// the fsync follows, unless Options.Strict says that it comes first. It is for uses. If it
// fails, what the entry records must not happen. The error wraps ErrUnavailable, ErrClosed or ErrEvent.
func (l *Log) Append(e Event) (seq uint64, err error) {
	if err := e.check(); err != nil {
		return 0, err
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if l.opts.Strict {
		return l.current.Load().appendSync(&e)
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
	_ = failed.close(cause, nil, nil) // its failure is known; the lock must go
	w, err := openWriter(l.dir, l.opts, l.settled)
	if err != nil {
		return err
	}
	if _, err := w.appendSync(recoveredEvent(failureDetail(last, synced, w))); err != nil {
		_ = w.close(err, nil, nil)
		return err
	}
	l.current.Store(w)
	return nil
}

// Close fsyncs, makes a last checkpoint, closes the file and gives up the lock. It returns
// the failure of the log if there was one.
func (l *Log) Close() error { return l.finish(nil) }

// Finish is Close after one more entry, the last: no call of Append that runs
// meanwhile comes after it. If the entry cannot be written the log is closed all the
// same, and the error says so.
func (l *Log) Finish(e Event) error {
	if err := e.check(); err != nil {
		return errors.Join(err, l.Close())
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	return l.finish(&e)
}

func (l *Log) finish(last *Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	return l.current.Load().close(ErrClosed, last, l.stopCheckpoints)
}

// failureDetail says what a failure may have cost: entries that were acknowledged and
// are not in the file, and entries whose fsync did not succeed.
func failureDetail(last, synced Head, w *writer) string {
	detail := "after=failure"
	if synced.Seq < last.Seq {
		detail += fmt.Sprintf(" unsynced=%d-%d", synced.Seq+1, last.Seq)
	}
	if found, _, _ := w.state(); found != last {
		detail += fmt.Sprintf(" expected=%d:%x found=%d", last.Seq, last.Hash[:8], found.Seq)
	}
	return detail
}
