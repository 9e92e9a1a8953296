package audit

import (
	"fmt"
	"time"
)

// appendSync is append followed by the fsync. Callers that wait together share one.
func (w *writer) appendSync(e *Event) (uint64, error) {
	seq, err := w.append(e)
	if err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.synced.Seq < seq {
		if w.err != nil {
			return 0, w.err
		}
		notify(w.urgent)
		w.durable.Wait()
	}
	return seq, nil
}

// flushLoop fsyncs what was written, at the latest every w.every, and rests while
// there is nothing.
func (w *writer) flushLoop() {
	defer close(w.ended)
	pause := time.NewTimer(w.every)
	defer pause.Stop()
	for {
		select {
		case <-w.quit:
			return
		case <-w.urgent:
		case <-w.dirtied:
			pause.Reset(w.every)
			select {
			case <-w.quit:
				return
			case <-w.urgent:
			case <-pause.C:
			}
		}
		if w.flush() != nil {
			return
		}
	}
}

// flush fsyncs once. Lines go on being written meanwhile. A failed fsync is not tried
// again: the kernel may have dropped the pages, and a second one would report success.
func (w *writer) flush() error {
	w.mu.Lock()
	head, err := w.written, w.err
	clean := head == w.synced
	w.dirty = false
	w.mu.Unlock()
	if err != nil {
		return err
	}
	if clean {
		return nil
	}
	if err = w.file.Sync(); err != nil {
		err = fmt.Errorf("fsync: %w", err)
	}
	if err == nil {
		w.chaining.Lock()
		if err = w.inPlace(); err == nil && w.size >= w.limit {
			head, err = w.rollLocked(head)
		}
		w.chaining.Unlock()
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		return w.failLocked(err)
	}
	w.synced = head
	w.durable.Broadcast()
	notify(w.settled)
	return nil
}

// close ends the flusher, writes the entry last unless it is nil, fsyncs what is left,
// calls settled unless it is nil, closes the file, which gives up the lock, and lets later
// calls fail with reason. It returns the failure if there was one. Only the first call
// does anything.
func (w *writer) close(reason error, last *Event, settled func()) (err error) {
	w.closing.Do(func() {
		close(w.quit)
		<-w.ended
		err = w.finish(reason, last)
		if settled != nil {
			settled()
		}
		if cerr := w.file.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("%w: closing: %w", ErrUnavailable, cerr)
		}
	})
	return err
}

// finish is what close does to the chain. The flusher is gone.
func (w *writer) finish(reason error, last *Event) error {
	w.chaining.Lock()
	defer w.chaining.Unlock()
	if last != nil {
		_, _ = w.appendLocked(appendBody(nil, last)) // a failure is in w.err
	}
	w.mu.Lock()
	err := w.err
	head := w.written
	unsynced := w.synced != head
	w.err = reason
	w.durable.Broadcast()
	w.mu.Unlock()
	if err != nil || !unsynced {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("%w: fsync: %w", ErrUnavailable, err)
	}
	w.mu.Lock()
	w.synced = head
	w.mu.Unlock()
	return nil
}
