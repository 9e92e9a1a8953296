package command

import (
	"context"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/harden"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// ask calls the agent's socket for use.
func (e *env) ask(ctx context.Context, calls func(*client.Client) error) error {
	cl, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = cl.Close() }()
	return calls(cl)
}

// askAsProfile asks the agent for something with the profile that the person means, and
// shows the answer. The call may wait until somebody approves it.
func askAsProfile[T any](ctx context.Context, e *env, asks func(*client.Client) (T, error), show func(T) error) error {
	cl, err := e.dialProfile(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = cl.Close() }()
	var answer T
	err = e.attended(ctx, func(ctx context.Context) (err error) {
		defer context.AfterFunc(ctx, func() { _ = cl.Close() })()
		answer, err = asks(cl)
		return err
	})
	if err != nil {
		return err
	}
	return show(answer)
}

// beKnown lets the agent see which program asks, by which rules, approvals and the log go:
// its parent cannot see that of a process which others of the user cannot read. It is for
// commands that hold no secret yet: what comes to hold one by newArena, or by the agent's
// answer, is unreadable again from then on. One that was given an unlock token stays as it
// is.
func beKnown() {
	if !client.UnlockTokenNamed() {
		_ = harden.Readable() // what is not known is allowed no more by that
	}
}

// byOwnRight says, where an unlock token is set, that managing goes by the user's own right
// and does not look at it. What would do something with a profile is refused: a job that
// tries its token so would learn nothing of it, and use what the token does not cover.
func (e *env) byOwnRight() error {
	if !client.UnlockTokenNamed() {
		return nil
	}
	name := strings.TrimPrefix(e.command, "nsagent ")
	switch first, _, _ := strings.Cut(name, " "); {
	case name == "unlock" || name == "lock" || name == "agent stop": // which nobody takes for a use
		return nil
	case name == "profile test" || slices.Contains([]string{"cert", "integration", "login", "migrate", "rotate"}, first):
		return &client.Error{
			Code: pb.CodeGrantScope, Message: name + " is not for an unlock token",
			Why: "it goes by your own right, and would not look at the token; what does is  nsagent profile ls", Next: "use your own right:  unset NSAGENT_TOKEN",
		}
	}
	e.note("%s goes by your own right, and does not look at the unlock token", name)
	return nil
}

// manage calls the agent's socket for managing.
func (e *env) manage(ctx context.Context, calls func(*client.Admin) error) error {
	if err := e.byOwnRight(); err != nil {
		return err
	}
	a, err := e.dialAdmin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	return calls(a)
}

// manageSecretly is manage for calls that carry secrets, which are kept in locked memory
// until they are sealed.
func (e *env) manageSecretly(ctx context.Context, calls func(*client.Admin, *secret.Arena) error) error {
	if err := e.byOwnRight(); err != nil { // before anybody is asked for a secret
		return err
	}
	arena, err := newArena()
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	return e.manage(ctx, func(a *client.Admin) error { return calls(a, arena) })
}
