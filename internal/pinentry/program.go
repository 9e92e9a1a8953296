package pinentry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// prefix is what the names of these programs begin with: a shell would take what is
	// to be shown for commands.
	prefix = "pinentry"
	// maxLinks is how many symbolic links may lead to one.
	maxLinks = 16
)

// Find returns the program that path, an absolute one, leads to. It refuses what anybody
// but root can have put there, or can change: the file, every directory and every symbolic
// link on the way are root's, and nobody else may write them. The error wraps ErrProgram
// and names the part at fault.
func Find(path string) (string, error) {
	if !filepath.IsAbs(path) || !strings.HasPrefix(filepath.Base(path), prefix) {
		return "", fmt.Errorf("%w: %.200q is not the path of a program that is called %s…", ErrProgram, path, prefix)
	}
	at, rest := "/", split(path)
	mode, err := look(at)
	for links := 0; err == nil && len(rest) > 0; {
		next := filepath.Join(at, rest[0]) // at has no link, so that .. is what it says
		if mode, err = look(next); err != nil {
			break
		}
		if rest = rest[1:]; mode&unix.S_IFMT != unix.S_IFLNK {
			at = next
			continue
		}
		target, fault := os.Readlink(next)
		if links++; fault != nil || links > maxLinks {
			return "", errors.Join(fmt.Errorf("%w: %s leads nowhere", ErrProgram, next), fault)
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(split(target), rest...)
	}
	if err == nil && (mode&unix.S_IFMT != unix.S_IFREG || mode&0o111 == 0) {
		err = fmt.Errorf("%w: %s is not a file that can be run", ErrProgram, at)
	}
	return at, err
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// look returns the mode of what stands at a path, unless somebody but root may exchange it.
// The mode of a symbolic link says nothing: who may write its directory may exchange it.
func look(path string) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrProgram, path, err)
	}
	mode := uint32(st.Mode)
	switch {
	case st.Uid != 0:
		return 0, fmt.Errorf("%w: %s belongs to uid %d", ErrProgram, path, st.Uid)
	case mode&0o022 != 0 && mode&unix.S_IFMT != unix.S_IFLNK:
		return 0, fmt.Errorf("%w: %s can be written by group or others (mode %04o)", ErrProgram, path, mode&0o7777)
	}
	return mode, nil
}
