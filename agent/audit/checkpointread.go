package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// Starts returns the verifier keys that the chains of checkpoints of dir start with, the
// oldest first: one, unless a key was lost. What cannot be read is left out.
func Starts(dir string) ([]string, error) {
	all, err := openCheckpoints(dir)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	var starts []string
	for {
		it, err := all.next()
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

// checkpointReader gives all checkpoints of a directory in order.
type checkpointReader struct {
	next items
	io.Closer
}

// openCheckpoints opens the checkpoints of dir as they are now: those of their file, and
// then those in the key file that come after them. There are none if there is no file.
func openCheckpoints(dir string) (checkpointReader, error) {
	// The key file first: what it holds is in the file of checkpoints a moment later.
	signed := signedLast(dir)
	f, err := openRead(filepath.Join(dir, checkpointsName))
	if errors.Is(err, fs.ErrNotExist) {
		return checkpointReader{completed(nothing, signed), io.NopCloser(nil)}, nil
	}
	if err != nil {
		return checkpointReader{}, fmt.Errorf("audit: opening the checkpoints: %w", err)
	}
	fi, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return checkpointReader{}, fmt.Errorf("audit: opening the checkpoints: %w", err)
	}
	return checkpointReader{completed(checkpointItems(io.LimitReader(f, fi.Size())), signed), f}, nil
}

func nothing() (item, error) { return item{}, io.EOF }

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

// signedLast returns the checkpoints in the key file of dir: those that were signed last.
// A file that cannot be read is as if it were not there, since the agent takes its key as
// lost.
func signedLast(dir string) []Checkpoint {
	f, err := openRead(filepath.Join(dir, keyFile))
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil || len(b) > maxKeyFile {
		return nil
	}
	k, err := parseKeyState(b)
	if err != nil {
		return nil
	}
	return k.signed
}

// completed gives the checkpoints of a file, and then those of signed that come after
// them: a crash has come between the two, or somebody has cut the file.
func completed(file items, signed []Checkpoint) items {
	last, ended := uint64(0), false
	return func() (item, error) {
		if !ended {
			it, err := file()
			if !errors.Is(err, io.EOF) {
				if it.checkpoint != nil {
					last = it.checkpoint.Size
				}
				return it, err
			}
			ended = true
		}
		for len(signed) > 0 {
			c := &signed[0]
			signed = signed[1:]
			if c.Size > last {
				return item{checkpoint: c}, nil
			}
		}
		return item{}, io.EOF
	}
}

// older reports whether a key file with these checkpoints is older than last.
func older(signed []Checkpoint, last *Checkpoint) bool {
	return last != nil && len(signed) > 0 && signed[len(signed)-1].Size < last.Size
}
