package unlocktoken

import (
	"encoding/base32"
	"strings"
)

// namePrefix starts the name of a grant.
const namePrefix = "g_"

var nameEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// GrantName returns the name of a grant for people, logs and commands: "g_" and 26
// characters of lower-case base32 (RFC 4648), without padding.
func GrantName(id ID) string { return namePrefix + strings.ToLower(nameEncoding.EncodeToString(id[:])) }

// ShortestName is the shortest start of a grant's name that stands for it.
const ShortestName = 6

// Covers reports whether no block leaves the credential out.
func (g *Grant) Covers(credential ID) bool {
	for i := range g.limits {
		if !g.limits[i].covers(credential) {
			return false
		}
	}
	return len(g.limits) > 0
}
