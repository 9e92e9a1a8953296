package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/agent/policy"
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

// absentPrograms notes the programs of rules that are not there.
func absentPrograms(p *policy.Policy) (out []policy.Finding) {
	for _, r := range p.Rules {
		for _, text := range notHere(r.Who.Exes) {
			out = append(out, policy.Finding{Line: r.Line, Rule: r.Name, Text: text})
		}
	}
	return out
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
