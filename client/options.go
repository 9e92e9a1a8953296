package client

import (
	"errors"
	"os"

	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Option changes how Dial and DialAdmin connect.
type Option func(*options)

type options struct {
	path       string
	profile    string
	serverUIDs []uint32
	paths      socketpath.Paths
}

// WithSocket connects to the socket at path and no other.
func WithSocket(path string) Option { return func(o *options) { o.path = path } }

// WithProfile names the profile of calls that name none. Without it, and without
// NSAGENT_PROFILE, the agent takes the only profile there is.
func WithProfile(name string) Option { return func(o *options) { o.profile = name } }

// WithServerUID trusts servers of one more user, beside one's own.
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
	o.paths, err = socketpath.Find(socketpath.Options{Getenv: os.Getenv})
	if err != nil && o.path == "" {
		code := pb.CodeUsage
		if errors.Is(err, socketpath.ErrTooLong) {
			code = pb.CodeSocket
		}
		return nil, &Error{Code: code, Message: "the agent's socket cannot be found", Why: err.Error(), cause: err}
	}
	return o, nil
}

// socket returns the path to use: the one named, else the default.
func (o *options) socket(byDefault string) string {
	if o.path != "" {
		return o.path
	}
	return byDefault
}
