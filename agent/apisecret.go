package agent

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/nsagent/nsagent/internal/pattern"
	"github.com/nsagent/nsagent/vault"
)

// An API secret is kept for hosts and a header of its own. There is no call that
// gives it out or makes anything from it: it is for the gateway, which puts it into
// requests to those hosts.

// Limits of an API secret.
const (
	maxValueChars = 1_000_000 // as NetSuite's own
	maxHosts      = 16
)

var (
	hostName   = pattern.New(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	headerName = pattern.New("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
)

// checkSecret checks the public part of an API secret.
func (p *profile) checkSecret() error {
	if len(p.Hosts) == 0 {
		return credential("hosts are missing", "a secret goes to the hosts that are listed, and to no other")
	}
	if len(p.Hosts) > maxHosts {
		return credential("there are too many hosts", fmt.Sprintf("at most %d", maxHosts))
	}
	for i, h := range p.Hosts {
		if _, err := netip.ParseAddr(h); len(h) > 253 || !hostName().MatchString(h) || err == nil {
			return credential(fmt.Sprintf("%.80q is not a host", h), "write it in lower case, without scheme, port, path or trailing dot, such as sftp.example.com")
		}
		if slices.Contains(p.Hosts[:i], h) {
			return credential(fmt.Sprintf("host %.80q is given twice", h), "")
		}
	}
	if p.Header != "" && !headerName().MatchString(p.Header) {
		return credential("header is not the name of an HTTP header", "such as Authorization")
	}
	if p.Expires < 0 {
		return credential("expires is out of range", "")
	}
	return nil
}

// valueForm is what is known of a value without looking at it again.
type valueForm struct {
	chars   int
	control bool // it has a byte that no HTTP header may have
}

// add looks at the next piece of a value.
func (f *valueForm) add(p []byte) {
	for _, c := range p {
		if c&0xC0 != 0x80 { // the first byte of a character
			f.chars++
		}
		f.control = f.control || c < ' ' && c != '\t' || c == 0x7f
	}
}

// fits returns an error for a value that p cannot keep.
func (f valueForm) fits(p *profile) error {
	switch {
	case f.chars > maxValueChars:
		return credential("value is too long", fmt.Sprintf("at most %d characters", maxValueChars))
	case p.Header != "" && f.control:
		return credential("value has a line end or control character", "an HTTP header cannot have one; leave header out, or take it off")
	}
	return nil
}

// newSecret makes the stored form of an API secret. What unlocking opens is random
// and says nothing of it; the value is what is opened only to be used.
func (a *Agent) newSecret(p *profile, got *secrets) (m material, err error) {
	if u := got.long; u != nil {
		if err := u.form.fits(p); err != nil {
			return material{}, err
		}
		m.long, u.value = u.value, vault.Value{}
	} else {
		var f valueForm
		b := got.fields["value"]
		if err := b.Use(func(v []byte) error { f.add(v); return nil }); err != nil {
			return material{}, err
		}
		if b.Len() == 0 {
			return material{}, credential("value is missing", "")
		}
		if err := f.fits(p); err != nil {
			return material{}, err
		}
		if m.raw, err = a.arena.Clone(b); err != nil {
			return material{}, err
		}
	}
	if m.signOnly, err = a.arena.Random(secretTag); err != nil {
		m.destroy()
		return material{}, err
	}
	return m, nil
}

// secretTag is the length of the sign-only part of an API secret.
const secretTag = 32
