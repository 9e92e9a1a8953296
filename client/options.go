package client

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Option changes how Dial and DialAdmin connect.
type Option func(*options)

type options struct {
	path       string // absolute; empty means the default
	profile    string
	serverUIDs []uint32
	paths      socketpath.Paths
	// token gives the unlock token to show; nil means that of the environment.
	token func() (*unlocktoken.Token, error)
	// unlockToken is what it gave, and the connection wipes; nil means none.
	unlockToken *unlocktoken.Token
	// idToken is shown with it; nil means none.
	idToken *idToken
}

// WithSocket connects to the socket at path and no other. A relative path is
// taken from the working directory at the time of Dial; an empty one means the
// default.
func WithSocket(path string) Option { return func(o *options) { o.path = path } }

// WithProfile names the profile of calls that name none. Without it, and without
// NSAGENT_PROFILE, the agent takes the only profile there is.
func WithProfile(name string) Option { return func(o *options) { o.profile = name } }

// WithServerUID trusts sockets and servers of one more user, beside one's own.
func WithServerUID(uid uint32) Option {
	return func(o *options) { o.serverUIDs = append(o.serverUIDs, uid) }
}

func newOptions(opts []Option) (*options, error) {
	o := &options{profile: os.Getenv("NSAGENT_PROFILE")}
	uids, err := serverUIDs(os.Getenv("NSAGENT_SOCK_UID"))
	if err != nil {
		return nil, err
	}
	o.serverUIDs = uids
	for _, f := range opts {
		f(o)
	}
	if o.path != "" {
		if o.path, err = filepath.Abs(o.path); err != nil {
			return nil, nowhere(err)
		}
		return o, nil
	}
	if o.paths, err = socketpath.Find(socketpath.Options{Getenv: getenv}); err != nil {
		return nil, nowhere(err)
	}
	return o, nil
}

// getenv is os.Getenv with a home directory where there is none: services often
// run without, and what names the sockets is enough.
func getenv(name string) string {
	v := os.Getenv(name)
	if name == "HOME" && v == "" && os.Getenv("NSAGENT_SOCK")+os.Getenv("NSAGENT_ADMIN_SOCK")+os.Getenv("XDG_RUNTIME_DIR") != "" {
		return "/"
	}
	return v
}

func nowhere(cause error) *Error {
	code := pb.CodeUsage
	if errors.Is(cause, socketpath.ErrTooLong) || errors.Is(cause, socketpath.ErrRelative) {
		code = pb.CodeSocket
	}
	return &Error{Code: code, Message: "the agent's socket cannot be found", Why: cause.Error(), cause: cause}
}

// socket returns the path to use: the one named, else the default.
func (o *options) socket(byDefault string) string {
	if o.path != "" {
		return o.path
	}
	return byDefault
}

// serverUIDs reads NSAGENT_SOCK_UID.
func serverUIDs(value string) ([]uint32, error) {
	if value == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return nil, &Error{Code: pb.CodeUsage, Message: "NSAGENT_SOCK_UID is not a user ID", Why: "it is a decimal number", cause: err}
	}
	return []uint32{uint32(n)}, nil
}
