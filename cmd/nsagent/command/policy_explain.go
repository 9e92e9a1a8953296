package command

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

type explainOptions struct {
	as, at, file, environment, access string
}

func newPolicyExplain(e *env) *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain METHOD URL",
		Short: "Say which rule decides, and why not those before it",
		Long: `Say which rule of the policy in force decides a request with the profile of -p,
and why each rule before it did not match. In place of METHOD URL stand also
suiteql, passport, connect, assertion or token. With --file a draft is asked.
With --environment as well it takes no agent, and needs no profile: where none
is named, no rule for certain profiles matches.

WHO is a list such as uid=1000,exe=/usr/bin/python3,unit=nightly.service,tty=no.
There are also exe_sha256, container, grant, issuer and claim.NAME. What is not
said about the process counts as not known.`,
		Example: `  nsagent policy explain GET /services/rest/record/v1/customer/1
  nsagent policy explain passport -p acme-prod --as exe=/usr/bin/python3
  nsagent policy explain suiteql --file policy.toml --environment production`,
		Args: takes("METHOD", "[URL]"),
		RunE: func(c *cobra.Command, args []string) error { return runPolicyExplain(c.Context(), e, o, args) },
	}
	f := c.Flags()
	f.StringVar(&o.as, "as", "", "who asks: `WHO` is a list of NAME=VALUE; left out, this user")
	f.StringVar(&o.at, "at", "", "when: `TIME`, such as 2026-11-27T10:00:00+01:00; left out, now")
	f.StringVar(&o.file, "file", "", "ask the policy in `FILE` in place of the one in force")
	f.StringVar(&o.environment, "environment", "", "`production|sandbox`; left out, that of the profile")
	f.StringVar(&o.access, "access", "", "`read|write`; left out, that of the profile")
	return c
}

// attempt returns what is asked about, but for the profile.
func (o explainOptions) attempt(args []string) (a policy.Attempt, err error) {
	owner := uint32(os.Geteuid()) // #nosec G115 -- a uid fits
	a = policy.Attempt{UID: owner, Owner: owner, Time: time.Now(), Environment: o.environment, Access: policy.Access(o.access)}
	if err := a.Do(strings.Join(args, " ")); err != nil {
		return a, usage("that is nothing to ask about", plain(err), "see:  nsagent policy explain --help")
	}
	if o.as != "" {
		if err := a.As(o.as); err != nil {
			return a, usage("--as is not well formed", plain(err), "see:  nsagent policy explain --help")
		}
	}
	if o.at != "" {
		if a.Time, err = time.Parse(time.RFC3339, o.at); err != nil {
			return a, usage("--at is no time", "it looks like 2026-11-27T10:00:00+01:00", "")
		}
	}
	if o.environment != "" && o.environment != "production" && o.environment != "sandbox" {
		return a, usage("unknown environment", "it is production or sandbox", "")
	}
	if o.access != "" && o.access != "read" && o.access != "write" {
		return a, usage("unknown access", "it is read or write", "")
	}
	return a, nil
}

func runPolicyExplain(ctx context.Context, e *env, o explainOptions, args []string) error {
	at, err := o.attempt(args)
	if err != nil {
		return err
	}
	if o.environment == "" {
		if err := e.fillProfile(ctx, &at); err != nil {
			return err
		}
	} else {
		paths, err := e.paths()
		if err != nil {
			return err
		}
		if at.Profile, err = e.profileName(paths); err != nil {
			return err
		}
		if at.Profile == "" {
			at.Profile = policy.NoProfile
			e.note("no profile is named, so that no rule for certain profiles matches; to name one:  nsagent -p NAME policy explain …")
		}
		if at.Access == "" {
			at.Access = policy.Write
		}
	}
	p, err := e.policyToAsk(ctx, o.file)
	if err != nil {
		return err
	}
	if o.environment == "" && at.Host != "" {
		if why, err := e.foreignHost(ctx, at); err != nil || why != "" {
			return e.printForeign(why, err)
		}
	}
	d, steps := p.Explain(at)
	return e.printExplanation(p, d, steps, besideRules(at, d)...)
}

// besideRules says what else the agent looks at before it does what the rules do not deny.
func besideRules(at policy.Attempt, d policy.Decision) []string {
	if at.Grant == "" || d.Effect == policy.Deny {
		return nil
	}
	return []string{"the grant's own limits are not looked at here; see them:  nsagent grant show " + at.Grant}
}

// foreignHost says why the profile signs nothing for the host of an attempt, which the
// agent looks at before any rule; empty where it is one of its own.
func (e *env) foreignHost(ctx context.Context, at policy.Attempt) (why string, err error) {
	err = e.manage(ctx, func(a *client.Admin) error {
		p, err := a.ShowProfile(ctx, at.Profile)
		if err != nil {
			return err
		}
		account, err := signer.ParseAccount(p.GetAccount())
		if err != nil {
			return err
		}
		var endpoint signer.Target
		if p.GetEndpoint() != "" {
			if endpoint, err = signer.ParseEndpoint(p.GetEndpoint()); err != nil {
				return err
			}
		}
		own := account.OwnHosts(endpoint)
		if !slices.Contains(own, at.Host) {
			why = fmt.Sprintf("the host %.80q is none of profile %q, whatever the rules say: its own are %s", at.Host, at.Profile, strings.Join(own, ", "))
		}
		return nil
	})
	return why, err
}

// printForeign prints that a host is not the profile's own.
func (e *env) printForeign(why string, err error) error {
	if err != nil {
		return err
	}
	return e.printExplanation(nil, policy.Decision{Effect: policy.Deny, Index: -1, Err: &policy.Denied{Why: why}}, nil)
}

// fillProfile gives the attempt the profile that is meant, as the agent has it.
func (e *env) fillProfile(ctx context.Context, at *policy.Attempt) error {
	paths, err := e.paths()
	if err != nil {
		return err
	}
	wanted, err := e.profileName(paths)
	if err != nil {
		return err
	}
	return e.ask(ctx, func(cl *client.Client) error {
		l, err := cl.Profiles(ctx)
		if err != nil {
			return err
		}
		var have []string
		for _, p := range l.GetProfiles() {
			if p.GetName() == wanted || wanted == "" && len(l.GetProfiles()) == 1 {
				at.Profile, at.Environment = p.GetName(), p.GetEnvironment()
				if at.Access == "" {
					at.Access = policy.Access(p.GetAccess())
				}
				return nil
			}
			have = append(have, p.GetName())
		}
		if wanted == "" && len(have) > 0 {
			return &client.Error{Code: pb.CodeNoProfile, Message: "no profile is named", Why: "you have " + strings.Join(have, ", "), Next: "name one:  nsagent -p NAME policy explain …"}
		}
		return &client.Error{Code: pb.CodeNoProfile, Message: fmt.Sprintf("no profile %.80q", wanted), Next: "list them:  nsagent profile ls"}
	})
}

// policyToAsk returns the policy in file, or the one in force, which may be none.
func (e *env) policyToAsk(ctx context.Context, file string) (p *policy.Policy, err error) {
	if file != "" {
		p, _, err = e.readDraftPolicy(file)
		return p, err
	}
	err = e.manage(ctx, func(a *client.Admin) error {
		text, st, err := inForce(ctx, a)
		if err == nil && st.GetFault() != "" {
			err = &client.Error{Code: pb.CodeDenied, Message: "the policy in force cannot be used, and nothing is allowed", Why: st.GetFault(), Next: "adopt another:  nsagent policy edit"}
		}
		if err == nil && text != "" {
			p, err = policy.Parse(text)
		}
		return err
	})
	return p, err
}

// stepJSON is why a rule did not match, for programs.
type ruleStepJSON struct {
	Place int    `json:"place"`
	Rule  string `json:"rule"`
	Why   string `json:"why"`
}

// printExplanation prints what decides, and notes on what is not of the rules.
func (e *env) printExplanation(p *policy.Policy, d policy.Decision, steps []policy.Step, notes ...string) error {
	why := ""
	switch {
	case d.Err != nil:
		why = d.Err.Why
	case d.Index < 0:
		why = "no policy is in force, and the limits of the profile allow it"
	default:
		why = p.Rules[d.Index].String()
	}
	if e.json() {
		passed := []ruleStepJSON{}
		for _, s := range steps {
			passed = append(passed, ruleStepJSON{s.Index + 1, s.Rule, s.Why})
		}
		return e.printJSON(struct {
			Schema string         `json:"schema"`
			Effect policy.Effect  `json:"effect"`
			Rule   string         `json:"rule"`
			Place  int            `json:"place"`
			Why    string         `json:"why"`
			Passed []ruleStepJSON `json:"passed"`
			Notes  []string       `json:"notes"`
		}{"nsagent.policy-explain/v1", d.Effect, d.Rule, d.Index + 1, why, passed, orEmpty(notes)})
	}
	for _, n := range notes {
		e.note("%s", n)
	}
	for _, s := range steps {
		if err := e.print(fmt.Sprintf("%5d  %s: %s", s.Index+1, s.Rule, s.Why)); err != nil {
			return err
		}
	}
	if d.Index < 0 {
		return e.print(fmt.Sprintf("%s: %s", d.Effect, why))
	}
	counted := ""
	if d.Effect != policy.Deny && (d.Uses > 0 || d.Rate != (policy.Rate{}) || d.Concurrency > 0) {
		counted = ", unless its limits are reached: the agent counts its uses, and refuses more"
	}
	return e.print(fmt.Sprintf("%5d  %s: %s\n%s: by rule %q%s", d.Index+1, d.Rule, why, d.Effect, d.Rule, counted))
}
