package supervise

import (
	"fmt"
	"path/filepath"

	"github.com/nsagent/nsagent/internal/socketpath"
)

const (
	// grantMode lets everybody connect who gets at the socket: who that is, the directory
	// says, and what it is mounted into.
	grantMode = 0o666
	// grantQueue is how many connections may wait to be taken.
	grantQueue = 128
	// maxBound is how many sockets there may be at once, beside those of the agent.
	maxBound = 512
)

// answerListen makes a socket for the agent, which can make none, and hands it over. It
// lies in a directory in which nobody else can put another in its place, and takes no
// path from anybody.
func (s *supervisor) answerListen(m message) error {
	path := string(m.body)
	switch {
	case !filepath.IsAbs(path) || filepath.Clean(path) != path:
		return fmt.Errorf("%w: %q", socketpath.ErrRelative, path)
	case len(s.bound) == maxBound:
		return fmt.Errorf("%d sockets at once already", maxBound)
	case s.bound[path] != nil:
		return fmt.Errorf("%w: %q", socketpath.ErrTaken, path)
	}
	if err := socketpath.CheckShared(filepath.Dir(path)); err != nil {
		return err
	}
	b, err := socketpath.Listen(path, grantMode, grantQueue)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // the agent has its own, and nobody listens once that is closed
	m.body = nil
	file, err := b.File()
	if err == nil {
		err = s.hand(m, file)
		_ = file.Close()
	}
	if err != nil {
		_ = b.Remove()
		return err
	}
	s.bound[path] = b
	return nil
}

// answerUnlisten removes the path of a socket that was made for the agent.
func (s *supervisor) answerUnlisten(m message) error {
	if b := s.bound[string(m.body)]; b != nil {
		delete(s.bound, string(m.body))
		if err := b.Remove(); err != nil {
			return err
		}
	}
	m.body = nil
	_, err := s.link.Write(m.encode())
	return err
}

// unlistenAll removes what an agent that was killed could not.
func (s *supervisor) unlistenAll() {
	for _, b := range s.bound {
		_ = b.Remove()
	}
}
