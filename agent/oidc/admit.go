package oidc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// service is what has to be known of a CI service: names of repositories can be taken by
// somebody else one day, and for some events anybody can have a job run.
type service struct {
	name string
	// sign is a claim that all its tokens have, and no other service's.
	sign string
	// numbers are claims that name a repository, or what it belongs to, for ever.
	numbers []string
	// ref is the claim that names what of the repository the job runs on, such as
	// refs/heads/main.
	ref string
	// event is the claim that names what the job runs for.
	event string
	// own are the events that only those who may write to the repository can cause.
	own []string
}

// services are told by a claim and not by the issuer, since both are run by many.
func services() []service {
	return []service{
		// GitHub Docs, "OpenID Connect reference" and "Events that trigger workflows". An app
		// that makes previews may have deployments of what strangers propose.
		{
			name: "GitHub", sign: "repository", numbers: []string{"repository_id", "repository_owner_id"}, ref: "ref", event: "event_name",
			own: []string{"push", "schedule", "workflow_dispatch", "repository_dispatch", "release", "create", "delete", "merge_group"},
		},
		// GitLab Docs, "OpenID Connect (OIDC) Authentication Using ID Tokens" and
		// CI_PIPELINE_SOURCE in "Predefined CI/CD variables reference".
		{
			name: "GitLab", sign: "project_path", numbers: []string{"project_id", "namespace_id"}, ref: "ref_path", event: "pipeline_source",
			own: []string{"push", "schedule", "web", "api", "trigger", "pipeline"},
		},
	}
}

// service returns the CI service that a token is of; nil: of none that is known.
func (id *Identity) service() *service {
	for _, s := range services() {
		if _, is := id.Claims[s.sign]; is {
			return &s
		}
	}
	return nil
}

// checkNumbers demands that what counts as a number is one.
func (id *Identity) checkNumbers() error {
	s := id.service()
	if s == nil {
		return nil
	}
	for _, name := range s.numbers {
		number, has := id.Claims[name]
		switch {
		case !has:
			return refuse(ErrClaims, "the claim "+name+" is missing, which tokens of "+s.name+" have")
		case !decimal(number):
			return refuse(ErrClaims, name+" is no number")
		}
	}
	return nil
}

// CheckIdentity returns an error wrapping ErrConfig for an identity that should stand in
// no grant: of GitHub or GitLab, and naming its repository by nothing that lasts; of any
// service, and naming a branch or event alone, which any repository may have, or a branch
// that there cannot be; or one that no job has that is let in.
func CheckIdentity(i unlocktoken.Identity) error {
	if err := checkURL(i.Issuer); err != nil {
		return err
	}
	if err := CheckRefs(i); err != nil {
		return err
	}
	for n, s := range services() {
		switch {
		case i.Issuer != Presets()[n].URL:
		case !s.numbered(i):
			return fmt.Errorf("%w: an identity of %s needs %s, a number, since names can be somebody else's tomorrow", ErrConfig, s.name, strings.Join(s.numbers, " or "))
		case proposed(i) && !s.namesEvent(i):
			return fmt.Errorf("%w: jobs for pull and merge requests are refused unless %s names them (--oidc FILE), since strangers can cause them", ErrConfig, s.event)
		}
	}
	if !slices.ContainsFunc(i.Claims, func(c unlocktoken.Claim) bool { return !slices.Contains(ofAnyRepository(), c.Name) }) {
		return fmt.Errorf("%w: it says on which branch or for which event a job runs, and not of which repository", ErrConfig)
	}
	return nil
}

// ofAnyRepository are claims, as GitHub and GitLab call them, that say of a job what one of
// any other repository can say too.
func ofAnyRepository() []string {
	return []string{"ref", "ref_path", "ref_type", "ref_protected", "base_ref", "head_ref", "event_name", "pipeline_source", "environment", "environment_protected", "runner_environment", "repository_visibility", "project_visibility"}
}

// proposed reports whether an identity is for nothing but refs of pull and merge requests.
func proposed(i unlocktoken.Identity) bool {
	return slices.ContainsFunc(i.Claims, func(c unlocktoken.Claim) bool {
		return strings.HasPrefix(c.Name, "ref") && !slices.ContainsFunc(c.Values, func(v string) bool {
			return !strings.HasPrefix(v, "refs/pull/") && !strings.HasPrefix(v, "refs/merge-requests/")
		})
	})
}

// numbered reports whether an identity names one of the numbers.
func (s *service) numbered(i unlocktoken.Identity) bool {
	return slices.ContainsFunc(i.Claims, func(c unlocktoken.Claim) bool {
		return slices.Contains(s.numbers, c.Name) && !slices.ContainsFunc(c.Values, func(v string) bool { return !decimal(v) })
	})
}

// Admit returns nil where the job may use the grant: of each block that asks for an
// identity it has one. In the first of these blocks, which is the issuer's before it is a
// holder's, such an identity also names the repository by its number and, where others
// than those who may write to the repository can cause the event, the event. Else a
// *Refused.
//
// It is asked once, at the exchange. Clear looks at the identities for each request.
func Admit(id *Identity, g *unlocktoken.Grant) error {
	var first []unlocktoken.Identity
	for _, b := range g.Blocks() {
		if len(b.Identities) == 0 {
			continue
		}
		has := slices.DeleteFunc(slices.Clone(b.Identities), func(i unlocktoken.Identity) bool { return id.misses(i) != "" })
		if len(has) == 0 {
			return refuse(ErrScope, id.misses(b.Identities[0]))
		}
		if first == nil {
			first = has
		}
	}
	s := id.service()
	if s == nil {
		return nil
	}
	if first != nil {
		first = slices.DeleteFunc(first, func(i unlocktoken.Identity) bool { return !s.numbered(i) })
		if len(first) == 0 {
			return refuse(ErrScope, "the grant names the repository by no number: it needs "+strings.Join(s.numbers, " or "))
		}
	}
	event := id.Claims[s.event]
	if slices.Contains(s.own, event) || slices.ContainsFunc(first, s.namesEvent) {
		return nil
	}
	return refuse(ErrEvent, fmt.Sprintf("the job runs for the event %.80q, and the grant does not name it", event))
}

// namesEvent reports whether an identity says which events it is for.
func (s *service) namesEvent(i unlocktoken.Identity) bool {
	return slices.ContainsFunc(i.Claims, func(c unlocktoken.Claim) bool { return c.Name == s.event })
}

// misses says what the identity of a grant wants that the job does not have; empty: it
// has all.
func (id *Identity) misses(i unlocktoken.Identity) string {
	if id.Issuer != i.Issuer {
		return "the grant is for jobs of " + i.Issuer + ", this one is of " + id.Issuer
	}
	for _, c := range i.Claims {
		v, ok := id.Claims[c.Name]
		switch {
		case !ok:
			return "the grant wants the claim " + c.Name + ", which this job does not have"
		case !slices.Contains(c.Values, v):
			return fmt.Sprintf("the grant is for %s %.200s, this job has %.200q", c.Name, strings.Join(c.Values, " or "), v)
		}
	}
	return ""
}

// decimal reports whether v is a whole number as CI services write theirs.
func decimal(v string) bool {
	return v != "" && len(v) <= 20 && strings.Trim(v, "0123456789") == "" && (v == "0" || v[0] != '0')
}
