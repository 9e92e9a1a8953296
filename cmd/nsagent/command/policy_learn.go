package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/policy"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

type learnOptions struct {
	since, until moment
	used         bool
}

func newPolicyLearn(e *env) *cobra.Command {
	var o learnOptions
	c := &cobra.Command{
		Use:   "learn",
		Short: "Propose rules from what the audit log shows",
		Long: `Print a policy with rules for what the audit log shows that a policy has denied,
or wanted approved by somebody who did not answer. With --used it has rules for
what was allowed as well, which is a start for a first policy. It is a proposal:
read it, and narrow it.
A RESTlet is left out where the log does not say which was called. It needs no
agent. -p picks a profile.`,
		Example: "  nsagent policy learn --since 7d\n  nsagent policy learn --used -p acme-sb1",
		Args:    takes(),
		RunE:    func(*cobra.Command, []string) error { return runPolicyLearn(e, o) },
	}
	f := c.Flags()
	f.Var(&o.since, "since", "only from this `TIME` on: 24h or 30d ago, or a date such as 2026-11-28")
	f.Var(&o.until, "until", "only before this `TIME`")
	f.BoolVar(&o.used, "used", false, "also what was allowed")
	return c
}

func runPolicyLearn(e *env, o learnOptions) error {
	var seen []policy.Seen
	known := make(map[policy.Seen]bool)
	err := e.eachEntry(audit.Filter{Profile: e.profile, Since: time.Time(o.since), Until: time.Time(o.until)}, func(x audit.Entry) error {
		s, ok := o.learn(x)
		if ok && !known[s] {
			known[s] = true
			seen = append(seen, s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(seen) == 0 {
		e.note("the log shows nothing to learn from; with --used also what was allowed counts")
	}
	text := policy.Learn(seen)
	if e.json() {
		return e.printJSON(struct {
			Schema string `json:"schema"`
			Policy string `json:"policy"`
		}{"nsagent.policy-learn/v1", text})
	}
	_, err = fmt.Fprint(e.stdout, text)
	return err
}

// learn returns what an entry shows, if it is of use.
func (o learnOptions) learn(x audit.Entry) (policy.Seen, bool) {
	kind := policy.Kind(x.Event)
	switch kind {
	case policy.KindSign, policy.KindSend, policy.KindPassport, policy.KindConnectPassword, policy.KindAssertion, policy.KindToken:
	default:
		return policy.Seen{}, false
	}
	if !byPolicy(x) && (!o.used || x.Outcome != audit.OutcomeOK) {
		return policy.Seen{}, false
	}
	account, err := signer.ParseAccount(x.Account)
	if err != nil {
		return policy.Seen{}, false
	}
	return policy.Seen{Profile: x.Profile, Environment: account.Environment(), Kind: kind, Method: x.Method, Path: x.Path, Script: x.RESTlet, Exe: x.Exe, Grant: x.Grant}, true
}

// byPolicy reports whether an entry is of a use that a policy has denied, or wanted approved
// by somebody who has not answered. What somebody said no to is not proposed.
func byPolicy(x audit.Entry) bool {
	if x.Outcome != audit.OutcomeDenied {
		return false
	}
	detail := strings.Fields(x.Detail)
	switch pb.Code(x.Reason) {
	case pb.CodeDenied:
		return !slices.Contains(detail, audit.ByProfile)
	case pb.CodeAsk:
		return true
	case pb.CodeDeclined:
		return !slices.Contains(detail, audit.AnswerNo)
	}
	return false
}
