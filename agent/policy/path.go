package policy

import (
	"path"
	"strings"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// SuiteQLPath is the path of SuiteQL queries. A query goes there by POST and reads only.
//
// It is compared with the path as signed, byte for byte. What a server may also take
// for it (a dot segment, an encoded letter, a doubled or final slash, a parameter) is
// not it: whoever means SuiteQL has no reason to write it so, and whatever would have
// to be made plain first could be made plain differently at the other end.
//
// Source: NetSuite Help, "Executing SuiteQL Queries Through REST Web Services".
const SuiteQLPath = "/services/rest/query/v1/suiteql"

// tokenEndpoints returns the paths at which NetSuite issues and revokes TBA tokens.
//
// Source: NetSuite Help, "Issue Token and Revoke Token REST Services for Token-based
// Authentication".
func tokenEndpoints() []string {
	return []string{"/rest/issuetoken", "/rest/revoketoken", "/rest/requesttoken", "/rest/accesstoken"}
}

// isTokenEndpoint reports whether a server might take the path, as signed, for one of
// tokenEndpoints, which answer to GET as well. As it denies, it is generous: whatever can
// be read as such a path counts.
func isTokenEndpoint(p string) bool {
	plain, ok := decodeAll(p)
	if !ok {
		return true
	}
	if !mayHoldToken(plain) {
		return false // the way of nearly all requests, without an allocation
	}
	plain = resolve(plain)
	for _, endpoint := range tokenEndpoints() {
		if strings.EqualFold(plain, endpoint) {
			return true
		}
	}
	return false
}

// maxDecoding is how many times over a path may be encoded before it is given up.
const maxDecoding = 3

// decodeAll decodes p until nothing is left to decode. It reports false if that takes
// more than maxDecoding rounds.
func decodeAll(p string) (string, bool) {
	for range maxDecoding + 1 {
		q := pathglob.Decode(p)
		if q == p {
			return p, true
		}
		p = q
	}
	return "", false
}

// resolve makes a decoded path as plain as any server might: backslashes as slashes,
// parameters dropped, doubled slashes and dot segments resolved.
func resolve(p string) string {
	segments := strings.Split(strings.ReplaceAll(p, "\\", "/"), "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return path.Clean("/" + strings.Join(segments, "/"))
}

// mayHoldToken reports whether the word token may be in s, in any case. A few letters
// outside ASCII fold to letters in it, so any such letter counts.
func mayHoldToken(s string) bool {
	const word = "token"
	for i := range len(s) {
		if s[i] >= 0x80 {
			return true
		}
		if s[i]|0x20 == word[0] && len(s)-i >= len(word) && strings.EqualFold(s[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
