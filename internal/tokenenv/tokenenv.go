// Package tokenenv takes the variables out of the environment that give a process an
// unlock token, or the ID token of a CI job.
package tokenenv

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Kind is a kind of token that a process may be given.
type Kind struct {
	value, file, fd string // its variables; "" where there is none
	name            string
	max             int    // bytes, without a line end
	next            string // what to do where one cannot be used
	itself          string // what to do where file holds the token
	// missing is the code where there is none, noSecret why, and give what to do then.
	missing        pb.Code
	noSecret, give string
}

// UnlockToken is that of a grant: NSAGENT_TOKEN, NSAGENT_TOKEN_FILE or NSAGENT_TOKEN_FD.
func UnlockToken() Kind {
	return Kind{
		value: "NSAGENT_TOKEN", file: "NSAGENT_TOKEN_FILE", fd: "NSAGENT_TOKEN_FD",
		name: "unlock token", max: unlocktoken.MaxText, next: "give it as it was printed, one line from nst1_ on",
		itself:  "give it as NSAGENT_TOKEN, or make that a variable of type File (GitLab)",
		missing: pb.CodeLocked, noSecret: "the job has no such secret", give: "give it as a secret of the job:  nsagent help ci",
	}
}

// IDToken is that of a CI job (OpenID Connect): NSAGENT_OIDC_TOKEN_FILE or
// NSAGENT_OIDC_TOKEN_FD.
func IDToken() Kind {
	const next = "see how to get one:  nsagent help ci"
	return Kind{
		file: "NSAGENT_OIDC_TOKEN_FILE", fd: "NSAGENT_OIDC_TOKEN_FD",
		name: "ID token of the job", max: 16 << 10, next: next,
		itself:  "write it to a file, and name that:  nsagent help ci",
		missing: pb.CodeGrant, noSecret: "the CI service has given none", give: next,
	}
}

// Source is where a process finds a token that it was given.
type Source struct {
	// Variable is the one that says so.
	Variable string
	value    string
	kind     Kind
}

// Take returns where the token is that the environment names; nil where it names none. The
// variables are removed, so that no child gets them: only the first call finds any. The
// error is an *Error where they contradict each other, or one is set and empty: whoever set
// it meant a token to be there.
func (k Kind) Take() (*Source, error) {
	var found *Source
	several := false
	for _, name := range []string{k.value, k.file, k.fd} {
		v, ok := os.LookupEnv(name)
		if !ok {
			continue
		}
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("removing %s from the environment: %w", name, err)
		}
		several = found != nil
		found = &Source{name, v, k}
	}
	switch {
	case several:
		return nil, k.several()
	case found != nil && strings.TrimSpace(found.value) == "":
		return nil, k.Missing(found.Variable+" is set, and empty", k.noSecret)
	}
	return found, nil
}

// Read returns the text of the token, with its line end if it has one; where there is none, an
// *Error as of a variable that is set and empty. Of one that is too long it returns so much
// that whoever parses it sees that.
func (s *Source) Read() ([]byte, error) {
	if s.Variable == s.kind.value {
		return []byte(s.value), nil
	}
	f, err := s.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := Read(f, s.kind.max)
	if err != nil {
		return nil, s.unreadable(err)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, s.kind.Missing("what "+s.Variable+" names is empty", s.kind.noSecret)
	}
	return text, nil
}

// Read reads the text of a token to its end, or to where it is too long for one of max
// bytes and a line end. It leaves no copies behind that nobody wipes.
func Read(r io.Reader, max int) ([]byte, error) {
	b := make([]byte, max+3) // one more than that; one that grows leaves copies behind
	n, err := io.ReadFull(r, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		clear(b)
		return nil, err
	}
	return b[:n], nil
}

// Open returns what the token is read from by another process. Of a file or a descriptor, how
// long it is that one sees.
func (s *Source) Open() (*os.File, error) {
	if s.Variable != s.kind.value {
		return s.open()
	}
	if len(s.value) > s.kind.max+2 {
		return nil, s.kind.Unusable("in "+s.Variable+": it is too long", nil)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	go func() {
		_, _ = io.WriteString(w, s.value) // whoever reads is gone where this fails, and says so itself
		_ = w.Close()
	}()
	return r, nil
}

// open opens the file, or takes the descriptor, that the variable names.
func (s *Source) open() (*os.File, error) {
	if s.Variable == s.kind.file {
		f, err := openFile(s.value)
		if err != nil {
			return nil, s.noFile(err)
		}
		return f, nil
	}
	n, err := strconv.ParseUint(s.value, 10, 16)
	if err != nil {
		return nil, s.noNumber(errors.Unwrap(err)) // without the value
	}
	f, err := takeDescriptor(int(n), s.Variable) // #nosec G115 -- of 16 bits
	if errors.Is(err, errOutput) {
		return nil, s.noNumber(err)
	}
	if err != nil {
		return nil, s.noDescriptor(err)
	}
	return f, nil
}

// openFile opens a file, which is no directory, for reading. A path that names a descriptor
// is one: opened as a file, what is at the descriptor would stay for every program that is run.
func openFile(path string) (*os.File, error) {
	if n, ok := descriptorAt(path); ok {
		return takeDescriptor(n, path)
	}
	f, err := os.Open(path) // #nosec G304 -- named by the user
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && fi.IsDir() {
		err = syscall.EISDIR
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// descriptorAt returns the number of the descriptor that a path names.
func descriptorAt(path string) (n int, ok bool) {
	if path == "/dev/stdin" {
		return 0, true
	}
	dir, name := filepath.Split(filepath.Clean(path))
	number, err := strconv.ParseUint(name, 10, 16)
	return int(number), err == nil && (dir == "/dev/fd/" || dir == "/proc/self/fd/") // #nosec G115 -- of 16 bits
}

// Parse reads the text of an unlock token, which may end in a line end; from says for people
// where it is.
func Parse(text []byte, from string) (*unlocktoken.Token, error) {
	t, err := unlocktoken.ParseLine(text)
	if err != nil {
		_, why, _ := strings.Cut(err.Error(), unlocktoken.ErrFormat.Error()+": ")
		return nil, UnlockToken().Unusable("in "+from+": "+cmp.Or(why, "it is damaged, or a part is missing"), err)
	}
	return t, nil
}
