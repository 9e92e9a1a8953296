package command

import (
	"context"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
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

// askAsProfile is ask for calls that use the profile that the person means. Such a call may
// wait until somebody approves it.
func (e *env) askAsProfile(ctx context.Context, calls func(*client.Client) error) error {
	cl, err := e.dialProfile(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = cl.Close() }()
	return e.attended(ctx, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = cl.Close() })()
		return calls(cl)
	})
}

// manage calls the agent's socket for managing.
func (e *env) manage(ctx context.Context, calls func(*client.Admin) error) error {
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
	arena, err := newArena()
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	return e.manage(ctx, func(a *client.Admin) error { return calls(a, arena) })
}
