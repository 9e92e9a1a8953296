package signer

import (
	"fmt"
	"strings"
)

// ParseEndpoint returns raw as a Target if it is an origin and no more: ParseTarget's
// rules, no path but an optional "/", no query. It is the form in which a profile
// names a mock or a gateway that stands for every NetSuite host.
//
// The error wraps ErrURL.
func ParseEndpoint(raw string) (Target, error) {
	t, err := ParseTarget(raw)
	if err != nil {
		return Target{}, err
	}
	if t.Path() != "/" {
		return Target{}, fault("path", "an endpoint is an origin only: scheme, host and port")
	}
	if strings.Contains(raw, "?") {
		return Target{}, fault("query", "an endpoint is an origin only: scheme, host and port")
	}
	return t, nil
}

// CheckHost returns nil if credentials of a may be used for t: t has exactly the origin
// of endpoint (which may be an IP address, have a port, and be plain http), or t is an
// https URL without a port on one of a.Hosts. endpoint nil, or the zero Target, means
// that there is none.
//
// A host that is not the account's gives an error that wraps ErrHost; an IP address
// that is not the endpoint, and a port or plain http on a host of the account, give one
// that wraps ErrURL. Hosts are compared as octets in lower case; no suffix or pattern
// is involved.
func CheckHost(t Target, a Account, endpoint *Target) error {
	switch {
	case t.IsZero():
		return fault("scheme", "no URL")
	case endpoint != nil && t.sameOrigin(*endpoint):
		return nil
	case t.isIP():
		return notTheEndpoint(endpoint)
	case !a.owns(t.host):
		return foreignHost(t, a, endpoint)
	case t.scheme != "https":
		return fault("scheme", "hosts of NetSuite are reached by https only")
	case t.port != "":
		return fault("port", "hosts of NetSuite are addressed without a port")
	}
	return nil
}

// notTheEndpoint refuses an IP address, and says which origin would have been right.
func notTheEndpoint(endpoint *Target) error {
	if endpoint == nil || endpoint.IsZero() {
		return fault("host", "an IP address is not a host of NetSuite")
	}
	return fault("host", "an IP address is not a host of NetSuite, and the endpoint is %s", endpoint.Origin())
}

func (t Target) sameOrigin(u Target) bool {
	return t.scheme == u.scheme && t.host == u.host &&
		(t.port == u.port || t.portOmitted() && u.portOmitted())
}

// portOmitted reports whether the origin is written without a port.
func (t Target) portOmitted() bool { return t.port == "" || t.defaultPort() }

// foreignHost says which hosts would have been right.
func foreignHost(t Target, a Account, endpoint *Target) error {
	if a.IsZero() {
		return fmt.Errorf("%w: %q: no account given", ErrHost, t.host)
	}
	right := strings.Join(a.Hosts(), ", ")
	if endpoint != nil && !endpoint.IsZero() {
		right += ", or the endpoint " + endpoint.Origin()
	}
	return fmt.Errorf("%w: %q is none of those of %s: %s", ErrHost, t.host, a.id, right)
}

// OwnHosts returns the hosts that a profile of the account signs for: that of its endpoint
// first, if it has one; the zero Target is none.
func (a Account) OwnHosts(endpoint Target) []string {
	if endpoint.IsZero() {
		return a.Hosts()
	}
	return append([]string{endpoint.Host()}, a.Hosts()...)
}
