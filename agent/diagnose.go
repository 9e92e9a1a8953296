package agent

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/internal/pattern"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Menus of NetSuite, as an administrator clicks them.
const (
	menuTrail     = "Setup > Users/Roles > User Management > View Login Audit Trail, column Detail"
	menuTokens    = "Setup > Users/Roles > Access Tokens"
	menuRecords   = "Setup > Integration > Manage Integrations"
	menuRoles     = "Setup > Users/Roles > Manage Roles, the role, Edit, Permissions > Setup"
	menuFeatures  = "Setup > Company > Enable Features > SuiteCloud"
	menuScripts   = "Customization > Scripting > Script Deployments"
	menuGoverning = "Setup > Integration > Integration Governance"
)

// ail is what is wrong, and where it is put right.
type ail struct{ missing, fix string }

// ailOf returns what a reason of NetSuite's means for p; ok is false for one that is not
// known. The spellings of RESTlets, SOAP and REST, and OAuth 2.0 all count.
//
// Source: NetSuite Help, "TBA and the Login Audit Trail" and "Error Messages for RESTlets,
// SOAP Web Services, and REST Web Services".
func ailOf(p *live, reason string) (ail, bool) {
	again := "nsagent profile edit " + p.Name
	login := "Log in using Access Tokens, or User Access Tokens"
	if p.Auth != authTBA {
		login = "Log in using OAuth 2.0 Access Tokens"
	}
	switch strings.ToLower(strings.ReplaceAll(reason, "_", "")) {
	case "tokenrejected":
		a := ail{"a token that this account knows, is active and belongs to this integration record", menuTokens}
		if p.identity.Account.Sandbox() {
			a.fix += "; if the sandbox was refreshed:  nsagent profile refreshed " + p.Name
		}
		return a, true
	case "consumerkeyunknown", "unknownintegration":
		return ail{"an integration record with this consumer key in this account", menuRecords + "; after a reset:  nsagent integration rotate " + p.Name}, true
	case "consumerkeyrefused", "integrationblocked":
		return ail{"an integration record that is not blocked", menuRecords + ", the record, Edit: State Enabled"}, true
	case "featuredisabled":
		return ail{"the feature Token-based Authentication, or OAuth 2.0", menuFeatures}, true
	case "permissiondenied", "entityorroledisabled":
		return ail{"an active user and role with the permission " + login, menuRoles + ": " + login}, true
	case "invalidsignature":
		return ail{"the consumer secret or the token secret that goes with these IDs", "enter both again:  " + again}, true
	case "invalidtimestamp":
		return ail{"a clock that is less than five minutes off", "nsagent doctor"}, true
	case "temporarylocked":
		return ail{"a user who is not locked: five logins failed", "wait for 30 minutes, or have an administrator unlock the user"}, true
	case "nonceused", "noncerejected":
		return ail{"a request that arrives once: something on the way sent it twice", "look for a proxy that repeats requests"}, true
	case "invalidtoken":
		return ail{"a role with the permission " + login + ", and the scope on the integration record", menuRoles + ": " + login}, true
	case "scopemismatched":
		return ail{"the scope on the integration record", menuRecords + ", the record, Edit"}, true
	}
	return ail{}, false
}

// challengeError finds the reason in a WWW-Authenticate header.
//
// Source: RFC 6750 section 3; NetSuite Help, "RESTlets and REST Web Services Authentication
// Errors".
var challengeError = pattern.New(`(?:^|[ ,])error="([A-Za-z_]{1,40})"`)

// diagnose says what the answer on a surface means.
func diagnose(p *live, surface, host string, a gateway.Answer) *pb.Surface {
	s := &pb.Surface{Name: surface, Status: int32(min(max(a.Status, 0), 999))} // #nosec G115 -- three digits
	if a.Failure != gateway.FailedNothing {
		r := unreached(a.Failure, "", host)
		s.State, s.Detail, s.Fix = stateUnreached, r.Why, r.Next
		return s
	}
	code, works := outcome(surface, a)
	if works {
		s.State, s.Detail = stateWorks, fmt.Sprintf("%s answers (HTTP %d)", host, a.Status)
		return s
	}
	reason := ""
	if m := challengeError().FindStringSubmatch(a.Challenge); m != nil {
		reason = m[1]
	}
	switch {
	case a.Status == http.StatusTooManyRequests || busy(code):
		s.State, s.Detail = stateLimited, "NetSuite has no room for the request now: too many at once"
		s.Fix = "try again; the limit is in " + menuGoverning
	case a.Status >= 300 && a.Status < 400:
		s.State, s.Detail = stateRefused, host+" answers with a redirect, which is never followed"
		s.Missing, s.Fix = "the right host: the account ID is that of another data centre", "Setup > Company > Company Information: Account ID, and Company URLs"
	case a.Status >= 500 && code == "", a.Status < 300:
		s.State, s.Detail = stateUnreached, fmt.Sprintf("what %s sent is no answer of NetSuite's (HTTP %d)", host, a.Status)
		s.Fix = "look at the endpoint of the profile, and for a proxy in the way"
	case loginRefused(a.Status, code):
		s.State = stateRefused
		s.Detail = fmt.Sprintf("NetSuite refuses the login (HTTP %d%s)", a.Status, named(firstOf(reason, code)))
		s.Missing, s.Fix = whyRefused(p, surface, reason)
	default:
		limit(s, p, surface, code, a.Status)
	}
	return s
}

// whyRefused says what a refused login lacks.
func whyRefused(p *live, surface, reason string) (missing, fix string) {
	if a, ok := ailOf(p, reason); ok {
		return a.missing, a.fix
	}
	missing = "NetSuite says no more than that"
	if surface == surfaceRESTlet {
		missing += "; a role that is Web Services Only does not work for RESTlets"
	}
	return missing, "the reason is in " + menuTrail
}

// limit says what a credential that is accepted is not allowed.
func limit(s *pb.Surface, p *live, surface, code string, status int) {
	s.State, s.Detail = stateLimited, fmt.Sprintf("the login is accepted; what was asked for is not done (HTTP %d%s)", status, named(code))
	switch {
	case surface == surfaceRESTlet && code == "SSS_INVALID_SCRIPTLET_ID":
		s.Missing, s.Fix = "a script and deployment of these IDs, released for the role", menuScripts
	case surface == surfaceRESTlet && status == http.StatusForbidden:
		s.Missing, s.Fix = "a host that is the account's own", "Setup > Company > Company Information: Company URLs"
	case surface == surfaceRESTlet:
		s.Missing, s.Fix = "the script says no more", "look at its log:  "+menuScripts+", the deployment, Execution Log"
	case surface == surfaceSOAP:
		s.Missing, s.Fix = "the permission SOAP Web Services of the role, or the feature", menuRoles+": SOAP Web Services; "+menuFeatures+": SOAP Web Services"
	case status == http.StatusForbidden:
		s.Missing, s.Fix = "the permission REST Web Services of the role, the feature, or the right to see customers, which the test asks for", menuRoles+": REST Web Services; "+menuFeatures+": REST Web Services"
	default:
		s.Missing, s.Fix = "what the test asks for, a customer: the role or the account may have none", "see with a request of your own:  nsagent sign -p "+p.Name+" URL"
	}
}

// outcome returns the code that an answer has, and whether it is what was asked for.
func outcome(surface string, a gateway.Answer) (code string, works bool) {
	switch surface {
	case surfaceRESTlet:
		return restletCode(a.Text), a.Status == http.StatusOK && !strings.HasPrefix(strings.TrimSpace(a.Text), "<!DOCTYPE")
	case surfaceSOAP:
		return soapCode(a.Text), a.Status == http.StatusOK && strings.Contains(a.Text, "getServerTimeResult")
	default:
		_, counted := a.Kept["count"]
		return firstOf(a.Kept["o:errorDetails.0.o:errorCode"], a.Kept["o:errorCode"]), a.Status == http.StatusOK && counted
	}
}

// Codes of RESTlets, in JSON or text, and of SOAP faults.
//
// Source: NetSuite Help, "SuiteScript RESTlet Error Handling" and "SOAP Fault Status Codes".
var (
	restletCodes = pattern.New(`(?:"code" ?: ?"|error code: )([A-Z_]{1,60})`)
	soapCodes    = pattern.New(`<(?:[A-Za-z]+:)?code>([A-Z_]{1,60})<`)
	soapFaults   = pattern.New(`<faultstring>(Invalid login attempt|Ambiguous authentication)`)
)

func restletCode(text string) string { return firstGroup(restletCodes(), text) }

func soapCode(text string) string {
	switch firstGroup(soapFaults(), text) {
	case "Invalid login attempt":
		return "INVALID_LOGIN"
	case "Ambiguous authentication":
		return "AMBIGUOUS_AUTHENTICATION"
	}
	return firstGroup(soapCodes(), text)
}

func firstGroup(r *regexp.Regexp, text string) string {
	if m := r.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// loginRefused reports whether an answer is about the credential.
func loginRefused(status int, code string) bool {
	switch code {
	case "INVALID_LOGIN", "INVALID_LOGIN_ATTEMPT", "INVALID_LOGIN_CREDENTIALS", "INVALID_REQUEST", "TWO_FA_REQD", "AMBIGUOUS_AUTHENTICATION":
		return true
	}
	return status == http.StatusUnauthorized
}

func busy(code string) bool {
	return code == "CONCURRENCY_LIMIT_EXCEEDED" || code == "SSS_REQUEST_LIMIT_EXCEEDED" || code == "WS_REQUEST_BLOCKED"
}

// named returns a code for people. What is none of NetSuite's is left out: it may be
// anything that came back.
func named(code string) string {
	if code == "" || len(code) > 60 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return ", " + code
}

func firstOf(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}
