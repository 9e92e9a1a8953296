package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Torn parts are kept: nothing that was in the log is dropped without a word. The order
// of steps is such that a crash between any two of them loses neither the part nor the
// entry about it: copy to audit.torn-N.pending and fsync, shorten the log and fsync,
// append the entry and fsync, rename to audit.torn-N.
const (
	tornPrefix  = "audit.torn-"
	tornPending = ".pending"
)

// setAside copies what lies in the log from good to size into a pending file, and
// shortens the log.
func setAside(f *os.File, dir string, good, size int64) error {
	numbers, _, err := tornFiles(dir)
	if err != nil {
		return err
	}
	n := 1
	if len(numbers) > 0 {
		n = slices.Max(numbers) + 1
	}
	path := filepath.Join(dir, tornPrefix+strconv.Itoa(n)+tornPending)
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(f, good, size-good))
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		// The log still holds the part; a copy that is not whole would mislead.
		return errors.Join(err, os.Remove(path))
	}
	if err := f.Truncate(good); err != nil {
		return err
	}
	return f.Sync()
}

// chainTorn appends the entry about each pending file and gives it its lasting name.
// lastDetail tells whether a crash has come between those two.
func chainTorn(w *writer, dir, lastDetail string) error {
	_, pending, err := tornFiles(dir)
	if err != nil {
		return fmt.Errorf("audit: looking for torn parts: %w", err)
	}
	for _, n := range pending {
		name := tornPrefix + strconv.Itoa(n)
		path := filepath.Join(dir, name)
		detail, err := describe(path+tornPending, name)
		if err != nil {
			return fmt.Errorf("audit: reading a torn part: %w", err)
		}
		if detail != lastDetail {
			if _, err := w.appendSync(recoveredEvent(detail)); err != nil {
				return err
			}
		}
		if err := os.Rename(path+tornPending, path); err != nil {
			return fmt.Errorf("audit: naming a torn part: %w", err)
		}
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// describe returns the detail of the entry about a torn part.
func describe(path, name string) (string, error) {
	f, err := openRead(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("file=%s bytes=%d sha256=%x", name, n, h.Sum(nil)), nil
}

// tornFiles returns the numbers of all torn parts in dir, and those that wait for their
// entry, in order.
func tornFiles(dir string) (all, pending []int, err error) {
	names, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	for _, d := range names {
		rest, ok := strings.CutPrefix(d.Name(), tornPrefix)
		if !ok {
			continue
		}
		rest, waits := strings.CutSuffix(rest, tornPending)
		n, err := strconv.Atoi(rest)
		if err != nil || n < 1 || strconv.Itoa(n) != rest {
			continue
		}
		all = append(all, n)
		if waits {
			pending = append(pending, n)
		}
	}
	slices.Sort(pending)
	return all, pending, nil
}

func recoveredEvent(detail string) *Event {
	return &Event{
		Time: time.Now(), Event: EventRecovered, Outcome: OutcomeOK,
		UID: os.Geteuid(), PID: os.Getpid(), Detail: detail,
	}
}
