package command

import (
	"os"
	"path/filepath"
	"time"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// bundleLife is how long a grant with a bundle lasts where nothing is said.
const bundleLife = 30 * 24 * time.Hour

// bundleFile is the file that a bundle is to be written to. It is made beside its place
// before the grant is: a token whose bundle could not be written is lost.
type bundleFile struct {
	path string
	f    *os.File
}

// newBundleFile makes the file; nil for an empty path.
func newBundleFile(path string) (*bundleFile, error) {
	if path == "" {
		return nil, nil
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, bundleNotWritten("it is there, and no regular file")
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".nsagent-bundle-")
	if err != nil {
		return nil, bundleNotWritten(plain(err))
	}
	return &bundleFile{path, f}, nil
}

func bundleNotWritten(why string) error {
	return &client.Error{Code: pb.CodeUsage, Message: "the bundle cannot be written", Why: why, Next: "name another file:  --bundle F"}
}

// discard removes what is not in its place.
func (b *bundleFile) discard() {
	if b != nil {
		_ = b.f.Close()
		_ = os.Remove(b.f.Name())
	}
}

// finish writes the text and puts the file in its place, readable for all: it is to be
// committed.
func (b *bundleFile) finish(text []byte) error {
	_, err := b.f.Write(text)
	if err == nil {
		err = b.f.Chmod(0o644)
	}
	if err == nil {
		err = b.f.Sync()
	}
	if err == nil {
		err = os.Rename(b.f.Name(), b.path)
	}
	if err != nil {
		return bundleNotWritten(plain(err))
	}
	return nil
}
