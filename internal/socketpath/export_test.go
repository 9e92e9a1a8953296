//go:build unix

package socketpath

import (
	"io/fs"
	"os"
)

// Prepare does what Listen does to the socket that it has bound at path.
func Prepare(path string, mode fs.FileMode) error { return (&Bound{path: path}).prepare(mode, 1) }

// CheckAs returns why a user may have nothing below the directory dir, or, where it is the last
// one, nothing in it.
func CheckAs(uid int, dir string) (below, in error) {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err, err
	}
	w := walk{uid: uid, gid: -1, at: dir, shared: true}
	return w.checkParent(fi), w.checkOwn(fi)
}
