package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/tokenenv"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// maxInput is the most bytes of a token that a process of ours is given, with a line end.
const maxInput = agent.MaxUnlockToken + 2

// bundleInputs returns what the agent process reads a bundle's unlock token from, and the
// ID token of the job, nil if there is none. The caller closes them.
func bundleInputs() (token, idToken *os.File, err error) {
	unlock := tokenenv.UnlockToken()
	source, err := unlock.Take()
	if err == nil && source == nil {
		err = unlock.Missing("NSAGENT_TOKEN is not set", "and a bundle opens with nothing else")
	}
	ofJob, errOfJob := tokenenv.IDToken().Take()
	if err = cmp.Or(err, errOfJob); err != nil {
		return nil, nil, tokenError(err)
	}
	if token, err = source.Open(); err != nil {
		return nil, nil, tokenError(err)
	}
	if ofJob == nil {
		return token, nil, nil
	}
	if idToken, err = ofJob.Open(); err != nil {
		_ = token.Close()
		return nil, nil, tokenError(err)
	}
	return token, idToken, nil
}

// tokenError returns err in the form for people.
func tokenError(err error) error {
	if e, ok := errors.AsType[*tokenenv.Error](err); ok {
		return &client.Error{Code: e.Code, Message: e.Message, Why: e.Why, Next: e.Next}
	}
	return err
}

// bundleToServe returns what the agent process is told of a bundle, and what it reads the tokens
// from. The caller closes that.
func bundleToServe(file string) (flags bundleFlags, inputs []*os.File, err error) {
	text, err := readBundle(file)
	if err != nil {
		return flags, nil, err
	}
	flags.grant = grantIn(text)
	if flags.file, err = absolute(file); err != nil {
		return flags, nil, err
	}
	token, idToken, err := bundleInputs()
	if err != nil {
		return flags, nil, err
	}
	inputs = []*os.File{token}
	if flags.idToken = idToken != nil; flags.idToken {
		inputs = append(inputs, idToken)
	}
	return flags, inputs, nil
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
	grant   string // the name that it says, unchecked, where this process has read it; empty: none
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
