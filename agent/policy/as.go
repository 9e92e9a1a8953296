package policy

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// As sets who attempts it, from a list such as "uid=1000,exe=/usr/bin/python3,tty=no": uid,
// exe, exe_sha256, unit, container (empty for none), tty (yes or no), grant, issuer, and
// claim.NAME for a claim of an OIDC token, none twice. What is not said about the process is
// not known.
func (a *Attempt) As(text string) error {
	said := make(map[string]bool)
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return fmt.Errorf("%.60q is no NAME=VALUE", part)
		}
		if said[name] {
			return fmt.Errorf("%.60q is said twice", name)
		}
		said[name] = true
		if err := a.is(name, value); err != nil {
			return err
		}
	}
	if a.Claims != nil && a.Issuer == "" {
		return errors.New("a claim is of an ID token: say of which issuer, by issuer=URL")
	}
	return nil
}

// is sets one thing that is known of who attempts it. A value that nobody has is refused: it
// would match no rule, and look as if it did not.
func (a *Attempt) is(name, value string) error {
	claim, isClaim := strings.CutPrefix(name, "claim.")
	e := &a.Evidence
	switch {
	case name == "uid":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return fmt.Errorf("%.60q is no user ID", value)
		}
		a.UID = uint32(n)
	case name == "exe":
		if path := strings.TrimSuffix(value, deleted); !filepath.IsAbs(path) || filepath.Clean(path) != path {
			return fmt.Errorf("%.60q is no program: it is the absolute path of one, without . and .. in it", value)
		}
		e.Exe, e.Known = value, e.Known|FactExe
	case name == "exe_sha256":
		if !isHash(value) {
			return fmt.Errorf("%.80q is no SHA-256: it is 64 digits of lower-case hex", value)
		}
		e.SHA256, e.Known = value, e.Known|FactHash
	case name == "unit":
		e.Unit, e.Known = value, e.Known|FactCgroup
	case name == "container":
		e.Container, e.Known = value, e.Known|FactCgroup
	case name == "tty":
		yes := value == "yes" || value == "true" // as rules write it
		if !yes && value != "no" && value != "false" {
			return fmt.Errorf("%.60q is neither yes nor no, for tty", value)
		}
		e.TTY, e.Known = yes, e.Known|FactTTY
	case name == "grant":
		if !plainGrant(value) {
			return fmt.Errorf("%.60q is no grant: one is named whole, by g_ and %d letters and digits; see:  nsagent grant ls", value, grantLetters)
		}
		a.Grant = value
	case name == "issuer":
		a.Issuer = value
	case isClaim && claim != "":
		if a.Claims == nil {
			a.Claims = make(map[string]string)
		}
		a.Claims[claim] = value
	default:
		return fmt.Errorf("%.60q is none of uid, exe, exe_sha256, unit, container, tty, grant, issuer, claim.NAME", name+"="+value)
	}
	return nil
}
