package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// Range says which entries to export. It is widened to whole checkpoints: what is left
// out at the start is vouched for by one, and so is the last entry, unless the log ends
// before the next.
type Range struct {
	// First and Last are numbers of entries; zero means the first and the last.
	First, Last uint64
	// Since is the earliest time, Until the first that is too late; zero means no bound.
	Since, Until time.Time
}

// Export writes the entries of the log of dir that r holds, with all checkpoints from the
// first on: one stream that Check verifies anywhere. Each checkpoint stands behind the
// last entry that it covers.
//
// The error is one of reading or writing, wraps ErrLine or ErrCheckpoint, or is
// fs.ErrNotExist if there is no log.
func Export(w io.Writer, dir string, r Range) error {
	first, last, err := r.bounds(dir)
	if err != nil {
		return err
	}
	all, err := openCheckpoints(dir)
	if err != nil {
		return err
	}
	defer all.Close()
	log, err := OpenReader(dir)
	if err != nil {
		return err
	}
	defer log.Close()
	out := bufio.NewWriterSize(w, 64<<10)
	next := merge(newLineReader(log), all.next)
	for {
		it, err := next()
		if errors.Is(err, io.EOF) {
			return flushTo(out)
		}
		switch {
		case err != nil:
			return err
		case it.fault != "":
			return fmt.Errorf("%w: %s", ErrCheckpoint, it.fault)
		case it.checkpoint != nil:
			_, err = out.Write(append(it.checkpoint.AppendNote(nil), '\n'))
			if it.checkpoint.Size >= last && err == nil {
				return flushTo(out)
			}
		default:
			seq := seqOf(it.line)
			if seq == 0 || it.line[len(it.line)-1] != '\n' {
				return fmt.Errorf("%w: it cannot be exported", ErrLine)
			}
			if seq >= first {
				_, err = out.Write(it.line)
			}
		}
		if err != nil {
			return fmt.Errorf("audit: writing the export: %w", err)
		}
	}
}

func flushTo(out *bufio.Writer) error {
	if err := out.Flush(); err != nil {
		return fmt.Errorf("audit: writing the export: %w", err)
	}
	return nil
}

// bounds returns the first and the last entry of the export, whole checkpoints of them.
func (r *Range) bounds(dir string) (first, last uint64, err error) {
	first, last = max(r.First, 1), r.Last
	if last == 0 {
		last = math.MaxUint64
	}
	if !r.Since.IsZero() || !r.Until.IsZero() {
		log, err := OpenReader(dir)
		if err != nil {
			return 0, 0, err
		}
		defer log.Close()
		from, to := uint64(math.MaxUint64), uint64(0)
		for e, err := range views(log) {
			if err != nil {
				return 0, 0, err
			}
			if (r.Since.IsZero() || !e.time.Before(r.Since)) && (r.Until.IsZero() || e.time.Before(r.Until)) {
				from, to = min(from, e.seq), e.seq
			}
		}
		first, last = max(first, from), min(last, to)
	}
	all, err := openCheckpoints(dir)
	if err != nil {
		return 0, 0, err
	}
	defer all.Close()
	before, after := uint64(0), uint64(math.MaxUint64)
	for {
		it, err := all.next()
		switch {
		case errors.Is(err, io.EOF):
			return before + 1, after, nil
		case err != nil:
			return 0, 0, err
		case it.fault != "":
			return 0, 0, fmt.Errorf("%w: %s", ErrCheckpoint, it.fault)
		}
		if size := it.checkpoint.Size; size < first {
			before = size
		} else if size >= last {
			after = min(after, size)
		}
	}
}
