package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/callback"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Flows of a login, as they are typed.
const (
	flowCode      = "pkce"
	flowThreeStep = "3sa"
)

type loginOptions struct {
	flow, from, redirect, role string
	scopes                     []string
	noBrowser                  bool
}

func newLogin(e *env) *cobra.Command {
	var o loginOptions
	c := &cobra.Command{
		Use:   "login",
		Short: "Log in with a browser, and store what NetSuite gives",
		Long: `Log in with a browser: NetSuite asks there whether nsagent may act for you, and
what it gives goes into the vault. No secret is shown, or written to a file.

--flow pkce is OAuth 2.0 (authorization code with PKCE) and stores a refresh
token, from which  nsagent token  gets access tokens. --flow 3sa is the
three-step flow of token-based authentication and stores a token that signs.

A profile that exists is logged in anew. A new one is asked for, or read by
--from from JSON as  nsagent profile add  takes it, with redirect_uri and
without what NetSuite is to give: token_id and token_secret.

The answer comes to the redirect URI, which the integration record has to list.
Where that is on this machine (https://localhost:8765/callback; for 3sa any
http://localhost), nsagent listens there for it. For OAuth 2.0 NetSuite wants
https: nsagent makes a certificate for this one login, which the browser warns
of. In any other case, paste the address at which the browser ends up.`,
		Example: `  nsagent login -p acme-me --flow pkce
  nsagent login -p acme-me --from client.json --no-browser
  nsagent login -p acme-tba --flow 3sa --role 1042`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runLogin(c.Context(), e, o) },
	}
	f := c.Flags()
	f.StringVar(&o.flow, "flow", "", "log in by `FLOW`: pkce or 3sa (else by the kind of the profile)")
	f.StringVar(&o.from, "from", "", "read a new profile as JSON from `FILE`, or - for stdin")
	f.StringVar(&o.redirect, "redirect-uri", "", "have the answer sent to `URI` (else to that of the profile)")
	f.StringSliceVar(&o.scopes, "scopes", nil, "ask for these `SCOPES`, separated by commas")
	f.StringVar(&o.role, "role", "", "the token is for the role with this internal `ID` (3sa)")
	f.BoolVar(&o.noBrowser, "no-browser", false, "print the address, and open no browser")
	return c
}

// check refuses what does not go together before anything is asked.
func (o loginOptions) check() error {
	switch {
	case o.flow != "" && o.flow != flowCode && o.flow != flowThreeStep:
		return usage(fmt.Sprintf("there is no flow %.20q", o.flow), "it is pkce, for OAuth 2.0, or 3sa, for token-based authentication", "")
	case o.flow == flowCode && o.role != "":
		return usage("--role belongs to --flow 3sa", "in the OAuth 2.0 flow the role is chosen in the browser", "")
	case o.flow == flowThreeStep && len(o.scopes) > 0:
		return usage("--scopes belongs to --flow pkce", "a token of token-based authentication has no scopes", "")
	}
	if o.redirect != "" {
		if _, err := callback.Here(o.redirect); err != nil {
			return badRedirect(err)
		}
	}
	return nil
}

func badRedirect(err error) error {
	return usage("the redirect URI cannot be used", plain(err), "give it as it stands on the integration record")
}

func runLogin(ctx context.Context, e *env, o loginOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	arena, err := arenaFor(o.from)
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	return e.manage(ctx, func(a *client.Admin) error {
		plan, err := e.planLogin(ctx, a, arena, o)
		if err != nil {
			return err
		}
		defer plan.destroy()
		l := &loginRun{loginPlan: plan, e: e, admin: a, arena: arena, options: o}
		p, err := l.run(ctx)
		if err != nil {
			return l.fromFile(err)
		}
		e.warnOfFile(o.from)
		if e.json() {
			return e.printJSON(p.JSON())
		}
		e.say("logged in %s: %s%s", p.GetName(), summary(p), actor(p))
		return nil
	})
}

// actor says in whose name a login acts, where NetSuite has said it: it is the person
// who happened to be logged in to the browser.
func actor(p *pb.Profile) string {
	s := ""
	if p.GetEntity() != "" {
		s += ", as entity " + p.GetEntity()
	}
	if p.GetRole() != "" {
		s += ", role " + p.GetRole()
	}
	return s
}

// loginRun is one login on its way.
type loginRun struct {
	*loginPlan
	e       *env
	admin   *client.Admin
	arena   *secret.Arena
	options loginOptions

	listener *callback.Listener // nil where the answer has to be pasted
	begun    *pb.BeginLoginResponse
}

// fromFile adds to an error that says how to begin anew the file of a profile that is not
// there yet: without it, the command would ask for what is in it.
func (l *loginRun) fromFile(err error) error {
	f := failure(err)
	advice := strings.TrimSuffix(f.Next, " -p "+l.profile.GetName())
	if l.options.from == "" || !strings.HasSuffix(advice, "nsagent login") {
		return err
	}
	return &client.Error{Code: f.Code, Message: f.Message, Why: f.Why, Next: advice + " -p " + l.profile.GetName() + " --from " + shellQuote(l.options.from)}
}

// kind returns what the callback carries.
func (l *loginRun) kind() callback.Kind {
	if l.flow == flowThreeStep {
		return callback.Verifier
	}
	return callback.Code
}

// run takes the login from the agent to the browser and back.
func (l *loginRun) run(ctx context.Context) (*pb.Profile, error) {
	if err := l.listen(); err != nil {
		return nil, err
	}
	if l.listener != nil {
		defer func() { _ = l.listener.Close() }()
	}
	sealers := make(map[string]client.Sealer, len(l.secrets))
	for field, b := range l.secrets {
		sealers[field] = sealer(b)
	}
	var err error
	l.begun, err = l.admin.BeginLogin(ctx, client.Login{Flow: l.flow, Profile: l.profile, Secrets: sealers, RedirectURI: l.redirect, Role: l.options.role})
	if err != nil {
		return nil, err
	}
	if l.listener != nil {
		l.listener.Expect(l.begun.GetState())
	}
	c, err := l.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Answer.Wipe()
	p, err := l.finish(ctx, c.Answer)
	c.Show(l.outcome(err))
	return p, err
}

// ask sends somebody to NetSuite's page, and waits for the answer as long as the agent
// does.
func (l *loginRun) ask(ctx context.Context) (*callback.Callback, error) {
	limit := time.Duration(l.begun.GetExpiresIn()) * time.Second
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := l.sendOff(wait); err != nil {
		return nil, err
	}
	c, err := l.await(wait)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &client.Error{
			Code: pb.CodeDeclined, Message: fmt.Sprintf("nobody has answered NetSuite's page for %q", l.profile.GetName()),
			Why: fmt.Sprintf("a login waits for %s", seconds(l.begun.GetExpiresIn())), Next: "begin anew:  nsagent login -p " + l.profile.GetName(),
		}
	}
	return c, err
}

// finish hands the answer to the agent.
func (l *loginRun) finish(ctx context.Context, a *callback.Answer) (*pb.Profile, error) {
	answer := client.LoginAnswer{
		ID: l.begun.GetId(), Profile: l.profile.GetName(), State: a.State,
		Company: a.Company, Role: a.Role, Entity: a.Entity, RequestToken: a.RequestToken,
	}
	code, fault := a.Secret(l.kind())
	if answer.Error = fault; fault == "" {
		b, err := l.arena.Alloc(len(code))
		if err != nil {
			return nil, err
		}
		defer b.Destroy()
		if err := b.Use(func(p []byte) error { copy(p, code); return nil }); err != nil {
			return nil, err
		}
		a.Wipe()
		answer.Code = sealer(b)
	}
	return l.admin.FinishLogin(ctx, answer)
}

// outcome returns what the browser shows in the end.
func (l *loginRun) outcome(err error) callback.Outcome {
	o := callback.Outcome{Profile: l.profile.GetName(), Account: l.begun.GetAccount(), Environment: strings.ToUpper(l.begun.GetEnvironment())}
	switch {
	case err == nil:
	case errors.Is(err, client.ErrDeclined):
		o.Result = callback.Denied
	default:
		f := failure(err)
		o.Result, o.Code, o.Why = callback.Failed, string(f.Code), oneLine(f.Message)
		if f.Why != "" {
			o.Why += ": " + oneLine(f.Why)
		}
	}
	return o
}
