package nstest

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Config describes the NetSuite to be played. The JSON names are those of the
// file that ReadConfig reads. All secrets in it are test data: they are held as
// ordinary strings.
type Config struct {
	Accounts []Account `json:"accounts"`
	Settings Settings  `json:"settings"`
	// AllowRemote lets Listen take an address that other machines reach, and the
	// server answer to any host name. Zero: loopback only.
	AllowRemote bool `json:"allow_remote"`
	// MaxBody is the longest request body in bytes. Zero: 1 MiB.
	MaxBody int64 `json:"max_body"`
	// KeepVerdicts is how many verdicts are kept. Zero: 1000.
	KeepVerdicts int `json:"keep_verdicts"`
	// MaxNonces is how many nonces of the last ten minutes are remembered; when
	// it is reached requests get 503. Zero: 1,000,000.
	MaxNonces int `json:"max_nonces"`
	// Now is the server's clock. Nil: time.Now.
	Now func() time.Time `json:"-"`
	// Log is called with each verdict before the answer is sent, possibly from
	// several goroutines at once. Nil: nothing is called.
	Log func(Verdict) `json:"-"`
}

// Account is one NetSuite account.
type Account struct {
	// ID is the account ID: upper case, underscore.
	ID string `json:"id"`
	// HostLabel replaces the host label that follows from ID.
	HostLabel     string         `json:"host_label"`
	Integrations  []Integration  `json:"integrations"`
	Tokens        []Token        `json:"tokens"`
	RequestTokens []RequestToken `json:"request_tokens"`
	Certificates  []Certificate  `json:"certificates"`
	// Concurrency is how many requests may run at once, over REST, RESTlets and
	// SOAP together. Zero: no limit.
	Concurrency int `json:"concurrency"`
	// DelayMS is how long each such request takes, in milliseconds.
	DelayMS int `json:"delay_ms"`
	// Customers is how many sample customers the record store starts with.
	// Zero: 3.
	Customers int `json:"customers"`
	// TBADisabled switches the token-based authentication feature off.
	TBADisabled bool `json:"tba_disabled"`
}

// Integration is an integration record.
type Integration struct {
	Name           string `json:"name"`
	ConsumerKey    string `json:"consumer_key"`
	ConsumerSecret string `json:"consumer_secret"`
	// State is enabled, blocked or waiting (for approval). Empty: enabled.
	State string `json:"state"`
	// Callbacks are the callback URLs of the three-step flow. Empty: the record
	// does not allow that flow.
	Callbacks []string `json:"callbacks"`
}

// Token is an access token of token-based authentication.
type Token struct {
	TokenID      string `json:"token_id"`
	TokenSecret  string `json:"token_secret"`
	ConsumerKey  string `json:"consumer_key"`
	Name         string `json:"name"`
	User         string `json:"user"`
	Role         string `json:"role"`
	Inactive     bool   `json:"inactive"`
	Revoked      bool   `json:"revoked"`
	Locked       bool   `json:"locked"`        // the user is locked: temporary_locked
	NoPermission bool   `json:"no_permission"` // the role may not log in with tokens
}

// RequestToken is a request token of the three-step flow that the server knows
// from the start; those of step one are made as they are asked for.
type RequestToken struct {
	TokenID     string `json:"token_id"`
	TokenSecret string `json:"token_secret"`
	ConsumerKey string `json:"consumer_key"`
	Verifier    string `json:"verifier"`
}

// Certificate is a mapping of the OAuth 2.0 Client Credentials setup: a
// certificate for one client ID, entity and role.
type Certificate struct {
	ClientID string `json:"client_id"`
	// PEM is the certificate, with or without text around it.
	PEM string `json:"pem"`
	// ID replaces the certificate ID, which is otherwise the base64url SHA-256 of
	// the DER form.
	ID      string `json:"id"`
	Revoked bool   `json:"revoked"`
	// Scopes are those that the integration record allows. Empty: restlets,
	// rest_webservices and suite_analytics.
	Scopes []string `json:"scopes"`
	Entity string   `json:"entity"`
	Role   string   `json:"role"`
	// Manage says that this role has the permission "Manage own OAuth 2.0 Client
	// Credentials certificates": this entity in this role may list, create and
	// revoke its certificates over the API.
	Manage bool `json:"manage"`
}

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
	// LongCertificates lets a certificate live for all of its own validity.
	// NetSuite cuts it to two years.
	LongCertificates bool `json:"long_certificates"`
}

// ErrConfig is the root of all that ReadConfig and Check find wrong.
var ErrConfig = errors.New("nstest: configuration")

var accountID = regexp.MustCompile(`^[A-Z0-9]+(_[A-Z0-9]+)*$`)

// foldAccount gives any spelling of an account ID the one with capitals and
// underscores.
func foldAccount(s string) string {
	return strings.ReplaceAll(strings.ToUpper(strings.TrimSpace(s)), "-", "_")
}

// hostLabel is the spelling of an account ID in host names.
func hostLabel(id string) string {
	return strings.ReplaceAll(strings.ToLower(id), "_", "-")
}

// Check says what is wrong with c, wrapping ErrConfig. New takes a Config that
// does not pass as far as it goes.
func (c Config) Check() error {
	seen := map[string]bool{}
	for i, a := range c.Accounts {
		if !accountID.MatchString(a.ID) || len(a.ID) > 64 {
			return fmt.Errorf("%w: account %d: id %q is not of the form 1234567_SB1", ErrConfig, i+1, a.ID)
		}
		if seen[a.ID] {
			return fmt.Errorf("%w: account %s is there twice", ErrConfig, a.ID)
		}
		seen[a.ID] = true
		if err := a.check(); err != nil {
			return fmt.Errorf("%w: account %s: %w", ErrConfig, a.ID, err)
		}
	}
	if len(c.Accounts) == 0 {
		return fmt.Errorf("%w: no accounts", ErrConfig)
	}
	if c.MaxBody < 0 || c.MaxBody > 64<<20 || c.KeepVerdicts < 0 || c.KeepVerdicts > 1e6 || c.MaxNonces < 0 {
		return fmt.Errorf("%w: max_body, keep_verdicts or max_nonces out of bounds", ErrConfig)
	}
	return c.Settings.check()
}

func (a Account) check() error {
	if a.HostLabel != "" && strings.Trim(a.HostLabel, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("host_label %q is not a host label", a.HostLabel)
	}
	if a.Concurrency < 0 || a.DelayMS < 0 || a.DelayMS > 900_000 || a.Customers < 0 || a.Customers > maxCustomers {
		return errors.New("concurrency, delay_ms or customers out of bounds")
	}
	consumers := map[string]bool{}
	for _, i := range a.Integrations {
		if i.ConsumerKey == "" || i.ConsumerSecret == "" {
			return fmt.Errorf("integration %q lacks consumer_key or consumer_secret", i.Name)
		}
		if consumers[i.ConsumerKey] {
			return fmt.Errorf("consumer key of integration %q is there twice", i.Name)
		}
		consumers[i.ConsumerKey] = true
		if !oneOf(i.State, "", "enabled", "blocked", "waiting") {
			return fmt.Errorf("integration %q: state %q is not enabled, blocked or waiting", i.Name, i.State)
		}
	}
	tokens := map[string]bool{}
	for n, t := range a.Tokens {
		if t.TokenID == "" || t.TokenSecret == "" || !consumers[t.ConsumerKey] {
			return fmt.Errorf("token %d lacks token_id, token_secret, or the integration of its consumer_key", n+1)
		}
		if tokens[t.TokenID] {
			return fmt.Errorf("token ID of token %d is there twice", n+1)
		}
		tokens[t.TokenID] = true
	}
	for n, t := range a.RequestTokens {
		if t.TokenID == "" || t.TokenSecret == "" || t.Verifier == "" || !consumers[t.ConsumerKey] || tokens[t.TokenID] {
			return fmt.Errorf("request token %d is incomplete or there twice", n+1)
		}
		tokens[t.TokenID] = true
	}
	return checkCertificates(a.Certificates)
}

func (s Settings) check() error {
	switch {
	case !oneOf(s.PassportNamespace, "", "both", "core", "messages"):
		return fmt.Errorf("%w: settings: passport_namespace %q", ErrConfig, s.PassportNamespace)
	case s.RESTletLoginStatus != 0 && s.RESTletLoginStatus != 401 && s.RESTletLoginStatus != 403:
		return fmt.Errorf("%w: settings: restlet_login_status %d", ErrConfig, s.RESTletLoginStatus)
	case !oneOf(s.Challenge, "", "detail", "token_rejected", "none"):
		return fmt.Errorf("%w: settings: challenge %q", ErrConfig, s.Challenge)
	case !oneOf(s.AssertionError, "", "invalid_request", "invalid_client", "invalid_grant"):
		return fmt.Errorf("%w: settings: assertion_error %q", ErrConfig, s.AssertionError)
	case s.AssertionLeeway < 0 || s.AssertionLeeway > 3600:
		return fmt.Errorf("%w: settings: assertion_leeway %d", ErrConfig, s.AssertionLeeway)
	case !oneOf(s.CertificateErrors, "", "rest", "oauth2"):
		return fmt.Errorf("%w: settings: certificate_errors %q", ErrConfig, s.CertificateErrors)
	case s.CertificateCreated != 0 && s.CertificateCreated != 200 && s.CertificateCreated != 201:
		return fmt.Errorf("%w: settings: certificate_created %d", ErrConfig, s.CertificateCreated)
	case !oneOf(s.Audience, "", "account", "posted"):
		return fmt.Errorf("%w: settings: audience %q", ErrConfig, s.Audience)
	}
	return nil
}

func oneOf(s string, all ...string) bool {
	for _, one := range all {
		if s == one {
			return true
		}
	}
	return false
}
