package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// checkpointsName is the file of all checkpoints, the oldest first, each followed by a
// blank line. It is only appended to.
const checkpointsName = "audit.checkpoints"

// checkpointEnd is where the file of checkpoints ends.
type checkpointEnd struct {
	last *Checkpoint // nil if there is none
	good int64       // bytes up to its end
	size int64       // of the file; what lies between is a write that was cut off
}

// readCheckpointEnd finds the last checkpoint of dir. What stands behind it, if it is no
// complete one, was never acknowledged to anybody.
func readCheckpointEnd(dir string) (checkpointEnd, error) {
	f, err := openRead(filepath.Join(dir, checkpointsName))
	if errors.Is(err, fs.ErrNotExist) {
		return checkpointEnd{}, nil
	}
	if err != nil {
		return checkpointEnd{}, fmt.Errorf("audit: opening the checkpoints: %w", err)
	}
	defer f.Close()
	fi, err := checkFile(f, f.Name())
	if err != nil {
		return checkpointEnd{}, err
	}
	start := max(0, fi.Size()-4*maxCheckpoint)
	buf := make([]byte, fi.Size()-start)
	if err := readAt(f, buf, start); err != nil {
		return checkpointEnd{}, err
	}
	e := checkpointEnd{good: start, size: fi.Size()}
	// Of a window that begins within a checkpoint, the first whole one is looked for.
	for start > 0 && len(buf) > 0 && !bytes.HasPrefix(buf, []byte(originPrefix)) {
		n := bytes.Index(buf, []byte("\n\n"+originPrefix)) + 2
		if n < 2 {
			n = len(buf)
		}
		buf, e.good = buf[n:], e.good+int64(n)
	}
	for len(buf) > 0 {
		c, rest, err := cutCheckpoint(buf)
		if err != nil {
			if !bytes.Contains(buf, []byte("\n\n"+signaturePre)) || bytes.Count(buf, []byte("\n\n")) < 2 || bytes.IndexByte(buf, 0) >= 0 {
				return e, nil // cut off by a crash
			}
			return checkpointEnd{}, fmt.Errorf("%w: %s at byte %d: %w", ErrBroken, checkpointsName, e.good, err)
		}
		e.good += int64(len(buf) - len(rest))
		e.last, buf = &c, rest
	}
	return e, nil
}

// appendCheckpoints appends to the file, which must end as end says, and fsyncs it. It
// returns the new end. After an error the file is as before, or has a part that
// readCheckpointEnd leaves out.
func appendCheckpoints(dir string, end checkpointEnd, list []Checkpoint) (checkpointEnd, error) {
	path := filepath.Join(dir, checkpointsName)
	f, created, err := openPrivate(path)
	if err != nil {
		return end, fmt.Errorf("audit: opening the checkpoints: %w", err)
	}
	defer func() { _ = f.Close() }()
	fi, err := checkFile(f, path)
	switch {
	case err != nil:
		return end, err
	case fi.Size() != end.size:
		return end, fmt.Errorf("%w: %s has %d bytes, not %d", ErrBroken, checkpointsName, fi.Size(), end.size)
	}
	if end.size != end.good {
		if err := f.Truncate(end.good); err != nil {
			return end, fmt.Errorf("audit: removing a torn checkpoint: %w", err)
		}
	}
	var b []byte
	for i := range list {
		b = append(list[i].AppendNote(b), '\n')
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err == nil && created {
		err = syncDir(dir)
	}
	if err != nil {
		// A failed fsync is not tried again on this descriptor: the next attempt writes
		// the pages anew.
		if terr := f.Truncate(end.good); terr == nil {
			end.size = end.good
		} else if fi, serr := f.Stat(); serr == nil {
			end.size = fi.Size()
		}
		return end, fmt.Errorf("audit: writing a checkpoint: %w", err)
	}
	last := list[len(list)-1]
	size := end.good + int64(len(b))
	return checkpointEnd{last: &last, good: size, size: size}, nil
}
