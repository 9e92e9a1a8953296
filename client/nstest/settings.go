package nstest

import (
	"fmt"
	"slices"
)

// Settings decide what NetSuite's documentation leaves open. The zero value is
// the documented or, failing that, the stricter behaviour.
type Settings struct {
	// PassportNamespace is where the children of tokenPassport may stand: core,
	// messages, or both. Empty: both.
	PassportNamespace string `json:"passport_namespace"`
	// RESTletLoginStatus is the status of INVALID_LOGIN_ATTEMPT: 401 or 403.
	// Zero: 401.
	RESTletLoginStatus int `json:"restlet_login_status"`
	// RESTletChallenge adds WWW-Authenticate to the refusals of RESTlets too.
	RESTletChallenge bool `json:"restlet_challenge"`
	// Challenge is what error= in WWW-Authenticate says: detail (the reason),
	// token_rejected (always that), or none (no such header). Empty: detail.
	Challenge string `json:"challenge"`
	// UnencodedHeader accepts values in the Authorization header that are not
	// percent-encoded in the one canonical way.
	UnencodedHeader bool `json:"unencoded_header"`
	// GrowingTimestamps refuses a timestamp below the highest one that the token
	// has used.
	GrowingTimestamps bool `json:"growing_timestamps"`
	// RefuseBodyHash refuses oauth_body_hash.
	RefuseBodyHash bool `json:"refuse_body_hash"`
	// RetiredHosts serves rest.netsuite.com and its like, account by realm, for
	// RESTlets. NetSuite itself no longer does.
	RetiredHosts bool `json:"retired_hosts"`
	// AssertionError is the error that the token endpoint answers to any fault
	// of an assertion. Empty: by fault, see docs/mock.md.
	AssertionError string `json:"assertion_error"`
	// AllowHourAssertion accepts exp - iat of exactly 3600 seconds.
	AllowHourAssertion bool `json:"allow_hour_assertion"`
	// AssertionLeeway is how many seconds iat may be ahead of the server's clock.
	AssertionLeeway int `json:"assertion_leeway"`
	// Audience is which aud is accepted: account (the URL posted to, or the token
	// endpoint on either host of the account), or posted (only the first).
	// Empty: account.
	Audience string `json:"audience"`
	// RequireClientID asks for client_id beside the assertion.
	RequireClientID bool `json:"require_client_id"`
	// ScopeText accepts scope as text, separated by commas or blanks, beside the
	// array of strings.
	ScopeText bool `json:"scope_text"`
	// ExpiresText writes expires_in as text, as one of Oracle's samples does.
	ExpiresText bool `json:"expires_text"`
	// OwnCertificates shows an entity its own certificates only. Otherwise the
	// list has all of the client ID, as in Oracle's sample.
	OwnCertificates bool `json:"own_certificates"`
	// CertificateErrors is the form of errors of the certificates API: rest or
	// oauth2. Empty: rest.
	CertificateErrors string `json:"certificate_errors"`
	// CertificateCreated is the status of a new certificate: 200 or 201. Zero:
	// 200.
	CertificateCreated int `json:"certificate_created"`
	// RevokeTwice lets a certificate be revoked again. Otherwise that is an error.
	RevokeTwice bool `json:"revoke_twice"`
	// NumberIDs writes the internal IDs in the list of certificates as numbers.
	NumberIDs bool `json:"number_ids"`
	// RevokeToken serves /rest/revoketoken: the token that signs the request is
	// revoked. Oracle says that the path exists, and not what it takes.
	RevokeToken bool `json:"revoke_token"`
	// RequestTokenSeconds is how long a request token of the three-step flow lives.
	// Zero: 900.
	RequestTokenSeconds int `json:"request_token_seconds"`
	// ThreeStepJSON answers steps one and three as JSON instead of a form.
	ThreeStepJSON bool `json:"three_step_json"`
	// ThreeStepStatus is the status of every refusal in these steps: 400, 401 or
	// 403. Zero: by fault.
	ThreeStepStatus int `json:"three_step_status"`
	// KeepAfterReuse refuses a refresh token of a public client that is used again
	// and does no more. Otherwise the authorization ends.
	KeepAfterReuse bool `json:"keep_after_reuse"`
	// CodeSeconds is how long a code of the code grant lives. Zero: 60.
	CodeSeconds int `json:"code_seconds"`
	// AccessTokenSeconds is how long an access token lives. Zero: 3600.
	AccessTokenSeconds int `json:"access_token_seconds"`
	// RefreshTokenSeconds is how long a refresh token lives, of any client. Zero:
	// seven days, and for a public client what its integration record says.
	RefreshTokenSeconds int `json:"refresh_token_seconds"`
	// RequirePKCE asks for PKCE of confidential clients too, as NetSuite will of
	// integrations that are new in 2027.1.
	RequirePKCE bool `json:"require_pkce"`
	// TokenType is what token_type says: bearer or Bearer. Empty: bearer.
	TokenType string `json:"token_type"`
	// UnauthorizedClientStatus is the status of unauthorized_client: 400, 401 or
	// 403. Zero: 400.
	UnauthorizedClientStatus int `json:"unauthorized_client_status"`
	// LongCertificates lets a certificate live for all of its own validity.
	// NetSuite cuts it to two years.
	LongCertificates bool `json:"long_certificates"`
}

func (s Settings) check() error {
	lives := []int{s.CodeSeconds, s.AccessTokenSeconds, s.RefreshTokenSeconds, s.RequestTokenSeconds}
	switch {
	case !oneOf(s.PassportNamespace, "", "both", "core", "messages"):
		return fmt.Errorf("%w: settings: passport_namespace %q", ErrConfig, s.PassportNamespace)
	case !slices.Contains([]int{0, 401, 403}, s.RESTletLoginStatus):
		return fmt.Errorf("%w: settings: restlet_login_status %d", ErrConfig, s.RESTletLoginStatus)
	case !oneOf(s.Challenge, "", "detail", "token_rejected", "none"):
		return fmt.Errorf("%w: settings: challenge %q", ErrConfig, s.Challenge)
	case !oneOf(s.AssertionError, "", "invalid_request", "invalid_client", "invalid_grant"):
		return fmt.Errorf("%w: settings: assertion_error %q", ErrConfig, s.AssertionError)
	case s.AssertionLeeway < 0 || s.AssertionLeeway > 3600:
		return fmt.Errorf("%w: settings: assertion_leeway %d", ErrConfig, s.AssertionLeeway)
	case !oneOf(s.CertificateErrors, "", "rest", "oauth2"):
		return fmt.Errorf("%w: settings: certificate_errors %q", ErrConfig, s.CertificateErrors)
	case !slices.Contains([]int{0, 200, 201}, s.CertificateCreated):
		return fmt.Errorf("%w: settings: certificate_created %d", ErrConfig, s.CertificateCreated)
	case slices.ContainsFunc(lives, func(n int) bool { return n < 0 || n > 720*3600 }):
		return fmt.Errorf("%w: settings: code_seconds, access_token_seconds, refresh_token_seconds or request_token_seconds out of bounds", ErrConfig)
	case !slices.Contains([]int{0, 400, 401, 403}, s.ThreeStepStatus):
		return fmt.Errorf("%w: settings: three_step_status %d", ErrConfig, s.ThreeStepStatus)
	case !oneOf(s.TokenType, "", "bearer", "Bearer"):
		return fmt.Errorf("%w: settings: token_type %q", ErrConfig, s.TokenType)
	case !slices.Contains([]int{0, 400, 401, 403}, s.UnauthorizedClientStatus):
		return fmt.Errorf("%w: settings: unauthorized_client_status %d", ErrConfig, s.UnauthorizedClientStatus)
	case !oneOf(s.Audience, "", "account", "posted"):
		return fmt.Errorf("%w: settings: audience %q", ErrConfig, s.Audience)
	}
	return nil
}
