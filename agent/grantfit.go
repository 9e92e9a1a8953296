package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/pathglob"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// usesOf returns what a caller can have made with a kind of credential, what is likelier
// first.
func usesOf(auth string) []policy.Kind {
	if auth == authM2M {
		return []policy.Kind{policy.KindToken, policy.KindAssertion}
	}
	return []policy.Kind{policy.KindSign, policy.KindPassport, policy.KindConnectPassword}
}

// leavesUse refuses limits under which nothing is left that p can do, before anything is
// made for the grant.
func leavesUse(p *live, c unlocktoken.Caveats) error {
	uses := usesOf(p.Auth)
	left := slices.DeleteFunc(slices.Clone(uses), func(k policy.Kind) bool { return len(c.Kinds) > 0 && !slices.Contains(c.Kinds, string(k)) })
	if len(left) == 0 {
		return leavesNothing(p, "the kinds are "+strings.Join(c.Kinds, ", ")+", and "+holds(p), "name one that it can make:  --kind "+string(uses[0]))
	}
	why, next := "", ""
	for _, k := range slices.Backward(left) { // of the likeliest is told, why it is not left
		if why, next = hinders(p, k, c); why == "" {
			return nil
		}
	}
	return leavesNothing(p, why, next)
}

func leavesNothing(p *live, why, next string) error {
	return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("the limits leave nothing that profile %q can do", p.Name), why, next)
}

// hinders returns why limits, those on kinds aside, leave no use of kind k of p, and what
// to do about it; empty where they leave one.
func hinders(p *live, k policy.Kind, c unlocktoken.Caveats) (why, next string) {
	widen := "if it should do more:  nsagent profile edit " + p.Name + " --access write"
	switch {
	case k != policy.KindSign && c.OnTarget():
		return fmt.Sprintf("%s, for which no host, method, path or script holds", holds(p)), "leave those limits out:  --kind " + string(k)
	case k != policy.KindSign && policy.Access(p.Access) == policy.Read:
		return "its access is read" + policy.BeyondReading(policy.Attempt{Kind: k}), widen
	case len(c.Hosts) > 0 && !slices.ContainsFunc(c.Hosts, p.hasHost):
		return "none of the hosts is one of its own: " + strings.Join(p.hosts(), ", "), "name one of those, without https:// and port:  --host " + p.hosts()[0]
	case len(c.Scripts) > 0 && !fitsAny(c.Paths, policy.RESTletPath):
		return "a RESTlet is called at " + policy.RESTletPath + ", which fits none of the paths", "leave out --path, or --script"
	case len(c.Scripts) > 0 && !slices.ContainsFunc(c.Scripts, callable):
		return "no request calls a RESTlet as the limits name it", "name it as its URL does, an id without a zero in front:  --script 123/1"
	case policy.Access(p.Access) == policy.Read:
		if why := beyondReading(c); why != "" {
			return "its access is read" + why, widen
		}
	}
	return "", ""
}

// callable reports whether a request can call the RESTlet "script/deploy".
func callable(restlet string) bool {
	script, deploy, _ := strings.Cut(restlet, "/")
	return policy.Script(policy.RESTletPath, "script="+script+"&deploy="+deploy) == restlet
}

// beyondReading returns why a profile that reads makes none of the requests that limits
// leave; empty where it makes some.
func beyondReading(c unlocktoken.Caveats) (why string) {
	path := "/"
	switch {
	case len(c.Scripts) > 0:
		path = policy.RESTletPath
	case fitsAny(c.Paths, policy.SuiteQLPath):
		path = policy.SuiteQLPath
	}
	for _, m := range c.Methods {
		if why = policy.BeyondReading(policy.Attempt{Kind: policy.KindSign, Method: m, Path: path}); why == "" {
			return ""
		}
	}
	return why
}

// fitsAny reports whether a path fits one of the patterns, all of which are sound; any fits
// none at all.
func fitsAny(patterns []string, path string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(text string) bool {
		p, _ := pathglob.Compile(text)
		return p.Match(path)
	})
}

// hosts are those that a use of l may go to.
func (l *live) hosts() []string {
	var endpoint signer.Target
	if l.endpoint != nil {
		endpoint = *l.endpoint
	}
	return l.identity.Account.OwnHosts(endpoint)
}

func (l *live) hasHost(h string) bool { return slices.Contains(l.hosts(), h) }
