package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/internal/nearest"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// knownClaims are the claims of a service's ID tokens that a limit can name; nil of a service
// of which they are not known.
//
// Source: GitHub Docs, "OpenID Connect reference"; GitLab Docs, "OpenID Connect (OIDC)
// authentication using ID tokens", token payload. Neither has said that no more will come.
func knownClaims(issuer string) []string {
	switch issuer {
	case ciServices()["github"].issuer:
		return strings.Fields(`iss sub actor actor_id base_ref check_run_id enterprise enterprise_id environment
			environment_node_id event_name head_ref job_workflow_ref job_workflow_sha ref ref_protected ref_type
			repository repository_id repository_owner repository_owner_id repository_visibility run_attempt run_id
			run_number runner_environment sha workflow workflow_ref workflow_sha`)
	case ciServices()["gitlab"].issuer:
		return strings.Fields(`iss sub ci_config_ref_uri ci_config_sha deployment_tier environment environment_action
			environment_protected job_id job_namespace_id job_namespace_path job_project_id job_project_path
			namespace_id namespace_path pipeline_id pipeline_source project_id project_path project_visibility ref
			ref_path ref_protected ref_type runner_environment runner_id sha user_access_level user_email user_id
			user_login`)
	}
	return nil
}

// noteClaims says of claims that a service's tokens are not known to have that a job without
// them is refused.
func (e *env) noteClaims(c unlocktoken.Caveats) {
	for _, i := range c.Identities {
		known := knownClaims(i.Issuer)
		for _, claim := range i.Claims {
			if known == nil || slices.Contains(known, claim.Name) {
				continue
			}
			meant := ""
			if near := nearest.Name(claim.Name, known); near != "" {
				meant = "; did you mean " + near + "?"
			}
			e.note("%s", fmt.Sprintf("ID tokens of %s are not known to have the claim %.60q, and a job that lacks it is refused", i.Issuer, claim.Name)+meant)
		}
	}
}
