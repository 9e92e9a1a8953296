package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// OpenReader opens the log of dir for reading: what it holds now, in the order of its
// entries. It needs no lock: an agent may go on appending, and the last line may be
// incomplete. The error wraps fs.ErrNotExist if there is no log.
func OpenReader(dir string) (io.ReadCloser, error) {
	f, err := openRead(filepath.Join(dir, fileName))
	if err != nil {
		return nil, fmt.Errorf("audit: opening the log: %w", err)
	}
	fi, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("audit: opening the log: %w", err)
	}
	// Up to here and no further: a busy agent may append faster than the log is read.
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, fi.Size()), f}, nil
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
