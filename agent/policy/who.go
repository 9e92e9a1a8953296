package policy

import (
	"slices"
	"strings"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// Facts are things to know about the process that asks; a set of bits.
type Facts uint8

// The facts. They are evidence and no boundary between programs of one user.
const (
	// FactExe is the path of the executable, FactHash the SHA-256 of what runs.
	FactExe Facts = 1 << iota
	FactHash
	// FactCgroup is the systemd unit and the container.
	FactCgroup
	// FactTTY is whether it has a terminal.
	FactTTY
)

// deleted ends the path of an executable that was removed or replaced.
const deleted = " (deleted)"

// Evidence is what is known about the process that asks.
type Evidence struct {
	// Known says which of the fields mean anything.
	Known Facts
	// Exe is the absolute path of the executable. One that was removed or replaced since
	// ends in " (deleted)".
	Exe string
	// SHA256 is the hash of what runs, in lower-case hex.
	SHA256 string
	// Unit is the systemd unit and Container the name or id of the container; empty:
	// none.
	Unit, Container string
	// TTY says that the process has a controlling terminal.
	TTY bool
}

// Who limits who may ask. Of each list that is not nil one entry must fit.
type Who struct {
	UIDs []uint32
	// Exes are absolute paths, Hashes are SHA-256 in lower-case hex.
	Exes, Hashes []string
	// Units, Containers and Grants are patterns.
	Units, Containers, Grants []pathglob.Word
	// TTY is "yes" or "no"; empty: either.
	TTY string
	// OIDC is an identity; nil: any or none.
	OIDC *Identity
}

// Identity is what an OIDC token must say: its issuer, and of each claim one of the
// values.
type Identity struct {
	Issuer string
	// Claims are ordered by name.
	Claims []Claim
}

// Claim is a claim and the values of which it must have one.
type Claim struct {
	Name   string
	Values []string
}

// asks returns the facts that w needs.
func (w *Who) asks() (f Facts) {
	if w.Exes != nil {
		f |= FactExe
	}
	if w.Hashes != nil {
		f |= FactHash
	}
	if w.Units != nil || w.Containers != nil {
		f |= FactCgroup
	}
	if w.TTY != "" {
		f |= FactTTY
	}
	return f
}

// fits reports how well a comes from w.
func (w *Who) fits(a *Attempt, generous bool) fit {
	f := yes
	if w.UIDs != nil {
		f = min(f, fits(slices.Contains(w.UIDs, a.UID)))
	}
	if w.Grants != nil {
		f = min(f, fits(anyWord(w.Grants, a.Grant)))
	}
	if w.OIDC != nil {
		f = min(f, w.OIDC.fits(a))
	}
	if f == no || w.asks() == 0 {
		return f
	}
	return min(f, w.fitsEvidence(&a.Evidence, generous))
}

// fitsEvidence: what is not known could be anything.
func (w *Who) fitsEvidence(e *Evidence, generous bool) fit {
	f := yes
	if w.asks()&^e.Known != 0 {
		f = unclear
	}
	known := func(fact Facts) bool { return e.Known&fact != 0 }
	switch {
	case w.Exes != nil && known(FactExe) && !w.isExe(e.Exe, generous),
		w.Hashes != nil && known(FactHash) && !slices.Contains(w.Hashes, e.SHA256),
		w.Units != nil && known(FactCgroup) && !anyWord(w.Units, e.Unit),
		w.Containers != nil && known(FactCgroup) && !anyWord(w.Containers, e.Container),
		w.TTY != "" && known(FactTTY) && e.TTY != (w.TTY == "yes"):
		return no
	}
	return f
}

// isExe compares paths of executables. One that was replaced is not taken for the one
// that has its name now, except by a rule that denies.
func (w *Who) isExe(exe string, generous bool) bool {
	return slices.Contains(w.Exes, exe) || generous && slices.Contains(w.Exes, strings.TrimSuffix(exe, deleted))
}

// anyWord reports whether name fits one of words, none of which fits the empty name.
func anyWord(words []pathglob.Word, name string) bool {
	return slices.ContainsFunc(words, func(w pathglob.Word) bool { return w.Match(name) })
}

// fits: a claim that a token of the issuer lacks could be of any value.
func (i *Identity) fits(a *Attempt) fit {
	if a.Issuer != i.Issuer {
		return no
	}
	f := yes
	for _, c := range i.Claims {
		v, ok := a.Claims[c.Name]
		switch {
		case !ok:
			f = unclear
		case !slices.Contains(c.Values, v):
			return no
		}
	}
	return f
}
