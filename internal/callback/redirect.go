package callback

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// maxRedirect bounds a redirect URI, in bytes.
const maxRedirect = 1024

// anyPortTries is how often a port is looked for that is free on both loopback
// addresses.
const anyPortTries = 16

// redirect is a redirect URI.
type redirect struct {
	uri    string
	scheme string
	name   string // the host without its port, in lower case, without brackets
	port   string // "" where the URI has none
	path   string // as it stands in the request
}

// parseRedirect reads a redirect URI. The error wraps ErrRedirect.
func parseRedirect(uri string) (redirect, error) {
	none := func(why string) (redirect, error) { return redirect{}, fmt.Errorf("%w: %s", ErrRedirect, why) }
	if uri == "" || len(uri) > maxRedirect {
		return none(fmt.Sprintf("it has 1 to %d characters", maxRedirect))
	}
	if !printable(uri) || strings.ContainsAny(uri, ` "<>\^{}|`+"`") {
		return none("a character has to be percent-encoded")
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return none("it is not a URL")
	case u.Scheme == "":
		return none("it does not begin with a scheme such as https://")
	case strings.Contains(uri, "#"):
		return none("it has a fragment")
	case u.User != nil:
		return none("it has a user name")
	case (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() == "":
		return none("it has no host")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
			return none("its port is not a number up to 65535")
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return none("its port is empty")
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return redirect{uri: uri, scheme: u.Scheme, name: strings.ToLower(u.Hostname()), port: u.Port(), path: path}, nil
}

// here reports whether the URI leads to the loopback interface by its own text: any
// other name may resolve to anything.
func (r redirect) here() bool {
	if r.scheme != "https" && r.scheme != "http" {
		return false
	}
	ip := net.ParseIP(r.name)
	return r.name == "localhost" || ip != nil && ip.IsLoopback()
}

// Here reports whether a redirect URI leads to this machine, so that a Listener can
// wait there. The error wraps ErrRedirect.
func Here(uri string) (bool, error) {
	r, err := parseRedirect(uri)
	return r.here(), err
}

// listenPort returns the port in the form that net wants.
func (r redirect) listenPort() string {
	switch {
	case r.port != "":
		return r.port
	case r.scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// host returns what a browser puts into the Host header.
func (r redirect) host() string {
	name := r.name
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	if r.port == "" || r.scheme == "https" && r.port == "443" || r.scheme == "http" && r.port == "80" {
		return name
	}
	return name + ":" + r.port
}

// withPort puts the port that was found in place of 0.
func (r redirect) withPort(port string) redirect {
	if r.port != "0" {
		return r
	}
	before, after, _ := strings.Cut(r.uri, "://")
	authority, rest := after, ""
	if i := strings.IndexAny(after, "/?"); i >= 0 {
		authority, rest = after[:i], after[i:]
	}
	r.uri = before + "://" + strings.TrimSuffix(authority, "0") + port + rest
	r.port = port
	return r
}

// addresses returns where a browser may connect. For localhost that is both kinds of
// address: on the one that stayed free, somebody else could listen.
func (r redirect) addresses() []string {
	if r.name == "localhost" {
		return []string{"127.0.0.1", "::1"}
	}
	return []string{r.name}
}

// bind listens on every address of the URI, and returns the port.
func bind(r redirect) ([]net.Listener, string, error) {
	port := r.listenPort()
	for try := 1; ; try++ {
		sockets, bound, err := bindAll(r.addresses(), port)
		if err == nil {
			return sockets, bound, nil
		}
		if port == "0" && try < anyPortTries && errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, "", fmt.Errorf("%w: %s", ErrPortInUse, port)
		}
		return nil, "", fmt.Errorf("listening on port %s: %w", port, err)
	}
}

func bindAll(addresses []string, port string) ([]net.Listener, string, error) {
	var sockets []net.Listener
	var fault error
	for _, address := range addresses {
		s, err := net.Listen("tcp", net.JoinHostPort(address, port))
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
			fault = err // a machine without IPv6
			continue
		}
		if err != nil {
			return nil, "", errors.Join(err, closeAll(sockets))
		}
		sockets = append(sockets, s)
		if _, port, err = net.SplitHostPort(s.Addr().String()); err != nil {
			return nil, "", errors.Join(err, closeAll(sockets))
		}
	}
	if len(sockets) == 0 {
		return nil, "", fault
	}
	return sockets, port, nil
}

func closeAll(sockets []net.Listener) error {
	var all error
	for _, s := range sockets {
		all = errors.Join(all, s.Close())
	}
	return all
}

// printable reports whether s is ASCII without control characters.
func printable[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
