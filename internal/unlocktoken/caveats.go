package unlocktoken

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// ID is 16 bytes that name a vault, a credential or a grant.
type ID [16]byte

// Caveats are the limits of one block. The zero value of a field limits nothing; what is
// set must hold. Of a list, one entry must fit.
type Caveats struct {
	// Credentials are those that may be used.
	Credentials []ID `cbor:"1,keyasint,omitempty"`
	// Kinds are the permissions: "sign", "send", "passport", "connect-password",
	// "assertion", "token". Where Hosts, Methods, Paths, Scripts or Operations is set,
	// only sign and send are left.
	Kinds []string `cbor:"2,keyasint,omitempty"`
	// Hosts are compared as a whole, in lower case.
	Hosts []string `cbor:"3,keyasint,omitempty"`
	// Methods are in upper case.
	Methods []string `cbor:"4,keyasint,omitempty"`
	// Paths are patterns as of internal/pathglob.
	Paths []string `cbor:"5,keyasint,omitempty"`
	// Scripts are RESTlets as "script/deploy".
	Scripts []string `cbor:"6,keyasint,omitempty"`
	// Operations are SOAP operations. A header alone does not tell its operation.
	Operations []string `cbor:"7,keyasint,omitempty"`
	// NotBefore and NotAfter are Unix seconds: the first and the last second.
	NotBefore int64 `cbor:"8,keyasint,omitempty"`
	NotAfter  int64 `cbor:"9,keyasint,omitempty"`
	// Uses is how many uses there may be, over the life of the block.
	Uses uint64 `cbor:"10,keyasint,omitempty"`
	// Rate is how many uses there may be in how many seconds.
	Rate *Rate `cbor:"11,keyasint,omitempty"`
	// Networks are prefixes (CIDR) of the address that the request comes from, which counts
	// as one of IPv4 where it is an IPv4-mapped one.
	Networks []string `cbor:"12,keyasint,omitempty"`
	// Identities are OIDC identities.
	Identities []Identity `cbor:"13,keyasint,omitempty"`
	// Peer is the process that asks.
	Peer *Peer `cbor:"14,keyasint,omitempty"`
}

// Rate is a bucket of Count uses that fills evenly within Seconds seconds.
type Rate struct {
	_       struct{} `cbor:",toarray"`
	Count   uint64
	Seconds uint64
}

// String returns the rate for people, such as "5 uses in a minute".
func (r Rate) String() string {
	uses := "uses"
	if r.Count == 1 {
		uses = "use"
	}
	in := map[uint64]string{1: "a second", 60: "a minute", 3600: "an hour", 24 * 3600: "a day"}[r.Seconds]
	if in == "" {
		in = fmt.Sprintf("%d seconds", r.Seconds)
	}
	return fmt.Sprintf("%d %s in %s", r.Count, uses, in)
}

// Identity is what an OIDC token must say: its issuer, and of each claim one of the
// values, all of them.
type Identity struct {
	_      struct{} `cbor:",toarray"`
	Issuer string
	Claims []Claim
}

// Claim is a claim and the values of which it must have one. Numbers are in decimal.
type Claim struct {
	_      struct{} `cbor:",toarray"`
	Name   string
	Values []string
}

// Peer limits the process that asks. Identity of a process is evidence and no boundary
// between programs of one user.
type Peer struct {
	_           struct{} `cbor:",toarray"`
	UIDs        []uint32
	Executables []string // absolute paths, as path.Clean gives them
}

// Limits of caveats.
const (
	MaxList   = 64   // entries of a list
	MaxString = 1024 // bytes of an entry
)

// kinds are the permissions that a grant can give.
var kinds = []string{"sign", "send", "passport", "connect-password", "assertion", "token"}

// limit is Caveats made ready for use.
type limit struct {
	Caveats
	paths    []pathglob.Pattern
	networks []netip.Prefix
}

// Check returns nil for caveats that a block can have. The error wraps ErrCaveats and says
// what they have to be.
func (c Caveats) Check() error {
	_, err := c.ready()
	return err
}

// ready checks c and makes it ready. The error wraps ErrCaveats.
func (c Caveats) ready() (limit, error) {
	l := limit{Caveats: c}
	bad := func(what string, args ...any) (limit, error) {
		return limit{}, fmt.Errorf("%w: "+what, append([]any{ErrCaveats}, args...)...)
	}
	for _, of := range c.texts() {
		if !sound(of.list) {
			return bad("%s: at most %d entries, of 1 to %d printable ASCII characters each, none twice", of.name, MaxList, MaxString)
		}
		if i := slices.IndexFunc(of.list, func(s string) bool { return !of.fits(s) }); i >= 0 {
			return bad("%s: %.80q is not %s", of.name, of.list[i], of.what)
		}
	}
	switch {
	case len(c.Credentials) > MaxList || repeats(c.Credentials):
		return bad("credentials: at most %d, none twice", MaxList)
	case c.NotBefore < 0 || c.NotAfter < 0 || c.NotAfter != 0 && c.NotBefore > c.NotAfter:
		return bad("times: the end lies before the beginning")
	case c.Rate != nil && (c.Rate.Count == 0 || c.Rate.Seconds == 0 || c.Rate.Seconds > 366*24*3600):
		return bad("rate: at least one use, in one second to one year")
	case c.Peer != nil && (len(c.Peer.UIDs)+len(c.Peer.Executables) == 0 || len(c.Peer.UIDs) > MaxList || repeats(c.Peer.UIDs)):
		return bad("peer: it names nobody, too many, or one twice")
	case len(c.Identities) > MaxList || slices.ContainsFunc(c.Identities, func(i Identity) bool { return !i.sound() }):
		return bad("identities: each with an issuer and at least one claim with a value")
	}
	for _, p := range c.Paths {
		pattern, err := pathglob.Compile(p)
		if err != nil {
			return bad("paths: %.80q: %w", p, err)
		}
		l.paths = append(l.paths, pattern)
	}
	for _, n := range c.Networks {
		prefix, err := netip.ParsePrefix(n)
		if err != nil || prefix != prefix.Masked() || prefix.String() != n || prefix.Addr().Is4In6() { // of those, none is asked about
			return bad("networks: %.80q is not as 192.0.2.0/24 or 2001:db8::/32, without bits behind the prefix", n)
		}
		l.networks = append(l.networks, prefix)
	}
	return l, nil
}

// texts is a list of texts in c, and what each entry has to be.
type texts struct {
	name string
	list []string
	fits func(string) bool
	what string
}

func (c Caveats) texts() []texts {
	anything := func(string) bool { return true }
	all := []texts{
		{"kinds", c.Kinds, func(k string) bool { return slices.Contains(kinds, k) }, "one of " + strings.Join(kinds, ", ")},
		{"hosts", c.Hosts, func(h string) bool { return h == strings.ToLower(h) }, "in lower case"},
		{"methods", c.Methods, plainMethod, "a word in upper case"},
		{"scripts", c.Scripts, plainScript, "as script/deploy"},
		{"paths", c.Paths, anything, ""}, {"operations", c.Operations, anything, ""}, {"networks", c.Networks, anything, ""},
	}
	if c.Peer != nil {
		all = append(all, texts{"executables", c.Peer.Executables, func(p string) bool { return path.IsAbs(p) && path.Clean(p) == p }, "an absolute path, without . and .."})
	}
	return all
}

// OnTarget reports whether c limits where a request goes.
func (c Caveats) OnTarget() bool {
	return len(c.Hosts)+len(c.Methods)+len(c.Paths)+len(c.Scripts)+len(c.Operations) > 0
}

func (i Identity) sound() bool {
	if !sound([]string{i.Issuer}) || len(i.Claims) == 0 || len(i.Claims) > MaxList {
		return false
	}
	names := make([]string, len(i.Claims))
	for n, c := range i.Claims {
		if len(c.Values) == 0 || !sound(c.Values) {
			return false
		}
		names[n] = c.Name
	}
	return sound(names)
}

// sound reports whether a list has the right size, holds nothing twice, and each entry
// is printable ASCII.
func sound(list []string) bool {
	for _, s := range list {
		if s == "" || len(s) > MaxString {
			return false
		}
		for i := range len(s) {
			if s[i] < ' ' || s[i] > '~' {
				return false
			}
		}
	}
	return len(list) <= MaxList && !repeats(list)
}

func repeats[T comparable](list []T) bool {
	seen := make(map[T]bool, len(list))
	for _, v := range list {
		if seen[v] {
			return true
		}
		seen[v] = true
	}
	return false
}

func plainMethod(m string) bool {
	for i := range len(m) {
		if m[i] < 'A' || m[i] > 'Z' {
			return false
		}
	}
	return len(m) <= 16
}

func plainScript(s string) bool {
	script, deploy, _ := strings.Cut(s, "/")
	return script != "" && deploy != "" && !strings.ContainsAny(s, " ?&#=%") && !strings.Contains(deploy, "/")
}
