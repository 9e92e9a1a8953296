package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// File is a file or directory that is to be the user's own.
type File struct {
	Path, What string
	// Private is true where others may not even read it.
	Private bool
}

// Files looks at owner and permissions of what is there. Each fault is a finding;
// where there is none, one finding says so.
func (h Host) Files(files []File) []Finding {
	var out []Finding
	there := 0
	for _, f := range files {
		fi, err := os.Lstat(f.Path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		there++
		if err != nil {
			out = append(out, problem("files", f.What+" cannot be looked at", err.Error(), "look at the directories above it:  namei -l "+f.Path))
		} else if finding := f.judge(fi, os.Geteuid()); finding.Level != OK {
			out = append(out, finding)
		}
	}
	switch {
	case len(out) > 0:
		return out
	case there == 0:
		return []Finding{ok("files", "there are none yet")}
	default:
		return []Finding{ok("files", fmt.Sprintf("all %d are yours alone", there))}
	}
}

// judge looks at one file as uid does.
func (f File) judge(fi fs.FileInfo, uid int) Finding {
	const check = "files"
	mode, private := "600", "other users can read "+f.What
	if fi.IsDir() {
		mode = "700"
	}
	st, known := fi.Sys().(*syscall.Stat_t)
	perm := fi.Mode().Perm()
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		return problem(check, f.What+" is a symbolic link: "+f.Path, "nsagent follows none: whoever made it chooses the file", "put the file itself there")
	case known && int(st.Uid) != uid:
		return problem(check, fmt.Sprintf("%s belongs to uid %d, not to you (uid %d)", f.What, st.Uid, uid), f.Path,
			fmt.Sprintf("if it is yours, as after sudo:  sudo chown %d %s", uid, f.Path))
	case perm&0o022 != 0:
		return problem(check, fmt.Sprintf("other users can write %s (mode %04o)", f.What, perm), f.Path, fmt.Sprintf("look at what is in it, then:  chmod %s %s", mode, f.Path))
	case f.Private && perm&0o077 != 0:
		return problem(check, fmt.Sprintf("%s (mode %04o)", private, perm), f.Path, fmt.Sprintf("chmod %s %s", mode, f.Path))
	default:
		return ok(check, f.What)
	}
}

// Bounds of free space, in bytes: below the first nothing can be relied on, below
// the second it runs out soon.
const (
	noRoom     = 1 << 20
	littleRoom = 64 << 20
)

// Space says how much room is left where something is written. What is missing is
// looked for in the directory above.
func (h Host) Space(dir, what string) Finding {
	const check = "space"
	for _, err := os.Stat(dir); err != nil && dir != "/"; _, err = os.Stat(dir) {
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return warn(check, "the room for "+what+" is not known", err.Error(), "look at it:  df "+dir)
	}
	free := st.Bavail * uint64(max(st.Bsize, 0)) // #nosec G115 -- a block size
	fix := "make room:  df -h " + dir
	switch {
	case st.Flags&unix.ST_RDONLY != 0:
		return problem(check, what+" lies on a file system that is read-only", "what cannot be recorded is not done", "mount it for writing, or set XDG_DATA_HOME and XDG_STATE_HOME to another place")
	case free < noRoom:
		return problem(check, fmt.Sprintf("only %d KiB are left for %s", free>>10, what), "what cannot be recorded is not done", fix)
	case free < littleRoom:
		return warn(check, fmt.Sprintf("only %d MiB are left for %s", free>>20, what), "what cannot be recorded is not done", fix)
	default:
		return ok(check, fmt.Sprintf("%d MiB are left for %s", free>>20, what))
	}
}
