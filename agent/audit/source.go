package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"
)

// CheckDir verifies the log with its checkpoints: every line and the chain, the signature
// and the key of every checkpoint, and that it is one of these lines. trust is what the
// verifier holds; nothing secret is needed. The Report is not OK from the first fault on.
// A fault of a checkpoint counts as one of the first entry that no earlier checkpoint
// covers. The error is one of reading.
//
// CheckDir is for the log in dir, which an agent may be appending to, or a copy of
// that directory.
func CheckDir(dir string, trust Trust) (Report, error) {
	for try := 0; ; try++ {
		r, err := checkDir(dir, trust)
		if err != nil || r.Torn == 0 || try == 4 {
			return r, err
		}
		// A line may have been read while it was written; a torn one stays.
		time.Sleep(5 * time.Millisecond)
	}
}

func checkDir(dir string, trust Trust) (Report, error) {
	// The checkpoints first: what they cover is in the log that is opened then.
	p, err := openCheckpoints(dir)
	if err != nil {
		return Report{}, err
	}
	defer p.Close()
	log, err := OpenReader(dir)
	if err != nil {
		return Report{}, err
	}
	defer log.Close()
	return check(merge(newLineReader(log), checkpointItems(p)), trust, true)
}

// Check is CheckDir for an export, or for a file of the log itself.
func Check(r io.Reader, trust Trust) (Report, error) {
	return check(exported(r), trust, false)
}

// ReadCheckpoints returns all checkpoints of an export, or of a file that holds nothing else.
// The error wraps ErrCheckpoint, or is one of reading.
func ReadCheckpoints(r io.Reader) ([]Checkpoint, error) {
	var all []Checkpoint
	next := exported(r)
	for {
		it, err := next()
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		case it.fault != "":
			return nil, fmt.Errorf("%w: %s", ErrCheckpoint, it.fault)
		case it.checkpoint != nil:
			all = append(all, *it.checkpoint)
		}
	}
}

// Starts returns the verifier keys that the chains of checkpoints of dir start with, the
// oldest first: one, unless a key was lost. What cannot be read is left out.
func Starts(dir string) ([]string, error) {
	p, err := openCheckpoints(dir)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	var starts []string
	for next := checkpointItems(p); ; {
		it, err := next()
		switch {
		case errors.Is(err, io.EOF):
			return starts, nil
		case err != nil:
			return nil, err
		case it.checkpoint != nil && it.checkpoint.Start != "":
			starts = append(starts, it.checkpoint.Start)
		}
	}
}

// LastCheckpoint returns the newest checkpoint of dir; nil if there is none.
func LastCheckpoint(dir string) (*Checkpoint, error) {
	end, err := readCheckpointEnd(dir)
	return end.last, err
}

// openCheckpoints opens the file of checkpoints as it is now. There are none if there is
// no file.
func openCheckpoints(dir string) (io.ReadCloser, error) {
	f, err := openRead(filepath.Join(dir, checkpointsName))
	if errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit: opening the checkpoints: %w", err)
	}
	fi, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("audit: opening the checkpoints: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, fi.Size()), f}, nil
}

// exported reads the one stream of an export: a line that begins with a brace is an entry,
// and anything else a part of a checkpoint.
func exported(r io.Reader) items {
	b := bufio.NewReaderSize(r, 16*MaxLine)
	lines := lineReader{b}
	return func() (item, error) {
		first, err := b.Peek(1)
		if err != nil {
			return item{}, readError(err)
		}
		if first[0] != originPrefix[0] {
			line, err := lines.next()
			if errors.Is(err, io.EOF) && len(line) > 0 {
				err = nil
			}
			return item{line: line}, readError(err)
		}
		return readCheckpoint(b)
	}
}

// checkpointItems reads a file of checkpoints. One that is cut off at the end is left out.
func checkpointItems(r io.Reader) items {
	b := bufio.NewReaderSize(r, 16*MaxLine)
	return func() (item, error) {
		it, err := readCheckpoint(b)
		if it.fault == cutOff {
			err = io.EOF
		}
		return it, err
	}
}

const cutOff = "it is cut off"

// readCheckpoint reads one checkpoint and the blank line behind it.
func readCheckpoint(b *bufio.Reader) (item, error) {
	var msg []byte
	for blank := 0; blank < 2; {
		line, err := b.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(msg)+len(line) > 0 {
			if c, err := ParseCheckpoint(append(msg, line...)); err == nil {
				return item{checkpoint: &c}, nil // one alone needs no blank line behind it
			}
			return item{fault: cutOff}, nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return item{}, readError(err)
		}
		msg = append(msg, line...)
		if len(msg) > maxCheckpoint+1 {
			return item{fault: "it is too long"}, nil
		}
		if len(line) == 1 {
			blank++
		}
	}
	c, err := ParseCheckpoint(msg[:len(msg)-1])
	if err != nil {
		return item{fault: err.Error()}, nil
	}
	return item{checkpoint: &c}, nil
}

func readError(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return fmt.Errorf("audit: reading: %w", err)
}

// merge puts each checkpoint behind the last entry that it covers.
func merge(lines lineReader, checkpoints items) items {
	var waiting item
	var at uint64 // the number of the last line that was given
	ended, lineEnded := false, false
	advance := func() error {
		it, err := checkpoints()
		if errors.Is(err, io.EOF) {
			ended, err = true, nil
		}
		waiting = it
		return err
	}
	started := false
	var ahead []byte // a line that was read and comes next
	return func() (item, error) {
		if !started {
			started = true
			if err := advance(); err != nil {
				return item{}, err
			}
		}
		if ahead == nil && !lineEnded {
			line, err := lines.next()
			switch {
			case errors.Is(err, io.EOF):
				lineEnded = true
				if len(line) > 0 {
					ahead = line
				}
			case err != nil:
				return item{}, readError(err)
			default:
				ahead = line
			}
		}
		due := !ended && (waiting.checkpoint == nil || waiting.checkpoint.Size <= at ||
			lineEnded && ahead == nil || at == 0 && ahead != nil && waiting.checkpoint.Size < seqOf(ahead))
		if due {
			it := waiting
			return it, advance()
		}
		if ahead == nil {
			return item{}, io.EOF
		}
		line := ahead
		ahead = nil
		at = max(at, seqOf(line))
		return item{line: line}, nil
	}
}
