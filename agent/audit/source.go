package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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
	all, err := openCheckpoints(dir)
	if err != nil {
		return Report{}, err
	}
	defer all.Close()
	log, err := OpenReader(dir)
	if err != nil {
		return Report{}, err
	}
	defer log.Close()
	r, err := check(merge(newLineReader(log), all.next), trust, true)
	// Read after the checkpoints, it can be older than they are only if somebody put it back.
	r.KeyOlder = older(signedLast(dir), r.Last)
	return r, err
}

// Check is CheckDir for an export, a proof, or a file of the log itself.
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

// exported reads the one stream of an export or a proof. What a part is, its first letter
// tells.
func exported(r io.Reader) items {
	b := bufio.NewReaderSize(r, 16*MaxLine)
	lines := lineReader{b}
	return func() (item, error) {
		first, err := b.Peek(1)
		if err != nil {
			return item{}, readError(err)
		}
		switch first[0] {
		case originPrefix[0]:
			return readCheckpoint(b)
		case proofHead[0]:
			return readProof(b)
		default:
			line, err := lines.next()
			if errors.Is(err, io.EOF) && len(line) > 0 {
				err = nil
			}
			return item{line: line}, readError(err)
		}
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
