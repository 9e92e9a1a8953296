package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
)

// end is where a log can be continued.
type end struct {
	good       int64 // bytes up to the last good line
	head       Head
	lastDetail string // of the last entry, if it is an audit.recovered one
}

// tailWindow is how much of the end is checked at opening: some 700 lines, a
// millisecond. CheckDir checks the whole.
const tailWindow = 256 << 10

// zeroWindow is how much of the end is searched for zeros: more than is written between
// two fsyncs.
const zeroWindow = 4 << 20

// findEnd checks the end of the log and returns where it can be continued. What lies
// behind is the trace of a crash: a line without its newline, or, from a power cut, a
// part in which there are zeros, which no line of ours holds. A complete line that does
// not fit is neither; then the error wraps ErrBroken.
//
// before is the last entry of the segment before this one; nil if it is not known, and
// then the file may begin with any entry.
func findEnd(r io.ReaderAt, size int64, before *Head) (end, error) {
	zeros, err := firstZero(r, max(0, size-zeroWindow), size)
	if err != nil {
		return end{}, err
	}
	for window := size - zeros + tailWindow; ; window *= 2 {
		start := max(0, size-window)
		buf := make([]byte, size-start)
		if err := readAt(r, buf, start); err != nil {
			return end{}, err
		}
		if start > 0 {
			// The window begins within a line; the next one is the first to be read.
			cut := bytes.IndexByte(buf, '\n') + 1
			if bytes.IndexByte(buf[:cut], 0) >= 0 {
				continue
			}
			start += int64(cut)
			buf = buf[cut:]
		}
		e, err := walkTail(buf, start, before)
		if err != nil {
			return end{}, err
		}
		if e.good > start || start == 0 {
			return e, nil
		}
		// Not one good line in the window: the damage begins before it.
	}
}

// firstZero returns the offset of the first zero byte between from and size, or size.
func firstZero(r io.ReaderAt, from, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for at := from; at < size; at += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), size-at)]
		if err := readAt(r, buf, at); err != nil {
			return 0, err
		}
		if i := bytes.IndexByte(buf, 0); i >= 0 {
			return at + int64(i), nil
		}
	}
	return size, nil
}

func readAt(r io.ReaderAt, buf []byte, at int64) error {
	if _, err := io.ReadFull(io.NewSectionReader(r, at, int64(len(buf))), buf); err != nil {
		return fmt.Errorf("audit: reading: %w", err)
	}
	return nil
}

// walkTail follows the lines in buf, which begins at offset start of the file. before
// is the entry before the first of the file, or nil.
func walkTail(buf []byte, start int64, before *Head) (end, error) {
	e := end{good: start}
	known := start == 0 && before != nil
	if known {
		e.head = *before
	}
	for len(buf) > 0 {
		n := bytes.IndexByte(buf, '\n') + 1
		if n == 0 {
			return e, nil
		}
		v, err := parse(buf[:n])
		if err == nil && known {
			switch {
			case v.seq != e.head.Seq+1:
				err = fmt.Errorf("%w: entry %d stands where %d should", ErrLine, v.seq, e.head.Seq+1)
			case v.prev != e.head.before():
				err = fmt.Errorf("%w: prev of entry %d is not the hash of the entry before", ErrLine, v.seq)
			}
		}
		if err != nil {
			if bytes.IndexByte(buf, 0) >= 0 {
				return e, nil
			}
			return end{}, fmt.Errorf("%w: at byte %d, after entry %d: %w", ErrBroken, e.good, e.head.Seq, err)
		}
		known = true
		e.head = Head{Seq: v.seq, Hash: sha256.Sum256(buf[:n])}
		e.good += int64(n)
		e.lastDetail = ""
		if string(v.event) == EventRecovered {
			e.lastDetail = unescape(v.detail)
		}
		buf = buf[n:]
	}
	return e, nil
}
