package nstest

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// User is somebody in one role: who can agree to a login.
type User struct {
	Name   string `json:"name"`
	Entity string `json:"entity"` // internal ID
	Role   string `json:"role"`   // internal ID
	// RoleName is what the page shows. Empty: the internal ID.
	RoleName string `json:"role_name"`
	// Disabled says that the user or the role is inactive, or that the role may
	// not log in with tokens.
	Disabled bool `json:"disabled"`
	// Manage is as for a Certificate.
	Manage bool `json:"manage"`
}

func checkUsers(all []User) error {
	for n, u := range all {
		if u.Name == "" || !internalID().MatchString(u.Entity) || !internalID().MatchString(u.Role) {
			return fmt.Errorf("user %d lacks a name, or an entity or a role that is a number", n+1)
		}
	}
	return nil
}

// people are the users who can agree in the wanted role; in any, if that is
// empty.
func (a *account) people(role string) []User {
	if len(a.Users) == 0 {
		if role == "" {
			role = "3"
		}
		return []User{{Name: "Ada", Entity: "-5", Role: role, RoleName: "Role " + role}}
	}
	var out []User
	for _, u := range a.Users {
		if role == "" || u.Role == role {
			out = append(out, u)
		}
	}
	return out
}

// disabled says whether the configuration has this user in this role, disabled.
func (a *account) disabled(entity, role string) bool {
	for _, u := range a.Users {
		if u.Entity == entity && u.Role == role {
			return u.Disabled
		}
	}
	return false
}

// Grant types of an integration record.
const (
	grantCode    = "authorization_code"
	grantMachine = "client_credentials"
)

// grants says whether the record allows the grant type.
func (i Integration) grants(grant string) bool {
	if len(i.GrantTypes) > 0 {
		return oneOf(grant, i.GrantTypes...)
	}
	if grant == grantCode {
		return len(i.RedirectURIs) > 0
	}
	return !i.Public
}

// allows says whether the record has this scope.
func (i Integration) allows(scope string) bool {
	if len(i.Scopes) == 0 {
		return knownScope(scope)
	}
	return oneOf(scope, i.Scopes...)
}

// refreshLife is how long a refresh token lives, and chainLife how long it and
// its successors do together.
//
// Source: NetSuite Help, "Create Integration Records for Applications to Use
// OAuth 2.0".
func (i Integration) refreshLife(s Settings) time.Duration {
	switch {
	case s.RefreshTokenSeconds > 0:
		return time.Duration(s.RefreshTokenSeconds) * time.Second
	case !i.Public:
		return 7 * 24 * time.Hour
	case i.RefreshHours > 0:
		return time.Duration(i.RefreshHours) * time.Hour
	}
	return 48 * time.Hour
}

func (i Integration) chainLife() time.Duration {
	if i.Public && i.RotationHours > 0 {
		return time.Duration(i.RotationHours) * time.Hour
	}
	return 168 * time.Hour
}

func (i Integration) checkOAuth2() error {
	for _, uri := range i.RedirectURIs {
		parsed, err := url.Parse(uri)
		switch {
		case err != nil || parsed.Scheme == "" || parsed.Opaque != "" || strings.Contains(uri, "#"):
			return fmt.Errorf("redirect URI %q is not absolute, or has a fragment", uri)
		case parsed.Scheme == "http":
			return fmt.Errorf("redirect URI %q: http is not supported, localhost included", uri)
		}
	}
	for _, scope := range i.Scopes {
		if !knownScope(scope) && (scope != scopeMCP || len(i.Scopes) > 1) {
			return fmt.Errorf("scope %q is unknown, or mcp is not alone", scope)
		}
	}
	for _, grant := range i.GrantTypes {
		if !oneOf(grant, grantCode, grantMachine) {
			return fmt.Errorf("grant type %q", grant)
		}
	}
	switch {
	case i.grants(grantCode) && len(i.RedirectURIs) == 0:
		return errors.New("the grant type authorization_code needs redirect_uris")
	case i.Public && i.grants(grantMachine):
		return errors.New("a public client cannot have the grant type client_credentials")
	case min(i.RefreshHours, i.RotationHours) < 0 || max(i.RefreshHours, i.RotationHours) > 720:
		return errors.New("refresh_hours and rotation_hours are 1 to 720")
	}
	return nil
}
