package nstest

import (
	"errors"
	"net"
	"net/http"
	"strings"
)

// wire is a request as it came over the wire, cut into pieces and not
// interpreted: signatures are checked over exactly this.
type wire struct {
	method string
	scheme string // http or https
	host   string // lower case, default port dropped
	sent   string // the Host header as sent
	path   string // as sent, escapes and all
	query  string // as sent, without the question mark
	// For a host name of NetSuite:
	label string // 1234567-sb1; empty for the shared hosts
	site  string // suitetalk.api, restlets.api, app; or rest, system, webservices
}

// uri is the base string URI of RFC 5849 section 3.4.1.2.
func (w wire) uri() string { return w.scheme + "://" + w.host + w.path }

func (w wire) origin() string { return w.scheme + "://" + w.host }

func (w wire) isNetSuite() bool { return w.site != "" }

func (w wire) isShared() bool { return w.site != "" && w.label == "" }

var errHost = errors.New("nstest: host name not understood")
var errTarget = errors.New("nstest: request target not understood")

// cutRequest cuts r. NetSuite's own hosts speak https only, so that a request
// for one of them counts as https even if something in front of the server has
// taken the TLS off.
func cutRequest(r *http.Request) (wire, error) {
	w := wire{method: r.Method, scheme: "http", sent: r.Host}
	host := strings.ToLower(r.Host)
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]") != "" {
		return w, errHost
	}
	name := hostName(host)
	for _, site := range []string{"suitetalk.api", "restlets.api", "app"} {
		if label, ok := strings.CutSuffix(name, "."+site+".netsuite.com"); ok && label != "" && !strings.Contains(label, ".") {
			w.label, w.site = label, site
		}
	}
	for _, site := range []string{"rest", "system", "webservices"} {
		if name == site+".netsuite.com" {
			w.site = site
		}
	}
	if r.TLS != nil || w.isNetSuite() {
		w.scheme = "https"
	}
	w.host = host
	if w.scheme == "https" {
		w.host = strings.TrimSuffix(host, ":443")
	}
	if w.scheme == "http" {
		w.host = strings.TrimSuffix(host, ":80")
	}

	target := r.RequestURI
	if !strings.HasPrefix(target, "/") {
		// The absolute form that clients send to a proxy.
		_, rest, ok := strings.Cut(target, "://")
		if !ok {
			return w, errTarget
		}
		slash := strings.IndexAny(rest, "/?")
		switch {
		case slash < 0:
			target = "/"
		case rest[slash] == '?':
			target = "/" + rest[slash:]
		default:
			target = rest[slash:]
		}
	}
	if strings.Contains(target, "#") {
		return w, errTarget
	}
	w.path, w.query, _ = strings.Cut(target, "?")
	return w, nil
}

// hostName drops the port of a lower-case Host header.
func hostName(host string) string {
	if strings.HasPrefix(host, "[") {
		name, _, _ := strings.Cut(strings.TrimPrefix(host, "["), "]")
		return name
	}
	name, _, _ := strings.Cut(host, ":")
	return name
}

// isLoopbackHost says whether the Host header names this machine.
func isLoopbackHost(host string) bool {
	name := hostName(strings.ToLower(host))
	if name == "localhost" {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}
