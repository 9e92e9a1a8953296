package nstest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nsagent/nsagent/internal/pattern"
)

// Config describes the NetSuite to be played. The JSON names are those of the
// file that ReadConfig reads. All secrets in it are test data: they are held as
// ordinary strings.
type Config struct {
	Accounts []Account `json:"accounts"`
	Settings Settings  `json:"settings"`
	// Faults are what goes wrong from the start; see Server.Inject.
	Faults []Fault `json:"faults"`
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
	// TBADisabled and OAuth2Disabled switch features off.
	TBADisabled    bool `json:"tba_disabled"`
	OAuth2Disabled bool `json:"oauth2_disabled"`
	// Users are those who can agree to a login, each in one role. Empty: one, the
	// entity -5 in the role that is asked for, else in role 3.
	Users []User `json:"users"`
}

// Integration is an integration record. Under OAuth 2.0 its consumer key is
// called client ID and its consumer secret client secret.
type Integration struct {
	Name           string `json:"name"`
	ConsumerKey    string `json:"consumer_key"`
	ConsumerSecret string `json:"consumer_secret"`
	// Public makes it a public client of OAuth 2.0, which needs no secret, has to
	// use PKCE, and gets a new refresh token with each refresh.
	Public bool `json:"public"`
	// RedirectURIs are those of the authorization code grant, complete: https, or
	// a scheme of the application's own. Empty: no such grant.
	RedirectURIs []string `json:"redirect_uris"`
	// Scopes are those ticked on the record. Empty: restlets, rest_webservices and
	// suite_analytics. The scope mcp stands alone.
	Scopes []string `json:"scopes"`
	// GrantTypes are authorization_code and client_credentials. Empty: both as far
	// as RedirectURIs and Public allow.
	GrantTypes []string `json:"grant_types"`
	// RefreshHours is the life of a public client's refresh token, and
	// RotationHours how long it can go on being renewed: 1 to 720 hours. Zero: 48
	// and 168.
	RefreshHours  int `json:"refresh_hours"`
	RotationHours int `json:"rotation_hours"`
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

// ErrConfig is the root of all that ReadConfig and Check find wrong.
var ErrConfig = errors.New("nstest: configuration")

var accountID = pattern.New(`^[A-Z0-9]+(_[A-Z0-9]+)*$`)

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
		if !accountID().MatchString(a.ID) || len(a.ID) > 64 {
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
	for n, f := range c.Faults {
		if err := f.check(); err != nil {
			return fmt.Errorf("%w: fault %d: %w", ErrConfig, n+1, err)
		}
	}
	if len(c.Faults) > maxFaults {
		return fmt.Errorf("%w: more than %d faults", ErrConfig, maxFaults)
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
		if i.ConsumerKey == "" || (i.ConsumerSecret == "" && !i.Public) {
			return fmt.Errorf("integration %q lacks consumer_key or consumer_secret", i.Name)
		}
		if consumers[i.ConsumerKey] {
			return fmt.Errorf("consumer key of integration %q is there twice", i.Name)
		}
		consumers[i.ConsumerKey] = true
		if !oneOf(i.State, "", "enabled", "blocked", "waiting") {
			return fmt.Errorf("integration %q: state %q is not enabled, blocked or waiting", i.Name, i.State)
		}
		if err := i.checkOAuth2(); err != nil {
			return fmt.Errorf("integration %q: %w", i.Name, err)
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
	if err := checkUsers(a.Users); err != nil {
		return err
	}
	return checkCertificates(a.Certificates)
}

func oneOf(s string, all ...string) bool {
	for _, one := range all {
		if s == one {
			return true
		}
	}
	return false
}
