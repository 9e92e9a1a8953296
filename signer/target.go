package signer

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MaxURL is the most octets that a URL may have to be signed.
const MaxURL = 16384

// Target is a URL fit to be signed, exactly as it goes on the wire. Its parts are
// read from that text and never rewritten, so that what is checked, what is signed and
// what is sent are the same octets. The zero Target is no URL and is not signed.
type Target struct {
	raw    string
	scheme string // lower case
	host   string // lower case, with brackets around an IPv6 address
	port   string // as written, empty if not written
	path   string // as written, may be empty
	query  string // as written, without "?"
}

// ParseTarget returns raw as a Target whose String is raw again.
//
// raw must be an absolute http or https URL in a form that HTTP stacks send unchanged:
// ASCII, percent-encoded where needed, no userinfo, no fragment (not even an
// empty one), no "." or ".." segment, host names without a trailing dot, ports without
// leading zeros, IP addresses in their shortest form. In the query the characters
// []{}|^` may stand unencoded: clients differ in whether they encode them, and the
// signature does not.
//
// The error wraps ErrURL and names the part at fault. It shows nothing of raw but
// single characters.
//
// Source: RFC 3986; RFC 5849 section 3.4.1.2; what the WHATWG URL standard, curl,
// Python's urllib3 and Go's net/url change before they send.
func ParseTarget(raw string) (Target, error) {
	if len(raw) > MaxURL {
		return Target{}, fmt.Errorf("%w: length: %d octets, at most %d", ErrURL, len(raw), MaxURL)
	}
	t := Target{raw: raw}
	rest, err := t.takeScheme(raw)
	if err != nil {
		return Target{}, err
	}
	if i := strings.IndexByte(rest, '#'); i >= 0 {
		return Target{}, fault("fragment", "a fragment is never sent; leave it out from \"#\" on")
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if err := t.takeAuthority(rest[:end]); err != nil {
		return Target{}, err
	}
	var found bool
	t.path, t.query, found = strings.Cut(rest[end:], "?")
	if err := checkPath(t.path, len(raw)-len(rest)+end); err != nil {
		return Target{}, err
	}
	if found {
		if err := checkOctets("query", t.query, len(raw)-len(t.query), &queryOctets); err != nil {
			return Target{}, err
		}
	}
	return t, nil
}

// String returns the URL as signed, the very text that ParseTarget was given.
func (t Target) String() string { return t.raw }

// IsZero reports whether t is the zero Target.
func (t Target) IsZero() bool { return t.raw == "" }

// Scheme returns "https" or "http".
func (t Target) Scheme() string { return t.scheme }

// Host returns the host in lower case, without the port. An IPv6 address keeps its
// brackets.
func (t Target) Host() string { return t.host }

// Port returns the port as written, or an empty string if the URL has none.
func (t Target) Port() string { return t.port }

// Path returns the path as it goes on the wire, still percent-encoded: "/" where the
// URL has none.
func (t Target) Path() string {
	if t.path == "" {
		return "/"
	}
	return t.path
}

// RawQuery returns the query as written, without "?".
func (t Target) RawQuery() string { return t.query }

// Origin returns scheme, host and port in their one comparable form: lower case, the
// scheme's own port left out, no slash at the end. It is empty for the zero Target.
func (t Target) Origin() string {
	if t.IsZero() {
		return ""
	}
	return string(t.appendOrigin(nil))
}

func (t Target) appendOrigin(dst []byte) []byte {
	dst = append(dst, t.scheme...)
	dst = append(dst, "://"...)
	dst = append(dst, t.host...)
	if t.port != "" && !t.defaultPort() {
		dst = append(dst, ':')
		dst = append(dst, t.port...)
	}
	return dst
}

func (t Target) defaultPort() bool {
	return t.scheme == "https" && t.port == "443" || t.scheme == "http" && t.port == "80"
}

// isIP reports whether the host is an IP address. ParseTarget lets a host whose last
// label is a number pass only if it is one.
func (t Target) isIP() bool {
	return strings.HasPrefix(t.host, "[") || endsInNumber(t.host)
}

// takeScheme fills in the scheme and returns what follows "//".
func (t *Target) takeScheme(raw string) (string, error) {
	scheme, rest, found := strings.Cut(raw, ":")
	switch {
	case found && asciiEqualFold(scheme, "https"):
		t.scheme = "https"
	case found && asciiEqualFold(scheme, "http"):
		t.scheme = "http"
	default:
		return "", fault("scheme", "a URL to be signed begins with https:// (or http://)")
	}
	rest, found = strings.CutPrefix(rest, "//")
	if !found {
		return "", fault("scheme", "\"//\" and a host must follow the scheme")
	}
	return rest, nil
}

// takeAuthority fills in host and port from what stands between "//" and the path.
func (t *Target) takeAuthority(s string) error {
	if strings.Contains(s, "@") {
		return fault("userinfo", "a URL to be signed carries no user name or password")
	}
	host, port, hasPort := s, "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return fault("host", "\"[\" without \"]\"")
		}
		host = s[:end+1]
		if end+1 < len(s) && s[end+1] != ':' {
			return fault("host", "only a port may follow \"]\"")
		}
		_, port, hasPort = strings.Cut(s[end+1:], ":")
	} else {
		host, port, hasPort = strings.Cut(s, ":")
	}
	if err := checkHost(host); err != nil {
		return err
	}
	if hasPort {
		if err := checkPort(port); err != nil {
			return err
		}
	}
	t.host, t.port = strings.ToLower(host), port
	return nil
}

func checkHost(host string) error {
	if host == "" {
		return fault("host", "missing")
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		return checkIPv6(strings.TrimSuffix(inner, "]"))
	}
	for i := range len(host) {
		if c := host[i]; !alphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return fault("host", "%s is not allowed in a host name", describe(c))
		}
	}
	if strings.HasSuffix(host, ".") {
		return fault("host", "ends in a dot")
	}
	if len(host) > 253 {
		return fault("host", "%d characters, at most 253", len(host))
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" {
			return fault("host", "two dots in a row, or one in front")
		}
		if len(label) > maxHostLabel {
			return fault("host", "a label of %d characters, at most %d", len(label), maxHostLabel)
		}
	}
	if endsInNumber(host) {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is4() {
			return fault("host", "a host that ends in a number must be an IPv4 address of four decimal parts")
		}
	}
	return nil
}

func checkIPv6(s string) error {
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return fault("host", "not an IPv6 address between the brackets")
	}
	if addr.Is4In6() || addr.String() != strings.ToLower(s) {
		return fault("host", "IPv6 address not in its shortest form")
	}
	return nil
}

// endsInNumber reports whether HTTP stacks may read host as an IPv4 address.
//
// Source: WHATWG URL standard, "ends in a number checker".
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last != "" && digits(last) {
		return true
	}
	if len(last) < 2 || last[0] != '0' || lower(last[1]) != 'x' {
		return false
	}
	for i := 2; i < len(last); i++ {
		if _, ok := hexDigit(last[i]); !ok {
			return false
		}
	}
	return true
}

func checkPort(port string) error {
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case port == "":
		return fault("port", "empty")
	case !digits(port):
		return fault("port", "not a number")
	case port[0] == '0':
		return fault("port", "begins with 0")
	case err != nil || n == 0:
		return fault("port", "not between 1 and 65535")
	}
	return nil
}

// checkPath checks a path that begins at octet at of its URL.
func checkPath(path string, at int) error {
	if err := checkOctets("path", path, at, &pathOctets); err != nil {
		return err
	}
	for segment := range strings.SplitSeq(path, "/") {
		if dotSegment(segment) {
			return fault("path", "a \".\" or \"..\" segment, which clients take out before they send")
		}
	}
	for i := range len(path) {
		if path[i] != '%' {
			continue
		}
		if c, _ := escaped(path, i); c < ' ' || c == 0x7f {
			return fault("path", "an encoded control character at octet %d", at+i+1)
		}
	}
	return nil
}

// dotSegment reports whether clients take s for "." or "..".
func dotSegment(s string) bool {
	if s == "" || len(s) > len("%2e%2e") || s[0] != '.' && s[0] != '%' {
		return false
	}
	s = strings.ReplaceAll(strings.ToLower(s), "%2e", ".")
	return s == "." || s == ".."
}

// checkOctets checks that s, which begins at octet at of its URL, consists of escapes
// and of octets of allowed.
func checkOctets(part, s string, at int, allowed *octetSet) error {
	for i := range len(s) {
		c := s[i]
		if allowed[c] {
			continue
		}
		if c != '%' {
			return fault(part, "%s must be percent-encoded, at octet %d", describe(c), at+i+1)
		}
		if _, ok := escaped(s, i); !ok {
			return fault(part, "\"%%\" without two hexadecimal digits at octet %d", at+i+1)
		}
	}
	return nil
}

// octetSet holds the octets that may stand for themselves. Nothing writes to one.
type octetSet [256]bool

var (
	// pathOctets: unreserved, sub-delims, ":", "@" and "/" of RFC 3986.
	pathOctets = octetSet(unreserved).with("!$&'()*+,;=:@/")
	// queryOctets: those, "?", and what the WHATWG serialiser leaves as it is.
	queryOctets = pathOctets.with("?[]{}|^`")
)

func (s octetSet) with(octets string) octetSet {
	for i := range len(octets) {
		s[octets[i]] = true
	}
	return s
}

// fault returns an error about one part of a URL.
func fault(part, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrURL, part, fmt.Sprintf(format, args...))
}

// describe names an octet in a way that is safe to print.
func describe(c byte) string {
	switch {
	case c == ' ':
		return "a space"
	case c == '\r' || c == '\n':
		return "a line break"
	case c < ' ' || c == 0x7f:
		return fmt.Sprintf("control character 0x%02x", c)
	case c >= 0x80:
		return fmt.Sprintf("octet 0x%02x outside ASCII", c)
	}
	return fmt.Sprintf("%q", c)
}

// asciiEqualFold compares without regard to the case of ASCII letters, and of no others:
// strings.EqualFold takes U+017F for an "s".
func asciiEqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}
