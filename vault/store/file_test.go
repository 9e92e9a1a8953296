package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/atomicfile"
)

// privateDir returns a new directory of mode 0700.
func privateDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// newFile returns a store with one snapshot: root "root" and records 1 and 2.
func newFile(t testing.TB) *File {
	t.Helper()
	f := NewFile(filepath.Join(privateDir(t), "vault.nsv"))
	err := f.Create(t.Context(), Change{Root: []byte("root"), Put: map[ID][]byte{{1}: []byte("one"), {2}: []byte("two")}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustLoad(t testing.TB, f *File) Snapshot {
	t.Helper()
	s, err := f.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCommit(t *testing.T) {
	f := newFile(t)
	first := Snapshot{Generation: 1, Root: []byte("root"), Records: map[ID][]byte{{1}: []byte("one"), {2}: []byte("two")}}
	if got := mustLoad(t, f); !reflect.DeepEqual(got, first) {
		t.Fatalf("got %+v, want %+v", got, first)
	}
	if _, err := f.Previous(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Errorf("previous of the first: got %v, want ErrNotFound", err)
	}
	generation, err := f.Commit(t.Context(), 1, Change{
		Put:    map[ID][]byte{{2}: []byte("two again"), {3}: nil},
		Delete: []ID{{1}},
	})
	if err != nil || generation != 2 {
		t.Fatalf("got generation %d, %v; want 2", generation, err)
	}
	want := Snapshot{Generation: 2, Root: []byte("root"), Records: map[ID][]byte{{2}: []byte("two again"), {3}: {}}}
	if got := mustLoad(t, f); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, err := f.Previous(t.Context()); err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("previous: got %+v, %v; want %+v", got, err, first)
	}
	if _, err := f.Commit(t.Context(), 2, Change{Root: []byte{}}); err != nil {
		t.Fatal(err)
	}
	if got := mustLoad(t, f); got.Generation != 3 || len(got.Root) != 0 || got.Root == nil || len(got.Records) != 2 {
		t.Errorf("after an empty root: %+v", got)
	}
}

// TestRefusedCommitsChangeNothing compares the bytes of the file.
func TestRefusedCommitsChangeNothing(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		base   uint64
		change Change
		want   error
	}{
		"base too old":         {base: 1, want: ErrConflict},
		"base too new":         {base: 3, want: ErrConflict},
		"create":               {base: 0, want: ErrExists},
		"no next generation":   {base: math.MaxUint64, want: ErrTooLarge},
		"delete what is not":   {base: 2, change: Change{Delete: []ID{{9}}}, want: ErrChange},
		"delete twice":         {base: 2, change: Change{Delete: []ID{{1}, {1}}}, want: ErrChange},
		"put and delete":       {base: 2, change: Change{Delete: []ID{{1}}, Put: map[ID][]byte{{1}: {}}}, want: ErrChange},
		"record too large":     {base: 2, change: Change{Put: map[ID][]byte{{1}: make([]byte, MaxRecord+1)}}, want: ErrTooLarge},
		"root too large":       {base: 2, change: Change{Root: make([]byte, MaxRoot+1)}, want: ErrTooLarge},
		"context at its end":   {ctx: cancelled, base: 2, want: context.Canceled},
		"and larger than disk": {base: 2, change: Change{Put: manyLarge(65)}, want: ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFile(t)
			if _, err := f.Commit(t.Context(), 1, Change{Root: []byte("second")}); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(f.Path())
			if err != nil {
				t.Fatal(err)
			}
			ctx := c.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			if generation, err := f.Commit(ctx, c.base, c.change); !errors.Is(err, c.want) || generation != 0 {
				t.Errorf("got %d, %v; want %v", generation, err, c.want)
			}
			if after, err := os.ReadFile(f.Path()); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file changed, %v", err)
			}
			if s, err := f.Previous(t.Context()); err != nil || s.Generation != 1 {
				t.Errorf("the previous file changed: %+v, %v", s, err)
			}
		})
	}
}

func TestCommitToWhatIsNotThere(t *testing.T) {
	f := NewFile(filepath.Join(privateDir(t), "vault.nsv"))
	if _, err := f.Commit(t.Context(), 1, Change{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("no file: got %v, want ErrNotFound", err)
	}
	if _, err := f.Load(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Errorf("no file to load: got %v, want ErrNotFound", err)
	}
	if err := NewFile("/nonexistent/dir/vault.nsv").Create(t.Context(), Change{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("no directory: got %v, want ErrNotFound", err)
	}
}

// TestCreateKeepsWhatIsThere must not replace even a damaged file.
func TestCreateKeepsWhatIsThere(t *testing.T) {
	f := NewFile(filepath.Join(privateDir(t), "vault.nsv"))
	if err := os.WriteFile(f.Path(), []byte("not a vault"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Create(t.Context(), Change{}); !errors.Is(err, ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	if _, err := f.Commit(t.Context(), 1, Change{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
	if got, err := os.ReadFile(f.Path()); err != nil || string(got) != "not a vault" {
		t.Errorf("the file is %q, %v", got, err)
	}
}

func TestUnsafeFile(t *testing.T) {
	f := newFile(t)
	if err := os.Chmod(f.Path(), 0o644); err != nil {
		t.Fatal(err)
	}
	_, loadErr := f.Load(t.Context())
	_, commitErr := f.Commit(t.Context(), 1, Change{})
	for _, err := range []error{loadErr, commitErr} {
		var unsafe *atomicfile.UnsafeError
		if !errors.Is(err, ErrUnsafe) || !errors.As(err, &unsafe) || unsafe.Fix != "chmod 600 "+f.Path() {
			t.Errorf("got %v, want ErrUnsafe with the fix", err)
		}
	}
	if err := os.Truncate(f.Path(), MaxFile+1); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.Path(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(t.Context()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

// TestEveryFlipAndCutOfTheFile goes through Load, file and all.
func TestEveryFlipAndCutOfTheFile(t *testing.T) {
	f := newFile(t)
	data := flipAndCut(t, f.Path(), func(what string, _ []byte) {
		if s, err := f.Load(t.Context()); !errors.Is(err, ErrDamaged) || s.Root != nil || s.Records != nil {
			t.Fatalf("%s: got %+v, %v; want ErrDamaged", what, s, err)
		}
	})
	if err := os.WriteFile(f.Path(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, f)
}

// flipAndCut calls try with the file at path changed in one bit, for each bit, and
// then cut to each shorter length, each time telling what the file holds. It
// returns what it held at first.
func flipAndCut(t *testing.T, path string, try func(what string, content []byte)) []byte {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	original, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Clone(original)
	put := func(i int) {
		if _, err := file.WriteAt(data[i:i+1], int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	for bit := range len(data) * 8 {
		data[bit/8] ^= 1 << (bit % 8)
		put(bit / 8)
		try(fmt.Sprintf("bit %d flipped", bit), data)
		data[bit/8] = original[bit/8]
		put(bit / 8)
	}
	for n := len(data) - 1; n >= 0; n-- {
		if err := file.Truncate(int64(n)); err != nil {
			t.Fatal(err)
		}
		try(fmt.Sprintf("cut to %d bytes", n), data[:n])
	}
	return original
}

// TestBusyLockEndsWithTheContext holds the lock of the file.
func TestBusyLockEndsWithTheContext(t *testing.T) {
	f := newFile(t)
	guard, err := atomicfile.Lock(t.Context(), f.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := f.Commit(ctx, 1, Change{}); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrBusy and the deadline", err)
	}
	mustLoad(t, f) // takes no lock
}

// TestLoadSeesOldOrNew loads while others commit: whole snapshots, never an older
// one after a newer one.
func TestLoadSeesOldOrNew(t *testing.T) {
	f := newFile(t)
	content := func(generation uint64) []byte {
		return bytes.Repeat([]byte{byte(generation)}, 20_000)
	}
	if _, err := f.Commit(t.Context(), 1, Change{Root: content(2), Put: map[ID][]byte{{1}: content(2)}}); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			last := uint64(0)
			for {
				s, err := f.Load(context.Background())
				if err != nil || s.Generation < last ||
					!bytes.Equal(s.Root, content(s.Generation)) || !bytes.Equal(s.Records[ID{1}], content(s.Generation)) {
					t.Errorf("generation %d after %d: %v", s.Generation, last, err)
					return
				}
				last = s.Generation
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for generation := uint64(2); generation < 60; generation++ {
		next := content(generation + 1)
		if _, err := f.Commit(t.Context(), generation, Change{Root: next, Put: map[ID][]byte{{1}: next}}); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	readers.Wait()
}

// TestSnapshotsAndChangesAreNotShared changes what was loaded and what was given.
func TestSnapshotsAndChangesAreNotShared(t *testing.T) {
	f := newFile(t)
	record := []byte("mine")
	if _, err := f.Commit(t.Context(), 1, Change{Put: map[ID][]byte{{3}: record}}); err != nil {
		t.Fatal(err)
	}
	record[0] = 'X'
	s := mustLoad(t, f)
	s.Root[0] = 'X'
	delete(s.Records, ID{1})
	if again := mustLoad(t, f); string(again.Root) != "root" || len(again.Records) != 3 || string(again.Records[ID{3}]) != "mine" {
		t.Errorf("got %+v", again)
	}
}
