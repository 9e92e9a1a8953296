package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/systemd"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// installed is a unit file that is to be there, and what is there now.
type installed struct {
	systemd.Unit
	path  string
	there []byte // nil: nothing
}

// units returns the unit files as they should be, and as they are. It refuses where
// one of them is somebody else's.
func (e *env) units(p socketpath.Paths) ([]installed, error) {
	exe, err := os.Executable()
	if err == nil {
		_, err = os.Stat(exe)
	}
	if err != nil {
		return nil, agentFailure("the program cannot be found", err)
	}
	var set []string
	for _, name := range []string{"NSAGENT_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"} {
		if value := e.getenv(name); filepath.IsAbs(value) {
			set = append(set, name+"="+value)
		}
	}
	texts, err := systemd.Units(exe, set)
	if err != nil {
		return nil, usage("the unit cannot be written", plain(err), "install nsagent, and put its directories, under a plain path")
	}
	// Where systemd looks: beside our own directory, under the same rules.
	dir := filepath.Join(filepath.Dir(p.ConfigDir), "systemd", "user")
	var units []installed
	for _, u := range texts {
		i := installed{Unit: u, path: filepath.Join(dir, u.Name)}
		fi, err := os.Lstat(i.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, agentFailure("the unit cannot be looked at", err)
		case !fi.Mode().IsRegular():
			return nil, foreign(i.path)
		default:
			if i.there, err = os.ReadFile(i.path); err != nil {
				return nil, agentFailure("the unit cannot be read", err)
			}
			if !systemd.Ours(i.there) {
				return nil, foreign(i.path)
			}
		}
		units = append(units, i)
	}
	return units, nil
}

func foreign(path string) error {
	return &client.Error{
		Code: pb.CodeExists, Message: "there is a unit that nsagent did not write", Why: path + " is left as it is",
		Next: "move it away, or keep it and do without agent install",
	}
}

func paths(units []installed) []string {
	var all []string
	for _, u := range units {
		all = append(all, u.path)
	}
	return all
}

// writeUnit replaces a unit file as a whole.
func writeUnit(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // #nosec G301 -- no secret; as systemctl makes it
		return fmt.Errorf("making a directory: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".nsagent-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// unlink removes a file that may be gone already.
func unlink(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}
