//go:build unix

package socketpath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links on the way to a directory are followed, as
// many as the kernel does.
const maxLinks = 40

// EnsureDir makes the directory path, and the ones above it, with mode 0700 where
// they are missing, and checks that nobody else can get at what will be in it.
//
// The directory itself must be ours, without any permission for others, and no
// symbolic link. Each directory above must belong to us or to root and must not
// be writable for others, unless it is sticky, as /tmp is; a symbolic link on the
// way must itself be made by us or by root. A directory that the group may write
// counts as ours where the group is the user's own by its number (uid = gid), as
// it is on systems with a umask of 0002. What is already there is not repaired: it
// may have been read or planted before.
//
// Errors wrap ErrUnsafe, or say which system call was refused.
func EnsureDir(path string) error { return goThrough(path, walk{mkdir: true}) }

// CheckDir checks what EnsureDir checks and makes nothing: where a directory is
// missing, the error wraps fs.ErrNotExist.
func CheckDir(path string) error { return goThrough(path, walk{}) }

// goThrough walks to path as w says.
func goThrough(path string, w walk) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%w: %q", ErrRelative, path)
	}
	w.uid, w.gid, w.at, w.rest = os.Geteuid(), os.Getegid(), "/", split(path)
	fi, err := os.Lstat(w.at)
	if err != nil {
		return fmt.Errorf("checking %q: %w", w.at, err)
	}
	for {
		if err := w.checkParent(fi); err != nil {
			return err
		}
		if len(w.rest) == 0 {
			return w.checkOwn(fi)
		}
		if fi, err = w.step(); err != nil {
			return err
		}
	}
}

// walk is the way from the root to a directory. Nobody else can change what was
// walked: each directory is checked before anything is looked up in it.
type walk struct {
	uid, gid int
	mkdir    bool     // what is missing is made
	shared   bool     // others may look into the last directory
	at       string   // where we are, without symbolic links
	rest     []string // names still to go
	links    int      // symbolic links followed
}

// step goes on by one name and makes the directory where it is missing and may be
// made.
func (w *walk) step() (fs.FileInfo, error) {
	name := w.rest[0]
	w.rest = w.rest[1:]
	next := filepath.Join(w.at, name)
	fi, err := os.Lstat(next)
	if w.mkdir && errors.Is(err, fs.ErrNotExist) {
		if err := os.Mkdir(next, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("making a directory: %w", err)
		}
		fi, err = os.Lstat(next)
	}
	if err != nil {
		return nil, fmt.Errorf("checking a directory: %w", err)
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		return w.follow(next, fi)
	}
	w.at = next
	if !fi.IsDir() {
		return nil, fmt.Errorf("%w: %q is not a directory", ErrUnsafe, next)
	}
	return fi, nil
}

// follow puts the target of a symbolic link in place of its name.
func (w *walk) follow(link string, fi fs.FileInfo) (fs.FileInfo, error) {
	if len(w.rest) == 0 {
		return nil, fmt.Errorf("%w: %q is a symbolic link; name the directory that it leads to", ErrUnsafe, link)
	}
	if owner := ownerOf(fi); owner != w.uid && owner != 0 {
		return nil, fmt.Errorf("%w: the symbolic link %q belongs to uid %d", ErrUnsafe, link, owner)
	}
	if w.links++; w.links > maxLinks {
		return nil, fmt.Errorf("%w: too many symbolic links at %q", ErrUnsafe, link)
	}
	target, err := os.Readlink(link)
	if err != nil {
		return nil, fmt.Errorf("reading a symbolic link: %w", err)
	}
	if filepath.IsAbs(target) {
		w.at = "/"
	}
	w.rest = append(split(target), w.rest...)
	fi, err = os.Lstat(w.at)
	if err != nil {
		return nil, fmt.Errorf("checking a directory: %w", err)
	}
	return fi, nil
}

// checkParent refuses a directory in which somebody else could replace an entry
// of ours.
func (w *walk) checkParent(fi fs.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: no owner known of %q", ErrUnsafe, w.at)
	}
	if owner := int(st.Uid); owner != w.uid && owner != 0 {
		return fmt.Errorf("%w: %q belongs to uid %d, not to you (uid %d) or root", ErrUnsafe, w.at, owner, w.uid)
	}
	if fi.Mode()&fs.ModeSticky != 0 || fi.Mode().Perm()&0o022 == 0 {
		return nil
	}
	ownGroup := int(st.Uid) == w.uid && int(st.Gid) == w.gid && w.uid == w.gid
	if fi.Mode().Perm()&0o002 == 0 && ownGroup {
		return nil
	}
	return w.othersWrite(fi)
}

// othersWrite is the refusal of a directory in which others may write. Where it is ours alone,
// it says how to end that; a sticky one, as /tmp, is for all, and stays so.
func (w *walk) othersWrite(fi fs.FileInfo) error {
	fix := ""
	if ownerOf(fi) == w.uid && fi.Mode()&fs.ModeSticky == 0 {
		fix = fmt.Sprintf("; run: chmod go-w %q", w.at)
	}
	return fmt.Errorf("%w: others may write in %q (mode %04o)%s", ErrUnsafe, w.at, fi.Mode().Perm(), fix)
}

// checkOwn refuses a last directory that is not ours alone, or, where it is shared, one
// that others may write.
func (w *walk) checkOwn(fi fs.FileInfo) error {
	if owner := ownerOf(fi); owner != w.uid {
		return fmt.Errorf("%w: %q belongs to uid %d, not to you (uid %d)", ErrUnsafe, w.at, owner, w.uid)
	}
	if w.shared {
		if fi.Mode().Perm()&0o022 != 0 {
			return w.othersWrite(fi)
		}
		return nil
	}
	if fi.Mode()&fs.ModeSticky != 0 && fi.Mode().Perm()&0o022 != 0 {
		return w.othersWrite(fi)
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%w: others may use %q (mode %04o); look at what is in it, then run: chmod 700 %q",
			ErrUnsafe, w.at, fi.Mode().Perm(), w.at)
	}
	return nil
}

// CheckSocket returns nil where path is a socket that belongs to one of uids, for
// a client that is about to connect. A symbolic link is refused, also where it
// leads to such a socket, and so is a directory in which anybody could put another
// socket of the same user into its place. A missing socket gives an error that wraps
// fs.ErrNotExist; other errors wrap ErrNotSocket, ErrUnsafe or ErrTooLong.
//
// The answer is about the path: who listens is for peercred to say.
func CheckSocket(path string, uids ...uint32) error {
	if err := CheckLength(path); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("checking the socket: %w", &fs.PathError{Op: "lstat", Path: path, Err: err})
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
	case unix.S_IFLNK:
		return fmt.Errorf("%w: %q is a symbolic link", ErrUnsafe, path)
	default:
		return fmt.Errorf("%w: %q", ErrNotSocket, path)
	}
	if !slices.Contains(uids, st.Uid) {
		return fmt.Errorf("%w: the socket %q belongs to uid %d", ErrUnsafe, path, st.Uid)
	}
	var dir unix.Stat_t
	if err := unix.Stat(filepath.Dir(path), &dir); err != nil {
		return fmt.Errorf("checking the socket: %w", &fs.PathError{Op: "stat", Path: filepath.Dir(path), Err: err})
	}
	if dir.Mode&unix.S_IWOTH != 0 && dir.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("%w: everybody may write the directory of %q", ErrUnsafe, path)
	}
	return nil
}

// split returns the names of a path, without empty ones and dots.
func split(path string) []string {
	var names []string
	for _, name := range strings.Split(path, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

// ownerOf returns the uid that a file belongs to, or -1.
func ownerOf(fi fs.FileInfo) int {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
