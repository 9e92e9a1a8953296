package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// lookUp finds a program as a shell does. With an error failureCode is what exec ends with.
func (e *env) lookUp(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
		e.failureCode = execNotFound
		next := "give its path, or look into:  echo $PATH"
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && filepath.Base(name) == name {
			next = "did you mean the one that lies here?  ./" + shellQuote(oneLine(name))
		}
		return "", &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("no program %.80q", name), Why: "it is not there, or not in PATH", Next: next}
	default:
		e.failureCode = execCannotRun
		return "", cannotRun(name, name, err)
	}
}

// cannotRun says why the file of a program that is there cannot be run, and what helps. path is
// where its name was found.
func cannotRun(name, path string, err error) error {
	quoted, interpreter := shellQuote(oneLine(path)), interpreterOf(path)
	why, next := afterLast(err.Error(), ": "), "see:  ls -l "+quoted
	switch info, serr := os.Stat(path); {
	case errors.Is(err, fs.ErrPermission) && serr == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 == 0:
		why, next = "it is not marked as a program", "mark it:  chmod +x "+quoted
	case errors.Is(err, unix.ENOEXEC) && interpreter == "":
		why, next = "it is of another machine, or a script without a first line such as #!/bin/sh", "name what runs it:  sh "+quoted
	case errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(interpreter, "\r"):
		why, next = "it has the line ends of Windows, and no system has what its first line names", "give it others:  sed -i 's/\\r$//' "+quoted
	case errors.Is(err, fs.ErrNotExist) && interpreter != "":
		why = fmt.Sprintf("its first line names %.80q, which is not there", interpreter)
	case errors.Is(err, fs.ErrNotExist):
		why = "the loader that it needs is not there"
	}
	return &client.Error{Code: pb.CodeUsage, Message: fmt.Sprintf("%.80q cannot be run", name), Why: why, Next: next}
}

// interpreterOf returns the program that the first line of a script names, with what the
// kernel takes for a part of it; "" where it names none.
func interpreterOf(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // #nosec G304 -- what the user runs
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	start := make([]byte, 256) // as much as the kernel looks at
	n, _ := io.ReadFull(f, start)
	line, script := bytes.CutPrefix(start[:n], []byte("#!"))
	if !script {
		return ""
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	name, _, _ := bytes.Cut(bytes.TrimLeft(line, " \t"), []byte(" "))
	return string(name)
}
