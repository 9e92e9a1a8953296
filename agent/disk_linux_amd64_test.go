package agent

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/calltrap"
)

// disk is what a disk that loses power may still have of some directories, told from the
// fsyncs of the process that writes them. A name is safe once its directory has been
// fsynced, a content once its file has: until then a disk may have either state.
type disk struct {
	t     *testing.T
	roots []string

	contents map[fileID][]byte            // at the last fsync
	names    map[string]map[string]fileID // by directory, at its last fsync
}

// fileID is a file whatever its name. Numbers are given away again, so it has the time of
// birth too.
type fileID struct{ number, born uint64 }

// image is a state of the disk: by path, the content of a file. What a directory holds
// is under its own path, a directory without files ends in a slash.
type image map[string][]byte

// newDisk takes what is there for safe.
func newDisk(t *testing.T, roots ...string) *disk {
	t.Helper()
	d := &disk{t: t, roots: roots, contents: make(map[fileID][]byte), names: make(map[string]map[string]fileID)}
	for _, root := range roots {
		_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist): // another thread is at work
			case err != nil:
				t.Errorf("looking at %s: %v", path, err)
			case e.IsDir():
				d.names[path] = d.list(path)
			default:
				d.take(path)
			}
			return nil
		})
	}
	return d
}

// after takes over what a call has made safe. It reads through the descriptor of the
// process, whose file may have another name by now.
func (d *disk) after(pid int, c *calltrap.Call) {
	if c.Result < 0 || c.Name != "fsync" && c.Name != "fdatasync" {
		return
	}
	path := fmt.Sprintf("/proc/%d/fd/%d", pid, c.FD)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		d.names[c.Path] = d.list(c.Path)
		return
	}
	d.take(path)
}

// take notes the content of a file.
func (d *disk) take(path string) {
	b, err := os.ReadFile(path) // #nosec G304 -- of the test
	id, there := d.id(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || !there:
	case err != nil:
		d.t.Errorf("reading %s: %v", path, err)
	default:
		d.contents[id] = b
	}
}

func (d *disk) id(path string) (id fileID, there bool) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &st)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return id, false
	case err != nil:
		d.t.Errorf("looking at %s: %v", path, err)
	case st.Mask&unix.STATX_BTIME == 0:
		d.t.Errorf("%s: this file system does not tell when a file was made", path)
	}
	return fileID{st.Ino, uint64(st.Btime.Sec)*1e9 + uint64(st.Btime.Nsec)}, true // #nosec G115 -- no file is older than 1970
}

func (d *disk) list(dir string) map[string]fileID {
	entries, err := os.ReadDir(dir)
	if err != nil {
		d.t.Errorf("listing %s: %v", dir, err)
	}
	all := make(map[string]fileID)
	for _, e := range entries {
		if id, there := d.id(filepath.Join(dir, e.Name())); there {
			all[e.Name()] = id
		}
	}
	return all
}

// images returns what may be found after a power cut at this moment: the names that are
// safe or the present ones, with the contents that are safe or the present ones. A file
// that was never fsynced is empty where only what is safe counts.
func (d *disk) images() []image {
	now := newDisk(d.t, d.roots...)
	var all []image
	for _, names := range []*disk{d, now} {
		for _, contents := range []*disk{d, now} {
			m := make(image)
			for _, root := range d.roots {
				names.fill(m, root, func(id fileID) []byte {
					b, ok := contents.contents[id]
					if !ok && contents == now {
						b = d.contents[id] // removed meanwhile: its last state is not known better
					}
					return b
				})
			}
			all = append(all, m)
		}
	}
	return all
}

// fill puts what the directory dir holds into m.
func (d *disk) fill(m image, dir string, content func(fileID) []byte) {
	m[dir+"/"] = nil
	for name, id := range d.names[dir] {
		path := filepath.Join(dir, name)
		if _, isDir := d.names[path]; isDir {
			d.fill(m, path, content)
			continue
		}
		m[path] = content(id)
	}
}

// sum tells whether two images are the same.
func (m image) sum() [sha256.Size]byte {
	h := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(m)) {
		_, _ = h.Write(binary.BigEndian.AppendUint64([]byte(path), uint64(len(m[path]))))
		_, _ = h.Write(m[path])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// write makes the image in another home.
func (m image) write(t *testing.T, from, to string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(m)) {
		rest, ok := strings.CutPrefix(path, from)
		if !ok {
			t.Fatalf("%s is not below %s", path, from)
		}
		target := to + rest
		err := error(nil)
		if strings.HasSuffix(path, "/") {
			err = os.MkdirAll(target, 0o700)
		} else if err = os.MkdirAll(filepath.Dir(target), 0o700); err == nil {
			err = os.WriteFile(target, m[path], 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// atEachFsync calls cut at each fsync of a process, before it and behind it, and once
// more at the end. It runs do meanwhile.
func atEachFsync(t *testing.T, pid int, d *disk, do func(), cut func(when string, images []image)) {
	t.Helper()
	is := func(c *calltrap.Call) bool {
		return (c.Name == "fsync" || c.Name == "fdatasync") && c.Within(d.roots...)
	}
	trap, err := calltrap.Attach(pid, calltrap.Handler{
		Before: func(c *calltrap.Call) syscall.Errno {
			if is(c) {
				cut("before "+c.String(), d.images())
			}
			return 0
		},
		After: func(c *calltrap.Call) syscall.Errno {
			if is(c) {
				d.after(pid, c)
				cut("after "+c.String(), d.images())
			}
			return 0
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	do()
	if err := trap.Detach(); err != nil {
		t.Error(err)
	}
	cut("at the end", d.images())
}
