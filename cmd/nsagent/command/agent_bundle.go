package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// maxInput is the most bytes of a token that a process of ours is given, with a line end.
const maxInput = agent.MaxUnlockToken + 2

// bundleInputs returns what the agent process reads a bundle's unlock token from, and the
// ID token of the job, nil if there is none. The caller closes them.
func (e *env) bundleInputs() (token, idToken *os.File, err error) {
	token, err = e.input("NSAGENT_TOKEN", "NSAGENT_TOKEN_FILE", "NSAGENT_TOKEN_FD")
	if err == nil && token == nil {
		err = e.noToken()
	}
	if err != nil {
		return nil, nil, err
	}
	if idToken, err = e.input("", "NSAGENT_OIDC_TOKEN_FILE", "NSAGENT_OIDC_TOKEN_FD"); err != nil {
		_ = token.Close()
	}
	return token, idToken, err
}

// bundle returns what the agent process is told of a bundle, and what it reads the tokens
// from. The caller closes that.
func (e *env) bundle(file string) (flags bundleFlags, inputs []*os.File, err error) {
	if _, err := readBundle(file); err != nil {
		return flags, nil, err
	}
	if flags.file, err = absolute(file); err != nil {
		return flags, nil, err
	}
	token, idToken, err := e.bundleInputs()
	if err != nil {
		return flags, nil, err
	}
	inputs = []*os.File{token}
	if flags.idToken = idToken != nil; flags.idToken {
		inputs = append(inputs, idToken)
	}
	return flags, inputs, nil
}

// noToken says that there is nothing to open a bundle with, and why that may be.
func (e *env) noToken() error {
	why := "and a bundle opens with nothing else"
	if event := e.getenv("GITHUB_EVENT_NAME"); strings.HasPrefix(event, "pull_request") {
		why = "GitHub does not pass secrets to workflows from forks"
	}
	return &client.Error{Code: pb.CodeLocked, Message: "NSAGENT_TOKEN is not set", Why: why, Next: "give it as a secret of the job:  nsagent help ci"}
}

// input returns a descriptor with what one of three variables gives: as its value, in the
// file or at the descriptor that it names. It is nil where none is set. The variables are
// taken out of the environment, so that no child inherits them.
func (e *env) input(value, file, fd string) (*os.File, error) {
	var set []string
	values := make(map[string]string)
	for _, name := range []string{value, file, fd} {
		if name == "" {
			continue
		}
		if v := e.getenv(name); v != "" {
			values[name] = v
			set = append(set, name)
		}
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("taking %s out of the environment: %w", name, err)
		}
	}
	switch {
	case len(set) == 0:
		return nil, nil
	case len(set) > 1:
		return nil, usage("more than one of "+strings.Join(set, " and ")+" is set", "one of them counts", "unset "+set[1])
	case set[0] == value:
		return pipeOf(values[value])
	case set[0] == fd:
		n, err := strconv.ParseUint(values[fd], 10, 16)
		if err != nil || n < 3 {
			return nil, usage(fd+" is not the number of an open descriptor", "it is a decimal number from 3 on", "give it so:  "+fd+"=3 nsagent … 3< FILE")
		}
		return os.NewFile(uintptr(n), fd), nil
	}
	f, err := os.Open(values[file])
	if err != nil {
		return nil, &client.Error{Code: pb.CodeUsage, Message: "the file that " + file + " names cannot be read", Why: plain(err), Next: "see who may read it:  ls -l " + values[file]}
	}
	return f, nil
}

// pipeOf returns the end of a pipe that text is read from.
func pipeOf(text string) (*os.File, error) {
	if len(text) > maxInput {
		return nil, usage("NSAGENT_TOKEN is too long", fmt.Sprintf("a token has at most %d characters", agent.MaxUnlockToken), "")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	go func() {
		_, _ = io.WriteString(w, text) // the agent is gone where this fails, and says so itself
		_ = w.Close()
	}()
	return r, nil
}

// readBundle returns the text of a bundle.
func readBundle(file string) ([]byte, error) {
	f, err := os.Open(file) // #nosec G304 -- named by the user
	if err != nil {
		code := pb.CodeUsage
		if errors.Is(err, os.ErrNotExist) {
			code = pb.CodeNotFound
		}
		return nil, &client.Error{Code: code, Message: "the bundle cannot be read", Why: plain(err), Next: "name the file that  nsagent grant new --bundle FILE  wrote"}
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, agent.MaxBundle+1))
	if err != nil {
		return nil, &client.Error{Code: pb.CodeUsage, Message: "the bundle cannot be read", Why: plain(err), Next: "name the file that  nsagent grant new --bundle FILE  wrote"}
	}
	return b, nil
}

// bundleFlags are what the process that serves a bundle is told.
type bundleFlags struct {
	file    string // absolute
	idToken bool   // the descriptor of an ID token follows that of the unlock token
}

// args returns them as arguments.
func (b bundleFlags) args() []string {
	args := []string{"--bundle", b.file}
	if b.idToken {
		args = append(args, "--id-token")
	}
	return args
}

// give has a command that runs an agent serve the bundle, and read its tokens from inputs.
func (b bundleFlags) give(c *exec.Cmd, inputs []*os.File) {
	if b.file == "" {
		return
	}
	c.Args, c.ExtraFiles = append(c.Args, "--bundle", b.file), inputs
	c.Env = append(c.Env, "NSAGENT_TOKEN_FD=3")
	if b.idToken {
		c.Env = append(c.Env, "NSAGENT_OIDC_TOKEN_FD=4")
	}
}

// inputs returns how many descriptors it is given.
func (b bundleFlags) inputs() int {
	switch {
	case b.file == "":
		return 0
	case b.idToken:
		return 2
	default:
		return 1
	}
}

// config returns what the agent is told of its bundle, of which files are the inputs; nil
// where it serves none.
func (b bundleFlags) config(files []*os.File) (*agent.BundleConfig, error) {
	if b.file == "" {
		return nil, nil
	}
	text, err := readBundle(b.file)
	if err != nil {
		return nil, err
	}
	out := &agent.BundleConfig{Text: text, Token: readInput(files[0])}
	if b.idToken {
		out.IDToken = readInput(files[1])
	}
	return out, nil
}

// readInput reads a descriptor to its end into locked memory, once.
func readInput(f *os.File) func(*secret.Arena) (secret.Bytes, error) {
	return func(a *secret.Arena) (secret.Bytes, error) {
		defer func() { _ = f.Close() }()
		b, err := a.ReadAll(f, maxInput)
		if err != nil {
			return secret.Bytes{}, fmt.Errorf("reading a token: %w", err)
		}
		return b, nil
	}
}

// absolute returns the path of a file for a process in another directory.
func absolute(file string) (string, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return "", usage("the path of the bundle is not known", plain(err), "begin it with a slash")
	}
	return path, nil
}
