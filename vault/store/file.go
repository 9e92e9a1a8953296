package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"time"

	"github.com/nsagent/nsagent/internal/atomicfile"
)

// File is a Store in one local file, replaced whole by each commit. Beside it
// stand ".prev", the snapshot before the last commit, ".lock", and ".blobs", the
// directory of the blobs. It holds nothing open between calls.
type File struct {
	path string
	now  func() time.Time // nil means time.Now; only tests set it
}

var _ Store = (*File)(nil)

// NewFile returns the store at path, which need not exist yet; its directory must,
// and must belong to the caller.
func NewFile(path string) *File { return &File{path: path} }

// Path returns the path given to NewFile.
func (f *File) Path() string { return f.path }

// Load implements Store. It takes no lock and sees either the snapshot before or
// the one after a commit that is under way.
func (f *File) Load(ctx context.Context) (Snapshot, error) {
	return load(ctx, f.path)
}

// Previous returns the snapshot before the last commit, for repair by hand. Errors
// as of Load.
func (f *File) Previous(ctx context.Context) (Snapshot, error) {
	return load(ctx, f.path+atomicfile.PreviousSuffix)
}

// Create makes c the first snapshot, of generation 1. It is Commit with base 0:
// ErrExists if the file exists, whatever is in it.
func (f *File) Create(ctx context.Context, c Change) error {
	_, err := f.Commit(ctx, 0, c)
	return err
}

// Commit implements Store. It holds the lock from reading the present generation
// until the new file is durable.
func (f *File) Commit(ctx context.Context, base uint64, c Change) (uint64, error) {
	generation, err := f.commit(ctx, base, c)
	if err != nil {
		return 0, fmt.Errorf("committing to %s: %w", f.path, translate(err))
	}
	return generation, nil
}

func (f *File) commit(ctx context.Context, base uint64, c Change) (uint64, error) {
	if base == math.MaxUint64 {
		return 0, fmt.Errorf("%w: no generation after %d", ErrTooLarge, base)
	}
	guard, err := atomicfile.Lock(ctx, f.path)
	if err != nil {
		return 0, err
	}
	defer guard.Unlock()
	present, err := f.present(guard, base)
	if err != nil {
		return 0, err
	}
	next, err := c.apply(present)
	if err != nil {
		return 0, err
	}
	next.recent = c.recentAfter(present, f.time())
	data, err := encodeFile(next)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := f.placeBlobs(c); err != nil {
		return 0, err
	}
	if err := guard.Write(data, atomicfile.Options{Exclusive: base == 0}); err != nil {
		return 0, err
	}
	f.collect(c.Named, next.recent)
	return next.Generation, nil
}

// present returns the snapshot that a commit on base starts from.
func (f *File) present(guard *atomicfile.Guard, base uint64) (Snapshot, error) {
	data, err := guard.Read(MaxFile)
	switch {
	case base == 0 && errors.Is(err, fs.ErrNotExist):
		return Snapshot{}, nil
	case base == 0:
		return Snapshot{}, ErrExists
	case err != nil:
		return Snapshot{}, err
	}
	s, err := decodeFile(data)
	if err != nil {
		return Snapshot{}, err
	}
	if s.Generation != base {
		return Snapshot{}, fmt.Errorf("%w: generation %d, expected %d", ErrConflict, s.Generation, base)
	}
	return s, nil
}

// apply returns the snapshot after s. Its map is new; the records are shared.
func (c Change) apply(s Snapshot) (Snapshot, error) {
	next := Snapshot{Generation: s.Generation + 1, Root: s.Root, Records: maps.Clone(s.Records)}
	if next.Records == nil {
		next.Records = make(map[ID][]byte, len(c.Put))
	}
	if c.Root != nil {
		next.Root = c.Root
	}
	for _, id := range c.Delete {
		if _, ok := next.Records[id]; !ok {
			return Snapshot{}, fmt.Errorf("%w: record %s to delete is not there", ErrChange, id)
		}
		delete(next.Records, id)
		if _, ok := c.Put[id]; ok {
			return Snapshot{}, fmt.Errorf("%w: record %s both put and deleted", ErrChange, id)
		}
	}
	for id, record := range c.Put {
		if record == nil {
			record = []byte{} // nil would be encoded as null
		}
		next.Records[id] = record
	}
	return next, nil
}

func load(ctx context.Context, path string) (Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return Snapshot{}, err
	}
	data, err := atomicfile.ReadRegular(path, MaxFile)
	if err == nil {
		var s Snapshot
		if s, err = decodeFile(data); err == nil {
			return s, nil
		}
	}
	return Snapshot{}, fmt.Errorf("loading %s: %w", path, translate(err))
}

// translate puts the sentinels of this package over those of the layer below.
func translate(err error) error {
	for _, t := range []struct{ below, ours error }{
		{atomicfile.ErrUnsafe, ErrUnsafe},
		{atomicfile.ErrTooLarge, ErrTooLarge},
		{atomicfile.ErrExists, ErrExists},
		{atomicfile.ErrBusy, ErrBusy},
		{fs.ErrNotExist, ErrNotFound},
	} {
		if errors.Is(err, t.below) && !errors.Is(err, t.ours) {
			return fmt.Errorf("%w: %w", t.ours, err)
		}
	}
	return err
}
