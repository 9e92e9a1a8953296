package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/nearest"
)

// strangeMethods says which methods NetSuite does not take.
func strangeMethods(methods []string) (texts []string) {
	for _, m := range methods {
		if text := policy.StrangeMethod(m); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// notHere says which programs are not there. They may be on another machine, for which a policy
// or a grant is made.
func notHere(programs []string) (texts []string) {
	for _, path := range programs {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			texts = append(texts, fmt.Sprintf("there is no program %.200q on this machine", path))
		}
	}
	return texts
}

// absentPrograms notes the programs of rules that are not there, each once.
func absentPrograms(p *policy.Policy) (out []policy.Finding) {
	looked := make(map[string]bool)
	for _, r := range p.Rules {
		for _, path := range r.Who.Exes {
			if looked[path] || len(looked) == policy.MaxFindings {
				continue
			}
			looked[path] = true
			for _, text := range notHere([]string{path}) {
				out = append(out, policy.Finding{Line: r.Line, Rule: r.Name, Text: text})
			}
		}
	}
	return out
}

// ownProfiles returns the names of the profiles of the agent that policies are adopted at, by
// the user's own right. It starts none: that agent has just answered.
func (e *env) ownProfiles(ctx context.Context) (names []string, err error) {
	if e.getenv("NSAGENT_ADMIN_SOCK") != "" { // what answers at agent.sock may be another one
		return nil, nil
	}
	p, err := e.paths()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c, err := client.Dial(ctx, client.WithSocket(p.Agent), client.WithoutUnlockToken())
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	l, err := c.Profiles(ctx)
	for _, p := range l.GetProfiles() {
		names = append(names, p.GetName())
	}
	return names, err
}

// absentProfiles notes the profiles of rules that fit none of those there are, if there are any.
func absentProfiles(p *policy.Policy, have []string) (out []policy.Finding) {
	if len(have) == 0 {
		return nil
	}
	for _, r := range p.Rules {
		for _, w := range r.Profiles {
			if len(out) == policy.MaxFindings {
				return out
			}
			if !slices.ContainsFunc(have, w.Match) {
				out = append(out, policy.Finding{Line: r.Line, Rule: r.Name, Text: fmt.Sprintf("%q fits no profile; %s", w, profileMeant(w.String(), have))})
			}
		}
	}
	return out
}

// profileMeant says which profile is meant by a name that none has, or which there are.
func profileMeant(name string, have []string) string {
	if near := nearest.Name(name, have); near != "" {
		return "did you mean " + near + "?"
	}
	more := ""
	if len(have) > 10 {
		have, more = have[:10], ", …"
	}
	return "you have " + strings.Join(have, ", ") + more
}
