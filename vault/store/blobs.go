package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nsagent/nsagent/internal/atomicfile"
)

// Blobs are what is too long for the snapshot, each a file of its own in a directory
// beside it, named by the hash of its content and never changed.
//
// Who copies the directory of the vault file by file, without asking anybody, gets
// the snapshot of one moment and the blobs of another. So a new blob stands in the
// snapshot as well for a while, and one that nothing names any more stays for as
// long. A copy that takes no longer than that is whole.
const (
	// MaxBlob is the most bytes of a blob.
	MaxBlob = 4 << 20
	// BlobSuffix, behind the path of the snapshot, is the directory of the blobs.
	BlobSuffix = ".blobs"

	// copyTime is how long a copy of the directory may take.
	copyTime = 10 * time.Minute
	// maxRecent is the most bytes of blobs that stand in the snapshot as well. Where
	// more come within copyTime, the oldest make room.
	maxRecent = 24 << 20
)

// BlobHash is the SHA-256 of a blob.
type BlobHash [sha256.Size]byte

// String returns the 64 hexadecimal digits of h, the name of the blob's file.
func (h BlobHash) String() string { return hex.EncodeToString(h[:]) }

// BlobInfo describes a blob that is there, by its name.
type BlobInfo struct {
	Hash BlobHash
	Size int64
}

// recentBlob is a blob in the snapshot.
type recentBlob struct {
	_     struct{} `cbor:",toarray"`
	Since uint64   // Unix seconds
	Blob  []byte
}

func (f *File) blobDir() string { return f.path + BlobSuffix }

func (f *File) blobPath(h BlobHash) string { return filepath.Join(f.blobDir(), h.String()) }

// Blob implements Store.
func (f *File) Blob(ctx context.Context, h BlobHash) ([]byte, error) {
	b, err := f.readBlob(h)
	if err == nil {
		return b, nil
	}
	if s, lerr := f.Load(ctx); lerr == nil {
		if r, ok := s.recent[h]; ok && sha256.Sum256(r.Blob) == h {
			return r.Blob, nil
		}
	}
	return nil, fmt.Errorf("reading blob %s: %w", h, translate(err))
}

func (f *File) readBlob(h BlobHash) ([]byte, error) {
	b, err := atomicfile.ReadRegular(f.blobPath(h), MaxBlob)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(b) != h {
		return nil, damaged("the blob is not what its name says")
	}
	return b, nil
}

// BlobFile returns the blob of that hash from its own file, whatever the snapshot
// holds of it. Errors as of Blob.
func (f *File) BlobFile(h BlobHash) ([]byte, error) {
	b, err := f.readBlob(h)
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", h, translate(err))
	}
	return b, nil
}

// HasBlobFile reports whether there is a file of that blob, whatever it holds.
func (f *File) HasBlobFile(h BlobHash) bool {
	_, err := os.Lstat(f.blobPath(h))
	return err == nil
}

// Lacking returns those of some blobs that neither a file nor the snapshot has. It reads
// no blob, and the snapshot only where a file is missing. Errors as of Load.
func (f *File) Lacking(ctx context.Context, blobs []BlobHash) ([]BlobHash, error) {
	lacking := slices.DeleteFunc(slices.Clone(blobs), f.HasBlobFile)
	if len(lacking) == 0 {
		return nil, nil
	}
	s, err := f.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for blobs: %w", err)
	}
	return slices.DeleteFunc(lacking, func(h BlobHash) bool {
		_, recent := s.recent[h]
		return recent
	}), nil
}

// Blobs returns the blobs that there are files of, in no order.
func (f *File) Blobs(context.Context) ([]BlobInfo, error) {
	entries, err := os.ReadDir(f.blobDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the blobs: %w", err)
	}
	var all []BlobInfo
	for _, e := range entries {
		if h, ok := parseBlobName(e.Name()); ok {
			if info, err := e.Info(); err == nil {
				all = append(all, BlobInfo{h, info.Size()})
			}
		}
	}
	return all, nil
}

func parseBlobName(name string) (h BlobHash, ok bool) {
	b, err := hex.DecodeString(name)
	if err != nil || len(b) != len(h) || hex.EncodeToString(b) != name {
		return h, false
	}
	return BlobHash(b), true
}

// placeBlobs makes the blobs of a change durable, before the snapshot that names
// them.
func (f *File) placeBlobs(c Change) error {
	if len(c.Blobs) == 0 {
		return nil
	}
	if err := atomicfile.EnsureDir(f.blobDir()); err != nil {
		return err
	}
	for h, b := range c.Blobs {
		switch {
		case len(b) > MaxBlob:
			return tooLarge("blob", len(b), MaxBlob)
		case sha256.Sum256(b) != h:
			return fmt.Errorf("%w: blob %s has another hash", ErrChange, h)
		}
		if err := atomicfile.Place(f.blobPath(h), b); err != nil {
			return err
		}
	}
	return nil
}

// recentAfter returns the blobs that stand in the snapshot after c.
func (c Change) recentAfter(s Snapshot, now time.Time) map[BlobHash]recentBlob {
	next := maps.Clone(s.recent)
	since := uint64(max(0, now.Unix())) // #nosec G115 -- not negative
	maps.DeleteFunc(next, func(_ BlobHash, r recentBlob) bool {
		return r.Since > since || since-r.Since > uint64(copyTime/time.Second)
	})
	if next == nil && len(c.Blobs) > 0 {
		next = make(map[BlobHash]recentBlob, len(c.Blobs))
	}
	for h, b := range c.Blobs {
		next[h] = recentBlob{Since: since, Blob: b}
	}
	for size(next) > maxRecent {
		var oldest BlobHash
		first := true
		for h, r := range next {
			if first || r.Since < next[oldest].Since {
				oldest, first = h, false
			}
		}
		delete(next, oldest)
	}
	if len(next) == 0 {
		return nil
	}
	return next
}

func size(blobs map[BlobHash]recentBlob) int {
	n := 0
	for _, r := range blobs {
		n += len(r.Blob)
	}
	return n
}

// collect removes blobs that nothing has named for longer than copyTime, and what
// crashed writers left. A blob that is named has modification time 0; one that is
// met without a name gets the time of that meeting. The caller holds the lock, so
// nobody adds one meanwhile. What fails is tried again after the next commit.
func (f *File) collect(named map[BlobHash]bool, recent map[BlobHash]recentBlob) {
	entries, err := os.ReadDir(f.blobDir())
	if err != nil {
		return
	}
	now, never := f.time(), time.Unix(0, 0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		path := filepath.Join(f.blobDir(), e.Name())
		h, isBlob := parseBlobName(e.Name())
		_, isRecent := recent[h]
		unmarked := info.ModTime().Equal(never)
		switch {
		case isBlob && (named[h] || isRecent):
			if !unmarked {
				_ = os.Chtimes(path, never, never)
			}
		case unmarked || info.ModTime().After(now):
			_ = os.Chtimes(path, now, now)
		case now.Sub(info.ModTime()) > copyTime:
			_ = os.Remove(path)
		}
	}
}

func (f *File) time() time.Time {
	if f.now != nil {
		return f.now()
	}
	return time.Now()
}
