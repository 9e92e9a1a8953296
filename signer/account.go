package signer

import (
	"fmt"
	"strings"
)

// Environments, as Account.Environment gives them.
const (
	Production = "production"
	Sandbox    = "sandbox"
)

// Domains under which NetSuite serves one account, after the host label.
const (
	suitetalkDomain = ".suitetalk.api.netsuite.com"
	restletsDomain  = ".restlets.api.netsuite.com"
	appDomain       = ".app.netsuite.com"
)

// maxHostLabel is the longest label of a host name in octets (RFC 1035 section 2.3.4).
const maxHostLabel = 63

// Account is one NetSuite account in both its spellings. Accounts are equal by ==
// if they are the same. The zero Account is no account.
type Account struct {
	id    string // upper case, underscore
	label string // lower case, hyphen
}

// ParseAccount returns the account that s names, in either spelling and any case:
// 1234567_SB1 and 1234567-sb1 are one. Blanks (spaces and tabs) around it are left out.
//
// Anything but letters and digits, in groups joined by one underscore or hyphen each,
// is an error that wraps ErrAccount; so is more than 63 octets. What it returns can
// therefore stand in a host name without further checks.
//
// Source: NetSuite Help, "URLs for Account-Specific Domains"; both spellings as in
// many public reports.
func ParseAccount(s string) (Account, error) {
	s = strings.Trim(s, " \t")
	if s == "" {
		return Account{}, fmt.Errorf("%w: empty", ErrAccount)
	}
	if len(s) > maxHostLabel {
		return Account{}, fmt.Errorf("%w: %d characters, at most %d fit in a host name", ErrAccount, len(s), maxHostLabel)
	}
	separator := true // whether the octet before was one, or there is none
	for i := range len(s) {
		switch c := s[i]; {
		case alphanumeric(c):
			separator = false
		case (c == '_' || c == '-') && !separator:
			separator = true
		case c == '_' || c == '-':
			return Account{}, fmt.Errorf("%w: separator without letters or digits before it, at character %d", ErrAccount, i+1)
		default:
			return Account{}, fmt.Errorf("%w: %s at character %d", ErrAccount, describe(c), i+1)
		}
	}
	if separator {
		return Account{}, fmt.Errorf("%w: ends in a separator", ErrAccount)
	}
	return Account{
		id:    strings.ReplaceAll(strings.ToUpper(s), "-", "_"),
		label: strings.ReplaceAll(strings.ToLower(s), "_", "-"),
	}, nil
}

// ID returns the account ID, upper case with underscores: what goes into realm,
// TokenPassport and the Connect password. It is empty for the zero Account.
func (a Account) ID() string { return a.id }

// HostLabel returns the first label of the account's hosts, lower case with hyphens.
func (a Account) HostLabel() string { return a.label }

// String returns the account ID.
func (a Account) String() string { return a.id }

// IsZero reports whether a is the zero Account.
func (a Account) IsZero() bool { return a.id == "" }

// Sandbox reports whether the account is known by its ID not to be a production one:
// a sandbox (_SB1), a Release Preview (_RP, _RP1), a demonstration or developer account
// (TSTDRV…), a test drive (TD…). An ID of any other shape counts as production, since
// that is the side with the narrower defaults.
func (a Account) Sandbox() bool {
	base, suffix, _ := strings.Cut(a.id, "_")
	for part := range strings.SplitSeq(suffix, "_") {
		if number, ok := strings.CutPrefix(part, "SB"); ok && digits(number) && number != "" {
			return true
		}
		if number, ok := strings.CutPrefix(part, "RP"); ok && digits(number) {
			return true
		}
	}
	for _, prefix := range []string{"TSTDRV", "TD"} {
		if number, ok := strings.CutPrefix(base, prefix); ok && digits(number) && number != "" {
			return true
		}
	}
	return false
}

// Environment returns Sandbox if a.Sandbox() holds, and else Production.
func (a Account) Environment() string {
	if a.Sandbox() {
		return Sandbox
	}
	return Production
}

// Hosts returns the hosts that answer signed requests of the account: SuiteTalk (REST
// web services, SuiteQL, SOAP), RESTlets, and the application. It is nil for the zero
// Account.
func (a Account) Hosts() []string {
	if a.IsZero() {
		return nil
	}
	return []string{a.label + suitetalkDomain, a.label + restletsDomain, a.label + appDomain}
}

// owns reports whether host, in lower case, is one of Hosts.
func (a Account) owns(host string) bool {
	domain, ok := strings.CutPrefix(host, a.label)
	return ok && !a.IsZero() && (domain == suitetalkDomain || domain == restletsDomain || domain == appDomain)
}

// digits reports whether s is made of decimal digits only, or empty.
func digits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}
