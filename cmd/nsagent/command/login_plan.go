package command

import (
	"context"
	"fmt"
	"slices"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// loginAuth is the kind of credential that each flow brings.
var loginAuth = map[string]string{flowCode: "authcode", flowThreeStep: "tba"}

// flowOf returns the flow for a kind of credential; "" for a kind without one.
func flowOf(auth string) string {
	for flow, a := range loginAuth {
		if a == auth {
			return flow
		}
	}
	return ""
}

// loginPlan is what is to be logged in, and how.
type loginPlan struct {
	*draft
	flow     string
	redirect string // "" for any that leads here
}

// planLogin finds out what is to be logged in: the profile of a file, one that exists, or
// one that is asked for. The caller destroys the plan.
func (e *env) planLogin(ctx context.Context, a *client.Admin, arena *secret.Arena, o loginOptions) (*loginPlan, error) {
	name, exists, err := e.loginName(ctx)
	if err != nil {
		return nil, err
	}
	var d *draft
	switch {
	case exists && o.from != "":
		return nil, &client.Error{
			Code: pb.CodeExists, Message: fmt.Sprintf("profile %q exists already", name), Why: "it is logged in anew without --from",
			Next: "leave --from out, or change the profile first:  nsagent profile edit " + name,
		}
	case exists:
		var old *pb.Profile
		old, err = a.ShowProfile(ctx, name)
		d = newDraft()
		d.profile.Auth, d.profile.RedirectUri = old.GetAuth(), old.GetRedirectUri()
	case o.from != "":
		d, err = e.readDraft(arena, o.from)
	default:
		d, err = e.askLogin(arena, o, name)
	}
	if err != nil {
		return nil, err
	}
	d.profile.Name = name
	plan := &loginPlan{draft: d}
	if err := plan.complete(e, o, exists); err != nil {
		d.destroy()
		return nil, err
	}
	return plan, nil
}

// complete decides on the flow, checks the secrets of a new profile, mends what people
// paste along with them, and asks for what is left. The agent checks all of it again.
func (l *loginPlan) complete(e *env, o loginOptions, exists bool) error {
	var err error
	if l.flow, err = l.loginFlow(o); err != nil {
		return err
	}
	p := l.profile
	if len(o.scopes) > 0 {
		p.Scopes = o.scopes
	}
	if l.redirect = p.GetRedirectUri(); o.redirect != "" {
		l.redirect = o.redirect
	}
	if exists || l.flow == flowThreeStep {
		p.RedirectUri = "" // the agent has it, or keeps none
	}
	if exists {
		return nil
	}
	if _, given := l.secrets["token_secret"]; given || p.GetTokenId() != "" {
		return misfit("token_id and token_secret do not belong to a login", "NetSuite gives them at its end")
	}
	for field, b := range l.secrets {
		if b.Len() == 0 {
			b.Destroy()
			delete(l.secrets, field) // a public client
			continue
		}
		trimmed, err := trimBlanks(b)
		if err != nil {
			return err
		}
		if trimmed {
			e.note("%s had blanks around it, which were left out", field)
		}
	}
	if err := l.readCA(); err != nil {
		return err
	}
	return e.askAccess(p)
}

// loginName returns the profile that is meant, and whether there is one of that name.
func (e *env) loginName(ctx context.Context) (name string, exists bool, err error) {
	p, err := e.paths()
	if err != nil {
		return "", false, err
	}
	if name, err = e.profileName(p); err != nil {
		return "", false, err
	}
	if name != "" {
		if err := checkName(name); err != nil {
			return "", false, err
		}
	}
	err = e.ask(ctx, func(cl *client.Client) error {
		all, err := cl.Profiles(ctx)
		list := all.GetProfiles()
		if name == "" && len(list) == 1 {
			name = list[0].GetName()
		}
		exists = slices.ContainsFunc(list, func(p *pb.ProfileSummary) bool { return p.GetName() == name })
		return err
	})
	if err == nil && name == "" {
		err = usage("which profile?", "a login is stored under a name", "name one that exists or is to be made:  nsagent login -p NAME")
	}
	return name, exists, err
}

// loginFlow returns the flow for the profile, and gives a new one its kind.
func (d *draft) loginFlow(o loginOptions) (string, error) {
	p := d.profile
	if p.GetAuth() == "" {
		if p.Auth = loginAuth[o.flow]; p.Auth == "" {
			return "", misfit("auth is missing", "it is authcode (OAuth 2.0) or tba (token-based authentication)")
		}
	}
	flow := flowOf(p.GetAuth())
	switch {
	case flow == "":
		return "", usage(fmt.Sprintf("profile %q needs no browser", p.GetName()), fmt.Sprintf("its auth is %.20s; a login is for authcode (OAuth 2.0) and tba (token-based authentication)", p.GetAuth()), "")
	case o.flow != "" && o.flow != flow:
		return "", usage(fmt.Sprintf("profile %q is not for --flow %s", p.GetName(), o.flow), fmt.Sprintf("its auth is %s, which takes %s", p.GetAuth(), flow), "leave --flow out, or give another name")
	case flow == flowCode && o.role != "":
		return "", usage("--role belongs to the three-step flow", "in the OAuth 2.0 flow the role is chosen in the browser", "")
	case flow == flowThreeStep && len(o.scopes) > 0:
		return "", usage("--scopes belongs to OAuth 2.0", "a token of token-based authentication has no scopes", "")
	case flow == flowCode && p.GetRedirectUri() == "" && o.redirect == "":
		return "", misfit("redirect_uri is missing", "NetSuite sends the answer to one that the integration record lists, such as "+defaultRedirect)
	}
	return flow, nil
}

// askLogin asks for what a new profile needs before somebody can log in.
func (e *env) askLogin(arena *secret.Arena, o loginOptions, name string) (*draft, error) {
	t, err := e.terminal()
	if err != nil {
		return nil, &client.Error{
			Code: pb.CodeNoProfile, Message: fmt.Sprintf("no profile %q", name), Why: "and " + e.unasked("ask for a new one"),
			Next: "give it as JSON:  nsagent login -p " + name + " --from FILE",
		}
	}
	defer func() { _ = t.Close() }()
	e.say("There is no profile %q yet; what NetSuite shows on its integration record is asked for.", name)
	q := &questions{t: t, arena: arena, draft: newDraft()}
	p := q.draft.profile
	q.line(&p.Account, "Account ID (such as 1234567_SB1): ")
	flow := o.flow
	if flow == "" {
		q.or(&flow, "Log in by pkce (OAuth 2.0) or 3sa (token-based authentication)", flowCode)
		if q.err == nil {
			q.err = loginOptions{flow: flow}.check()
		}
	}
	p.Auth = loginAuth[flow]
	if flow == flowThreeStep {
		q.consumer()
		return q.answered()
	}
	q.client()
	if p.RedirectUri = o.redirect; o.redirect == "" {
		q.or(&p.RedirectUri, "Redirect URI, as on the integration record", defaultRedirect)
	}
	if p.Scopes = o.scopes; len(o.scopes) == 0 {
		q.scopes()
	}
	return q.answered()
}
