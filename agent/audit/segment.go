package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A log is one chain in several files. Lines are appended to audit.jsonl; when that has
// reached its size it becomes audit-N.jsonl, N being the number of its first entry, and
// a new audit.jsonl goes on where it ended. Closed segments are never written again.
const (
	segmentPrefix = "audit-"
	segmentSuffix = ".jsonl"
	segmentDigits = 16
	// nextName is the new file before it takes its place.
	nextName = fileName + ".next"
)

func segmentName(first uint64) string {
	return fmt.Sprintf("%s%0*d%s", segmentPrefix, segmentDigits, first, segmentSuffix)
}

// segments returns the numbers of the first entries of the closed segments in dir, in
// order.
func segments(dir string) ([]uint64, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("audit: looking for segments: %w", err)
	}
	var firsts []uint64
	for _, d := range names {
		rest, ok := strings.CutPrefix(d.Name(), segmentPrefix)
		if !ok {
			continue
		}
		rest, ok = strings.CutSuffix(rest, segmentSuffix)
		first, err := strconv.ParseUint(rest, 10, 64)
		if ok && err == nil && first > 0 && segmentName(first) == d.Name() {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	return firsts, nil
}

// rollLocked closes the segment that has reached its size and begins the next. synced is
// the last entry that is known to be fsynced; the new value is returned. It needs
// chaining held: entries wait for some fsyncs, once in 160,000 or so.
//
// At every moment audit.jsonl is there, locked, and all before it can be found: the full
// file gets its second name, and only then the new one takes the first. Each name is
// durable before the next step. What cannot be begun for want of room, or on a file
// system without links, is put off: the segment goes on growing.
func (w *writer) rollLocked(synced Head) (Head, error) {
	dir := filepath.Dir(w.path)
	closed := filepath.Join(dir, segmentName(w.first))
	next, self, err := prepareNext(dir)
	if err != nil {
		w.limit += w.limit/8 + 1
		return synced, nil
	}
	if err := w.file.Sync(); err != nil {
		_ = next.Close()
		return synced, fmt.Errorf("fsync: %w", err)
	}
	w.mu.Lock()
	last := w.written
	w.mu.Unlock()
	if err := os.Link(w.path, closed); err != nil {
		_ = next.Close()
		_ = os.Remove(filepath.Join(dir, nextName))
		w.limit += w.limit/8 + 1
		return last, nil
	}
	err = syncDir(dir)
	if err == nil {
		err = os.Rename(filepath.Join(dir, nextName), w.path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		_ = next.Close()
		return last, fmt.Errorf("beginning a new segment: %w", err)
	}
	_ = w.file.Close() // fsynced; the lock on the new file is held already
	w.file, w.self, w.size, w.first = next, self, 0, last.Seq+1
	return last, nil
}

// prepareNext makes the file that will be audit.jsonl, and takes the lock on it.
func prepareNext(dir string) (*os.File, fs.FileInfo, error) {
	path := filepath.Join(dir, nextName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	f, _, err := openAppend(path)
	if err != nil {
		return nil, nil, err
	}
	self, err := checkFile(f, path)
	if err == nil && self.Size() != 0 {
		err = fmt.Errorf("%w: %s is not empty", ErrUnsafe, path)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, self, nil
}

// finishRoll clears what a crash during rollLocked has left, and returns the last entry
// of the segment before the active file self; zero if there is none. It needs the lock.
func finishRoll(dir string, self fs.FileInfo) (Head, error) {
	if err := os.Remove(filepath.Join(dir, nextName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Head{}, fmt.Errorf("audit: removing a file of an interrupted roll: %w", err)
	}
	firsts, err := segments(dir)
	if err != nil || len(firsts) == 0 {
		return Head{}, err
	}
	last := filepath.Join(dir, segmentName(firsts[len(firsts)-1]))
	fi, err := os.Lstat(last)
	if err != nil {
		return Head{}, fmt.Errorf("audit: looking at a segment: %w", err)
	}
	if os.SameFile(fi, self) { // it had its second name, and not yet lost the first
		if err := os.Remove(last); err != nil {
			return Head{}, fmt.Errorf("audit: undoing an interrupted roll: %w", err)
		}
		if err := syncDir(dir); err != nil {
			return Head{}, err
		}
		return finishRoll(dir, self)
	}
	f, err := openRead(last)
	if err != nil {
		return Head{}, fmt.Errorf("audit: opening a segment: %w", err)
	}
	defer f.Close()
	if fi, err = checkFile(f, last); err != nil {
		return Head{}, err
	}
	e, err := findEnd(f, fi.Size(), nil)
	if err == nil && e.good != fi.Size() {
		err = fmt.Errorf("%w: at byte %d, in a segment that was closed", ErrBroken, e.good)
	}
	if err != nil {
		return Head{}, fmt.Errorf("checking the end of %s: %w", last, err)
	}
	return e.head, nil
}

// firstSeq returns the number of the first entry of a file, or empty if it has none that
// can be read.
func firstSeq(r io.ReaderAt, empty uint64) (uint64, error) {
	line, err := newLineReader(io.NewSectionReader(r, 0, MaxLine)).next()
	if errors.Is(err, io.EOF) {
		return empty, nil
	}
	if err != nil {
		return 0, fmt.Errorf("audit: reading: %w", err)
	}
	v, err := parse(line)
	if err != nil {
		return empty, nil
	}
	return v.seq, nil
}
