package audit

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// disk is what a writer needs of its file, an *os.File.
type disk interface {
	Write(p []byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Close() error
}

// writer appends to one open file. Once anything has failed it stays failed: the file
// must then be opened anew, since a kernel that could not write a page may count it as
// clean afterwards.
//
// A line is formatted outside the locks, then hashed and written by its own system call
// under one. Collecting the lines of a crowd into one write was measured against this
// with 64 callers and gained nothing: a write costs less than the wake-up that it saves.
// What is shared is the fsync.
type writer struct {
	path  string
	every time.Duration
	limit int64 // size in bytes at which a segment is closed

	bodies sync.Pool // *[]byte

	// chaining guards the end of the file and of the chain. It is held during a write,
	// during an fsync only where a segment is closed, and taken before mu. The flusher
	// alone changes file and self.
	chaining sync.Mutex
	file     disk
	self     fs.FileInfo // of file, to notice when another takes its place
	first    uint64      // number of the first entry of file
	size     int64       // of the file up to its last good line
	line     []byte

	// mu guards the rest. No system call is made under it, so that asking for the state
	// never waits for a disk.
	mu      sync.Mutex
	err     error // the first failure
	written Head  // of the last line in the file
	synced  Head  // of the last line that was fsynced
	dirty   bool  // the flusher has work
	durable sync.Cond

	dirtied chan struct{} // something was written
	urgent  chan struct{} // somebody waits for the fsync
	settled chan struct{} // entries were fsynced
	quit    chan struct{}
	ended   chan struct{} // the flusher is gone
	closing sync.Once
}

// active is the file that a writer appends to, as it was found.
type active struct {
	file  disk
	path  string
	self  fs.FileInfo
	first uint64 // number of the first entry in it, or of the next if it is empty
	size  int64  // up to its last good line
	head  Head   // of that line
}

// newWriter starts a writer at the end of a.
func newWriter(a active, opts Options, settled chan struct{}) *writer {
	w := &writer{
		path: a.path, every: opts.FlushEvery, limit: opts.SegmentSize,
		file: a.file, self: a.self, first: a.first, size: a.size, line: make([]byte, 0, MaxLine),
		written: a.head, synced: a.head,
		dirtied: make(chan struct{}, 1), urgent: make(chan struct{}, 1), settled: settled,
		quit: make(chan struct{}), ended: make(chan struct{}),
	}
	w.bodies.New = func() any { b := make([]byte, 0, MaxLine); return &b }
	w.durable.L = &w.mu
	go w.flushLoop()
	return w
}

// append puts the event into the chain and returns once its line has been written.
func (w *writer) append(e *Event) (uint64, error) {
	body := w.bodies.Get().(*[]byte)
	*body = appendBody((*body)[:0], e)
	w.chaining.Lock()
	seq, err := w.appendLocked(*body)
	w.chaining.Unlock()
	w.bodies.Put(body)
	return seq, err
}

// appendLocked needs chaining held.
func (w *writer) appendLocked(body []byte) (uint64, error) {
	w.mu.Lock()
	head, pause, err := w.written, !w.dirty, w.err
	w.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if pause {
		// The flusher looks after the file while there is work. The first entry after a
		// pause looks itself, so that nothing is signed on a log that was removed.
		err = w.inPlace()
	}
	if err == nil {
		w.line, head = head.follow(w.line[:0], body)
		err = w.writeLine()
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		return 0, w.failLocked(err)
	}
	w.written = head
	if !w.dirty {
		w.dirty = true
		notify(w.dirtied)
	}
	return head.Seq, w.err // an fsync may have failed meanwhile
}

// writeLine writes one line. If that fails it takes back what part has reached the
// file; should that fail too, opening the log again finds and repairs it.
func (w *writer) writeLine() error {
	_, err := w.file.Write(w.line)
	if err == nil {
		w.size += int64(len(w.line))
		return nil
	}
	if fi, serr := w.file.Stat(); serr == nil && fi.Size() > w.size {
		_ = w.file.Truncate(w.size)
	}
	return fmt.Errorf("writing: %w", err)
}

// inPlace checks that the path still names our file and that nobody else has changed
// its length. It needs chaining held.
func (w *writer) inPlace() error {
	fi, err := os.Lstat(w.path)
	switch {
	case err != nil:
		return fmt.Errorf("looking for the file: %w", err)
	case !os.SameFile(fi, w.self):
		return fmt.Errorf("%s was replaced by another file", w.path)
	case fi.Size() != w.size:
		return fmt.Errorf("%s was changed by another program: %d bytes, not %d", w.path, fi.Size(), w.size)
	}
	return nil
}

// failLocked records the first failure and wakes all who wait. It returns the error
// that is in force. It needs mu held.
func (w *writer) failLocked(err error) error {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	w.durable.Broadcast()
	return w.err
}

func (w *writer) state() (written, synced Head, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written, w.synced, w.err
}

// notify leaves a message unless one waits already.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
