package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// OpenReader opens the log of dir for reading, all its segments: what it holds now, in
// the order of its entries. It needs no lock: an agent may go on appending, and the last
// line may be incomplete. The error wraps fs.ErrNotExist if there is no log.
func OpenReader(dir string) (io.ReadCloser, error) {
	for {
		before, err := segments(dir)
		if err != nil {
			return nil, err
		}
		f, err := openRead(filepath.Join(dir, fileName))
		if err != nil {
			return nil, fmt.Errorf("audit: opening the log: %w", err)
		}
		after, err := segments(dir)
		if err == nil && slices.Equal(before, after) {
			return openSegments(dir, before, f)
		}
		_ = f.Close() // a segment was closed or deleted meanwhile
		if err != nil {
			return nil, err
		}
	}
}

// logReader reads several files one after the other.
type logReader struct {
	io.Reader
	files []*os.File
}

// openSegments takes ownership of f, the active file.
func openSegments(dir string, firsts []uint64, f *os.File) (_ io.ReadCloser, err error) {
	l := &logReader{files: []*os.File{f}}
	defer func() {
		if err != nil {
			_ = l.Close()
		}
	}()
	self, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("audit: opening the log: %w", err)
	}
	var parts []io.Reader
	for _, first := range firsts {
		s, err := openRead(filepath.Join(dir, segmentName(first)))
		if err != nil {
			return nil, fmt.Errorf("audit: opening a segment: %w", err)
		}
		l.files = append(l.files, s)
		if fi, err := s.Stat(); err == nil && os.SameFile(fi, self) {
			continue // it is being closed just now, and has two names
		}
		parts = append(parts, s)
	}
	// Up to here and no further: a busy agent may append faster than the log is read.
	l.Reader = io.MultiReader(append(parts, io.LimitReader(f, self.Size()))...)
	return l, nil
}

// Close closes all files.
func (l *logReader) Close() error {
	var err error
	for _, f := range l.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// lineReader gives the lines of a log one by one, in one buffer.
type lineReader struct {
	r *bufio.Reader
}

func newLineReader(r io.Reader) lineReader {
	return lineReader{bufio.NewReaderSize(r, 16*MaxLine)}
}

// next returns the next line with its newline; it is good until the call after. At the
// end it returns io.EOF, with what stands behind the last newline. A line that is longer
// than any entry comes without its newline and in part, the rest of it being skipped.
func (l lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	start := append([]byte(nil), line[:MaxLine]...)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = l.r.ReadSlice('\n')
	}
	if errors.Is(err, io.EOF) {
		err = nil // what follows is nothing; the line itself is the fault
	}
	return start, err
}
