package oidc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// CheckRefs returns an error wrapping ErrConfig for an identity of a branch or tag that there
// cannot be, or that the tokens of its service write in another way. No job would have it.
func CheckRefs(i unlocktoken.Identity) error {
	for _, c := range i.Claims {
		if !slices.Contains([]string{"ref", "ref_path", "base_ref", "head_ref"}, c.Name) {
			continue
		}
		for _, v := range c.Values {
			if !soundRef(v) {
				return fmt.Errorf("%w: git lets no branch and no tag be called %.80q; they are compared as a whole, and no * stands for others", ErrConfig, v)
			}
			for n, s := range services() {
				if i.Issuer == Presets()[n].URL && c.Name == s.ref && !strings.HasPrefix(v, "refs/") {
					return fmt.Errorf("%w: %s calls a branch refs/heads/%.80s in %s, and none %.80q", ErrConfig, s.name, v, s.ref, v)
				}
			}
		}
	}
	return nil
}

// soundRef reports whether git allows the name of a branch, tag or other ref.
//
// Source: git-check-ref-format(1).
func soundRef(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r) }) &&
		!strings.HasSuffix(name, ".") && !strings.Contains(name, "..") && !strings.Contains(name, "@{")
}
