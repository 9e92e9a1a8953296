package command

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// elsewhereError is an agent that has the vault of these paths and does not serve their
// sockets: they were named, the runtime directory is another one, as in cron, or it was made
// anew while the agent lived on.
type elsewhereError struct {
	said  *client.Error
	other agent.Other
}

func (e *elsewhereError) Error() string { return e.said.Error() }
func (e *elsewhereError) Unwrap() error { return e.said }

// elsewhere returns an *elsewhereError where there is such an agent. It may be unlocked. Where it is
// is said to whoever may use it.
func (e *env) elsewhere(p socketpath.Paths) error {
	o, there := agent.LookForOther(p)
	if !there {
		return nil
	}
	if e.maybeOfGrant(p) && !o.Gone && o.Agent != p.Agent {
		return &elsewhereError{&client.Error{
			Code: pb.CodeAgent, Message: "the agent cannot be reached at " + p.Agent,
			Why:  e.namedBy(p) + " names it; if it is that of a grant or of exec, that has ended or was revoked, or the agent is new and its vault locked",
			Next: "ask who set it, or the vault's owner, who sees:  nsagent grant ls",
		}, o}
	}
	why := o.Why()
	if by := e.namedBy(p); by != "" {
		why += ", not what " + by + " names"
	}
	next := o.Next()
	if e.socket != "" && !o.Gone { // which counts more than a variable
		next = "use that one:  --socket " + o.Agent
	}
	return &elsewhereError{&client.Error{Code: pb.CodeAgent, Message: "the agent cannot be reached at " + p.Agent, Why: why, Next: next}, o}
}

// maybeOfGrant reports whether the socket was named, and is not one where an agent has served its
// owner: whoever is limited to one of a grant or of exec is not sent to a wider one.
func (e *env) maybeOfGrant(p socketpath.Paths) bool {
	if !p.SocketNamed || p.Agent == filepath.Join(p.RuntimeDir, "agent.sock") {
		return false
	}
	lock := agent.LookAtLock(p.PIDFile)
	return filepath.Base(p.Agent) != "agent.sock" || lock != agent.LockFree && lock != agent.LockHeld
}

// beyondReach returns the error of elsewhere where nobody can connect to that agent.
func (e *env) beyondReach(p socketpath.Paths) error {
	err := e.elsewhere(p)
	if met := (*elsewhereError)(nil); errors.As(err, &met) && met.other.Gone {
		return err
	}
	return nil
}

// manageAnywhere is manage for what ends the use of a vault. That reaches an agent that has
// it and serves other sockets, too, unless a socket was named. lock is the file of the agent
// that was called.
func (e *env) manageAnywhere(ctx context.Context, calls func(*client.Admin) error) (lock string, err error) {
	p, err := e.paths()
	if err != nil {
		return "", err
	}
	err = e.manage(ctx, calls)
	var met *elsewhereError
	if !errors.As(err, &met) || met.other.Gone || p.SocketNamed {
		return p.PIDFile, err
	}
	a, err := client.DialAdmin(ctx, client.WithSocket(met.other.Admin))
	if err != nil {
		return "", met
	}
	defer func() { _ = a.Close() }()
	e.say("nsagent: the agent serves %s", oneLine(met.other.Agent))
	return filepath.Join(filepath.Dir(met.other.Agent), socketpath.LockName), calls(a)
}

// namedBy returns what named the socket; "" where nothing did.
func (e *env) namedBy(p socketpath.Paths) string {
	switch {
	case !p.SocketNamed:
		return ""
	case e.socket != "":
		return "--socket"
	default:
		return "NSAGENT_SOCK"
	}
}

// onlyForUse refuses to manage at a socket that somebody named and that has none to manage
// beside it: mostly that of a grant, or of a program of exec. The agent is there, and whoever is
// restricted to such a socket is not sent to a wider one. Where the one to manage was named as
// well, the call says what is wrong with that.
func (e *env) onlyForUse(ctx context.Context, p socketpath.Paths) error {
	if _, err := os.Lstat(p.Admin); !p.SocketNamed || e.getenv("NSAGENT_ADMIN_SOCK") != "" || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := agentPID(ctx, p.Agent); err != nil {
		return nil //nolint:nilerror // nobody is there, which is for the call to say
	}
	return &client.Error{
		Code: pb.CodeAgent, Message: "nothing can be managed from here", Why: "no admin.sock is beside the socket that " + e.namedBy(p) + " names, as with that of a grant or of exec",
		Next: "leave it to whoever owns the vault; if there is one elsewhere:  NSAGENT_ADMIN_SOCK=PATH",
	}
}

// namedInVain says what a socket may have been at which nobody listens and that somebody
// named: not only agent.sock is.
func (e *env) namedInVain(p socketpath.Paths, err error) error {
	f, by := failure(err), e.namedBy(p)
	start := "start one there:  nsagent agent start"
	next := start + "   (or do without:  unset NSAGENT_SOCK)"
	if e.socket != "" {
		start = "start one there:  nsagent --socket " + shellQuote(p.Agent) + " agent start"
		next = "leave --socket out, or " + start
	}
	if e.maybeOfGrant(p) {
		next = "ask who set it; as the vault's owner, " + start
	}
	where := ", which " + by + " names; that of a grant or of exec ends with it"
	switch {
	case strings.HasSuffix(f.Why, p.Agent):
	case e.getenv("NSAGENT_ADMIN_SOCK") != "":
		where, next = ", which NSAGENT_ADMIN_SOCK names", "name the one of the agent at "+p.Agent+":  NSAGENT_ADMIN_SOCK=PATH"
	default: // the one to manage
		where = ", beside what " + by + " names; that of a grant or of exec ends with it"
	}
	return errors.Join(&client.Error{Code: f.Code, Message: f.Message, Why: f.Why + where, Next: next}, err)
}
