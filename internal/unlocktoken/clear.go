package unlocktoken

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Request is one attempt, as far as caveats speak of it. What is not known is left zero,
// and a caveat on it then refuses.
type Request struct {
	Time       int64 // Unix seconds
	Credential ID
	Kind       string // see Caveats.Kinds
	Host       string // lower case
	Method     string // upper case
	Path       string // as signed
	Script     string // "script/deploy"; empty: no RESTlet
	Operation  string // SOAP
	Address    netip.Addr
	// Issuer and Claims are those of a verified OIDC token.
	Issuer string
	Claims map[string]string
	// UID and Executable are the peer's; UID is meant only if HasPeer is set.
	HasPeer    bool
	UID        uint32
	Executable string
}

// Within returns what g and other, which have one authority block, allow both, with the
// credentials alone that are named: the blocks of g, then those of other that g does not have.
func (g *Grant) Within(other *Grant, credentials []ID) *Grant {
	both := &Grant{Authority: g.Authority, AuthorityHash: g.AuthorityHash, limits: slices.Clone(g.limits), subjects: slices.Clone(g.subjects)}
	for i, subject := range other.subjects {
		if !slices.Contains(g.subjects, subject) {
			both.limits, both.subjects = append(both.limits, other.limits[i]), append(both.subjects, subject)
		}
	}
	only := limit{Caveats: Caveats{Credentials: credentials}}
	both.limits, both.subjects = append(both.limits, only), append(both.subjects, [32]byte{})
	return both
}

// Counter is a limit that whoever keeps count has to check: Uses in all, and Rate, each
// without limit where zero or nil.
type Counter struct {
	// Subject names the block that limits, the same in every presentation.
	Subject [32]byte
	Uses    uint64
	Rate    *Rate
}

// Counters returns the limits of g that need a count.
func (g *Grant) Counters() []Counter {
	var all []Counter
	for i, l := range g.limits {
		if l.Uses != 0 || l.Rate != nil {
			all = append(all, Counter{Subject: g.subjects[i], Uses: l.Uses, Rate: l.Rate})
		}
	}
	return all
}

// NotAfter returns the last second at which the grant is good for anything.
func (g *Grant) NotAfter() int64 {
	end := g.Caveats.NotAfter
	for _, l := range g.limits {
		if l.NotAfter != 0 {
			end = min(end, l.NotAfter)
		}
	}
	return end
}

// NotBefore returns the first second at which the grant is good for anything, or 0.
func (g *Grant) NotBefore() int64 {
	var begin int64
	for _, l := range g.limits {
		begin = max(begin, l.NotBefore)
	}
	return begin
}

// Clear returns nil where every caveat of every block holds for r; else a *Refused that
// names the first that does not. Uses and rates are the caller's to count.
func (g *Grant) Clear(r Request) error {
	if len(g.limits) == 0 {
		return refused("not_after", "it is no verified grant")
	}
	for i := range g.limits {
		if err := g.limits[i].clear(&r); err != nil {
			if err.Why == "" {
				err.Why = "it allows " + g.targets()
			}
			return err
		}
	}
	return nil
}

// targets says where requests may go: to what the first block that limits it names, and of
// that to what the next one names.
func (g *Grant) targets() string {
	var all []string
	for i := range g.limits {
		if l := &g.limits[i]; l.OnTarget() {
			all = append(all, l.target())
		}
	}
	return strings.Join(all, ", and of that ")
}

// target says where requests may go, such as "POST /services/rest/query/v1/suiteql".
func (l *limit) target() string {
	var parts []string
	for _, p := range []struct {
		before string
		list   []string
	}{{"", l.Methods}, {"", l.Paths}, {"at ", l.Hosts}, {"RESTlet ", l.Scripts}, {"SOAP ", l.Operations}} {
		if p.list != nil {
			parts = append(parts, p.before+listed(p.list))
		}
	}
	return strings.Join(parts, " ")
}

// clear returns nil where every caveat of the block holds; Why is empty of one that limits
// where requests go.
func (l *limit) clear(r *Request) *Refused {
	switch {
	case l.NotBefore != 0 && r.Time < l.NotBefore:
		return refused(CaveatNotBefore, "it begins at "+instant(l.NotBefore))
	case l.NotAfter != 0 && r.Time > l.NotAfter:
		return refused("not_after", "it ended at "+instant(l.NotAfter))
	case !l.covers(r.Credential):
		return refused("credentials", "it is for other profiles")
	case l.Kinds != nil && !slices.Contains(l.Kinds, r.Kind):
		return refused("kinds", "it allows "+listed(l.Kinds))
	case l.OnTarget() && r.Kind != "sign" && r.Kind != "send":
		return refused("kinds", "it limits where requests go, and so allows sign and send only")
	case l.Hosts != nil && !slices.Contains(l.Hosts, r.Host):
		return refused("hosts", "")
	case l.Methods != nil && !slices.Contains(l.Methods, r.Method):
		return refused("methods", "")
	case l.paths != nil && !l.fitsPath(r.Path):
		return refused("paths", "")
	case l.Scripts != nil && !slices.Contains(l.Scripts, r.Script):
		return refused("scripts", "")
	case l.Operations != nil && !slices.Contains(l.Operations, r.Operation):
		return refused("operations", "")
	case l.networks != nil && !l.inNetwork(r.Address):
		return refused("networks", "it allows requests from "+listed(l.Networks)+", and "+whence(r.Address))
	case l.Identities != nil && !slices.ContainsFunc(l.Identities, func(i Identity) bool { return i.is(r) }):
		return refused(CaveatIdentities, "it is for a job that shows another identity")
	case l.Peer != nil && !l.Peer.is(r):
		return refused("peer", "it is for another process")
	}
	return nil
}

// covers reports whether the block leaves the credential in.
func (l *limit) covers(id ID) bool { return l.Credentials == nil || slices.Contains(l.Credentials, id) }

func (l *limit) fitsPath(path string) bool {
	for _, p := range l.paths {
		if p.Match(path) {
			return true
		}
	}
	return false
}

func (l *limit) inNetwork(a netip.Addr) bool {
	return slices.ContainsFunc(l.networks, func(n netip.Prefix) bool { return n.Contains(a.Unmap()) })
}

// whence says where a request comes from.
func whence(a netip.Addr) string {
	if !a.IsValid() {
		return "a Unix socket tells no address, so that none is allowed there"
	}
	return "this one comes from " + a.String()
}

func (i Identity) is(r *Request) bool {
	if r.Issuer != i.Issuer {
		return false
	}
	for _, c := range i.Claims {
		if !slices.Contains(c.Values, r.Claims[c.Name]) { // no value is empty
			return false
		}
	}
	return true
}

func (p *Peer) is(r *Request) bool {
	if !r.HasPeer || len(p.UIDs) > 0 && !slices.Contains(p.UIDs, r.UID) {
		return false
	}
	return len(p.Executables) == 0 || slices.Contains(p.Executables, r.Executable)
}

func refused(caveat, why string) *Refused { return &Refused{Caveat: caveat, Why: why} }

func instant(t int64) string { return time.Unix(t, 0).UTC().Format(time.RFC3339) }

// listed returns a list for people, cut where it is long.
func listed(l []string) string {
	const most = 4
	if len(l) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(l[:most], ", "), len(l)-most)
	}
	return strings.Join(l, ", ")
}
