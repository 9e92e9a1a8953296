package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// blobStore is a store whose clock the test sets.
func blobStore(t *testing.T) (*File, *time.Time) {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	f := NewFile(filepath.Join(t.TempDir(), "vault.nsv"))
	f.now = func() time.Time { return now }
	return f, &now
}

func blobOf(n byte, size int) ([]byte, BlobHash) {
	b := bytes.Repeat([]byte{n}, size)
	return b, sha256.Sum256(b)
}

func (f *File) mustCommit(t *testing.T, base uint64, c Change) {
	t.Helper()
	if c.Root == nil {
		c.Root = []byte("root")
	}
	if _, err := f.Commit(context.Background(), base, c); err != nil {
		t.Fatal(err)
	}
}

// TestBlobs shows the life of a blob: there with the commit that adds it, in a file
// of its own and for ten minutes in the snapshot too; gone ten minutes after nothing
// names it, and not before.
func TestBlobs(t *testing.T) {
	ctx := context.Background()
	f, now := blobStore(t)
	a, ha := blobOf(1, 100_000)
	f.mustCommit(t, 0, Change{Blobs: map[BlobHash][]byte{ha: a}, Named: map[BlobHash]bool{ha: true}})
	want := func(what string, h BlobHash, there bool) {
		t.Helper()
		b, err := f.Blob(ctx, h)
		if there && (err != nil || sha256.Sum256(b) != h) || !there && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %d bytes, %v", what, len(b), err)
		}
	}
	size := func() int64 {
		info, err := os.Stat(f.path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	want("just added", ha, true)
	if info, err := os.Stat(f.blobPath(ha)); err != nil || info.Mode() != 0o600 || size() < 100_000 {
		t.Errorf("file %v, %v, and a snapshot of %d bytes", info, err, size())
	}
	// The snapshot stands in where the file is missing or damaged.
	if err := os.WriteFile(f.blobPath(ha), a[:10], 0o600); err != nil {
		t.Fatal(err)
	}
	want("its file was cut", ha, true)
	if err := os.Remove(f.blobPath(ha)); err != nil {
		t.Fatal(err)
	}
	want("its file is gone", ha, true)
	if err := os.WriteFile(f.blobPath(ha), a, 0o600); err != nil {
		t.Fatal(err)
	}

	*now = now.Add(copyTime + time.Second)
	f.mustCommit(t, 1, Change{Named: map[BlobHash]bool{ha: true}})
	if size() > 10_000 {
		t.Errorf("after ten minutes the snapshot has %d bytes", size())
	}
	want("in its file alone", ha, true)
	if err := os.WriteFile(f.blobPath(ha), a[:99_999], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Blob(ctx, ha); !errors.Is(err, ErrDamaged) {
		t.Errorf("a file that was cut: %v", err)
	}
	if err := os.WriteFile(f.blobPath(ha), a, 0o600); err != nil {
		t.Fatal(err)
	}

	f.mustCommit(t, 2, Change{Named: map[BlobHash]bool{ha: true}}) // takes note that it is named
	leftover := f.blobPath(ha) + ".tmp-0123456789abcdef"
	if err := os.WriteFile(leftover, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.mustCommit(t, 3, Change{}) // nothing names it from here on
	*now = now.Add(copyTime - time.Second)
	f.mustCommit(t, 4, Change{})
	want("nearly ten minutes after", ha, true)
	*now = now.Add(2 * time.Second)
	f.mustCommit(t, 5, Change{})
	want("ten minutes after", ha, false)
	*now = now.Add(copyTime + time.Second)
	f.mustCommit(t, 6, Change{})
	f.mustCommit(t, 7, Change{})
	*now = now.Add(copyTime + time.Second)
	f.mustCommit(t, 8, Change{})
	if l, err := os.ReadDir(f.blobDir()); err != nil || len(l) != 0 {
		t.Errorf("left: %v, %v", l, err)
	}

	// A clock that was set back keeps everything.
	b, hb := blobOf(2, 10)
	f.mustCommit(t, 9, Change{Blobs: map[BlobHash][]byte{hb: b}, Named: map[BlobHash]bool{hb: true}})
	*now = now.Add(-24 * time.Hour)
	f.mustCommit(t, 10, Change{Named: map[BlobHash]bool{hb: true}})
	f.mustCommit(t, 11, Change{})
	f.mustCommit(t, 12, Change{})
	want("the clock was set back", hb, true)
}

// TestBlobsRefused guards that only blobs of the right name and size come in, and
// that a refused change leaves no trace in the snapshot.
func TestBlobsRefused(t *testing.T) {
	ctx := context.Background()
	f, _ := blobStore(t)
	f.mustCommit(t, 0, Change{})
	b, h := blobOf(1, 10)
	large, hl := blobOf(2, MaxBlob+1)
	for name, c := range map[string]struct {
		blobs map[BlobHash][]byte
		want  error
	}{
		"another name": {map[BlobHash][]byte{{1}: b}, ErrChange},
		"too large":    {map[BlobHash][]byte{hl: large}, ErrTooLarge},
	} {
		if _, err := f.Commit(ctx, 1, Change{Blobs: c.blobs}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := os.RemoveAll(f.blobDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.blobDir(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Commit(ctx, 1, Change{Blobs: map[BlobHash][]byte{h: b}}); err == nil {
		t.Error("a file in place of the directory")
	}
	if s, err := f.Load(ctx); err != nil || s.Generation != 1 || len(s.recent) != 0 {
		t.Errorf("after refusals: %+v, %v", s, err)
	}
	if err := os.Remove(f.blobDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(f.blobDir(), 0o777); err != nil || os.Chmod(f.blobDir(), 0o777) != nil { // #nosec G301 G302 -- what is to be refused
		t.Fatal(err)
	}
	if _, err := f.Commit(ctx, 1, Change{Blobs: map[BlobHash][]byte{h: b}}); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a directory that others may write: %v", err)
	}
}

// TestRecentBlobsAreBounded guards that many new blobs do not fill the snapshot.
func TestRecentBlobsAreBounded(t *testing.T) {
	f, now := blobStore(t)
	named := make(map[BlobHash]bool)
	for i := range byte(9) {
		b, h := blobOf(i, MaxBlob)
		named[h] = true
		*now = now.Add(time.Second)
		f.mustCommit(t, uint64(i), Change{Blobs: map[BlobHash][]byte{h: b}, Named: named})
	}
	info, err := os.Stat(f.path)
	if err != nil || info.Size() > maxRecent+10_000 {
		t.Errorf("the snapshot has %d bytes, %v", info.Size(), err)
	}
	for h := range named {
		if _, err := f.Blob(context.Background(), h); err != nil {
			t.Error(err)
		}
	}
}

func (f *File) blobAnywhere(h BlobHash) ([]byte, error) { return f.Blob(context.Background(), h) }

// TestLacking shows that a blob is missed where neither its file nor the snapshot has
// it, and not before.
func TestLacking(t *testing.T) {
	f, now := blobStore(t)
	a, ha := blobOf(1, 100_000)
	b, hb := blobOf(2, 100_000)
	named := map[BlobHash]bool{ha: true, hb: true}
	f.mustCommit(t, 0, Change{Blobs: map[BlobHash][]byte{ha: a, hb: b}, Named: named})
	want := func(what string, want ...BlobHash) {
		t.Helper()
		got, err := f.Lacking(t.Context(), []BlobHash{ha, hb})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", what, got, err, want)
		}
	}
	want("both are there")
	if err := os.Remove(f.blobPath(hb)); err != nil {
		t.Fatal(err)
	}
	want("the snapshot has it")
	*now = now.Add(copyTime + time.Second)
	f.mustCommit(t, 1, Change{Named: named})
	want("the snapshot has it no more", hb)
	if f.HasBlobFile(hb) || !f.HasBlobFile(ha) {
		t.Error("the files are not told apart")
	}
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Lacking(t.Context(), []BlobHash{hb}); !errors.Is(err, ErrNotFound) {
		t.Errorf("no snapshot: %v", err)
	}
}

// TestCopyWhileWriting guards P9 for backups: a plain copy, made at any moment while
// blobs come and go, holds a snapshot together with every blob that it names: one of the
// whole directory, and one of the vault file and then its blobs. What is copied in that
// order has the blobs as files, and does not need the snapshot for them.
func TestCopyWhileWriting(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := NewFile(filepath.Join(dir, "vault.nsv"))
	ended := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		ended <- func() error {
			var before []BlobHash
			for n := uint64(0); ; n++ {
				select {
				case <-stop:
					return nil
				default:
				}
				// Each generation names one new blob and the one before; the root says which.
				b := bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 10_000)
				h := BlobHash(sha256.Sum256(b))
				c := Change{Root: append([]byte{}, h[:]...), Blobs: map[BlobHash][]byte{h: b}, Named: map[BlobHash]bool{h: true}}
				for _, old := range before {
					c.Root = append(c.Root, old[:]...)
					c.Named[old] = true
				}
				if before = append([]BlobHash{h}, before...); len(before) > 2 {
					before = before[:2]
				}
				if _, err := f.Commit(ctx, n, c); err != nil {
					return err
				}
			}
		}()
	}()
	generations := make(map[uint64]bool)
	deadline := time.Now().Add(time.Minute)
	for i := 0; i < 25 && time.Now().Before(deadline); {
		if _, err := os.Stat(f.path); err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		to := filepath.Join(t.TempDir(), "copy")
		from, blob := []string{dir}, (*File).blobAnywhere
		if i%2 == 1 {
			from, blob = []string{f.path, f.blobDir()}, (*File).BlobFile
			if err := os.Mkdir(to, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		// cp grumbles about temporary files that go while it runs; that is no matter.
		_ = exec.CommandContext(ctx, "cp", slices.Concat([]string{"-a"}, from, []string{to})...).Run() // #nosec G204 -- of the test
		copied := NewFile(filepath.Join(to, "vault.nsv"))
		s, err := copied.Load(ctx)
		if err != nil {
			t.Fatalf("copy %d: %v", i, err)
		}
		for rest := s.Root; len(rest) > 0; rest = rest[sha256.Size:] {
			if _, err := blob(copied, BlobHash(rest[:sha256.Size])); err != nil {
				t.Errorf("copy %d, generation %d: %v", i, s.Generation, err)
			}
		}
		generations[s.Generation] = true
		i++
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(generations) < 5 {
		t.Errorf("the copies have %d generations; the writer stood still", len(generations))
	}
}
