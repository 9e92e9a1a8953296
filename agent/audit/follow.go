package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// follower reads the lines of a log one after the other from some entry on, across
// segments, while they are appended.
type follower struct {
	dir  string
	next uint64 // number of the entry that comes next

	f      *os.File
	off    int64  // where buf ends in f
	buf    []byte // read and not yet given
	space  []byte
	closed bool // nothing is appended to f any more
}

// newFollower starts before entry next of the log of dir. There must be a log.
func newFollower(dir string, next uint64) (*follower, error) {
	l := &follower{dir: dir, next: next, space: make([]byte, 0, 16*MaxLine)}
	return l, l.open()
}

func (l *follower) close() { _ = l.f.Close() }

// line returns the next line with its newline, good until the next call; nil if there
// is none yet.
func (l *follower) line() ([]byte, error) {
	for {
		line, err := l.read()
		if err != nil || line == nil {
			return nil, err
		}
		switch seq := seqOf(line); {
		case seq == 0:
			l.next++
			return line, nil
		case seq >= l.next:
			l.next = seq + 1
			return line, nil
		}
	}
}

// read returns the next line of whatever file it is in.
func (l *follower) read() ([]byte, error) {
	for {
		if n := bytes.IndexByte(l.buf, '\n') + 1; n > 0 {
			line := l.buf[:n]
			l.buf = l.buf[n:]
			return line, nil
		}
		if len(l.buf) > MaxLine {
			return nil, fmt.Errorf("%w: longer than %d bytes", ErrLine, MaxLine)
		}
		more, err := l.fill()
		if err != nil {
			return nil, err
		}
		if more {
			continue
		}
		switch moved, err := l.moved(); {
		case err != nil:
			return nil, err
		case !l.closed && !moved:
			return nil, nil
		case !l.closed:
			l.closed = true // lines may have come before it was
		case len(l.buf) > 0:
			return nil, fmt.Errorf("%w: a segment ends within a line", ErrLine)
		default:
			old := l.f
			if err := l.open(); err != nil {
				return nil, err
			}
			_ = old.Close()
		}
	}
}

// fill reads more of the file, and reports whether there was more.
func (l *follower) fill() (bool, error) {
	kept := copy(l.space[:cap(l.space)], l.buf)
	n, err := l.f.ReadAt(l.space[kept:cap(l.space)], l.off)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("audit: reading: %w", err)
	}
	l.off += int64(n)
	l.buf = l.space[:kept+n]
	return n > 0, nil
}

// moved reports whether the file is no longer the one that is appended to.
func (l *follower) moved() (bool, error) {
	if l.closed {
		return true, nil
	}
	self, err := l.f.Stat()
	if err != nil {
		return false, fmt.Errorf("audit: reading: %w", err)
	}
	there, err := os.Lstat(filepath.Join(l.dir, fileName))
	if err != nil {
		return false, fmt.Errorf("audit: looking for the log: %w", err)
	}
	return !os.SameFile(self, there), nil
}

// open opens the file that holds entry next, or will hold it, not far before that entry.
func (l *follower) open() error {
	for {
		firsts, err := segments(l.dir)
		if err != nil {
			return err
		}
		f, err := openRead(filepath.Join(l.dir, fileName))
		if err != nil {
			return fmt.Errorf("audit: opening the log: %w", err)
		}
		after, err := segments(l.dir)
		if err == nil && !slices.Equal(firsts, after) {
			_ = f.Close() // a segment was closed meanwhile, and f may be the file after it
			continue
		}
		inActive := false
		if err == nil {
			inActive, err = l.isIn(f, firsts)
		}
		if err == nil && inActive {
			return l.begin(f, false)
		}
		_ = f.Close()
		if err != nil {
			return err
		}
		name := ""
		for _, first := range firsts {
			if first <= l.next || name == "" {
				name = segmentName(first)
			}
		}
		f, err = openRead(filepath.Join(l.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted just now
		}
		if err != nil {
			return fmt.Errorf("audit: opening a segment: %w", err)
		}
		return l.begin(f, true)
	}
}

// isIn reports whether entry next is, or will be, in the active file f rather than in a
// closed segment.
func (l *follower) isIn(f *os.File, firsts []uint64) (bool, error) {
	if len(firsts) == 0 {
		return true, nil
	}
	first, err := firstSeq(f, 0)
	if err != nil || first > 0 {
		return first <= l.next, err
	}
	// It is empty, or cannot be read: then what the last segment does not have is there.
	last, err := lastSeqOf(filepath.Join(l.dir, segmentName(firsts[len(firsts)-1])))
	return last < l.next, err
}

// begin goes on with f, near entry next.
func (l *follower) begin(f *os.File, closed bool) error {
	fi, err := f.Stat()
	if err != nil {
		return fmt.Errorf("audit: opening the log: %w", err)
	}
	l.f, l.closed, l.buf = f, closed, nil
	l.off = seek(f, fi.Size(), l.next)
	return nil
}

// seek returns the offset of a line that stands before entry seq, or is it, and not many
// lines before it. It does not look at most of the file.
func seek(r io.ReaderAt, size int64, seq uint64) int64 {
	const near = 8 * MaxLine
	buf := make([]byte, 2*MaxLine)
	low, high := int64(0), size // the line at low is right
	for high-low > near {
		mid := low + (high-low)/2
		n, _ := r.ReadAt(buf, mid)
		cut := bytes.IndexByte(buf[:n], '\n') + 1
		s := seqOf(buf[cut:n])
		switch {
		case cut == 0 || s == 0:
			return low // damaged; reading on will tell
		case s <= seq:
			low = mid + int64(cut)
		default:
			high = mid
		}
	}
	return low
}

// seqOf returns the number that a line begins with, or 0.
func seqOf(line []byte) uint64 {
	rest, ok := bytes.CutPrefix(line, []byte(`{"seq":`))
	n := bytes.IndexByte(rest, ',')
	if !ok || n < 0 {
		return 0
	}
	seq, err := strconv.ParseUint(string(rest[:n]), 10, 64)
	if err != nil {
		return 0
	}
	return seq
}

// followEvery is how often Follow looks for more.
const followEvery = 100 * time.Millisecond

// Follow gives the entries of the log of dir that match, from entry from on, and those
// that are appended later, until ctx ends. An error ends it, but for a malformed line,
// after which the caller may go on.
func Follow(ctx context.Context, dir string, from uint64, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		l, err := newFollower(dir, from)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer func() { l.close() }()
		tick := time.NewTicker(followEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			line, err := l.line()
			switch {
			case err != nil:
				yield(Entry{}, err)
				return
			case line == nil:
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
				continue
			}
			v, err := parse(line)
			if err != nil {
				if !yield(Entry{}, fmt.Errorf("after entry %d: %w", l.next-2, err)) {
					return
				}
				continue
			}
			if f.match(&v) && !yield(v.entry(), nil) {
				return
			}
		}
	}
}

// LastSeq returns the number of the last entry of the log of dir; 0 if there is none.
func LastSeq(dir string) (uint64, error) {
	seq, err := lastSeqOf(filepath.Join(dir, fileName))
	if err != nil || seq > 0 {
		return seq, err
	}
	firsts, err := segments(dir)
	if err != nil || len(firsts) == 0 {
		return 0, err
	}
	return lastSeqOf(filepath.Join(dir, segmentName(firsts[len(firsts)-1])))
}

// Holds reports whether the log holds entry seq, and the hash of its line begins with
// head, as a number. An entry that was deleted with its segment counts as held.
func (l *Log) Holds(seq, head uint64) (bool, error) {
	lines, err := newFollower(l.dir, seq)
	if err != nil {
		return false, err
	}
	defer func() { lines.close() }()
	line, err := lines.line()
	switch n := seqOf(line); {
	case err != nil || n < seq:
		return false, err
	case n > seq:
		return true, nil
	}
	hash := sha256.Sum256(line)
	return binary.BigEndian.Uint64(hash[:]) == head, nil
}

func lastSeqOf(path string) (uint64, error) {
	f, err := openRead(path)
	if err != nil {
		return 0, fmt.Errorf("audit: opening the log: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("audit: opening the log: %w", err)
	}
	e, err := findEnd(f, fi.Size(), nil)
	return e.head.Seq, err
}
