package oidc

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of claims.
const (
	maxClaims = 256  // names, flattened
	maxDepth  = 4    // objects in each other
	maxName   = 256  // bytes, flattened
	maxValue  = 1024 // bytes; of a caveat's value there are no more
	maxJTI    = 256  // bytes
)

const (
	// leeway is how far the clocks of issuer and agent may be apart.
	leeway = 60 * time.Second
	// maxLife is the longest that a token may be good for: a job's length at most.
	maxLife = 24 * time.Hour
)

// Identity is what a verified token says.
type Identity struct {
	Issuer string
	// ID is the same for the same token, and for no other.
	ID [32]byte
	// Expires is when the token ends, leeway included: from then on it cannot come again.
	Expires time.Time
	// Claims are texts, whole numbers in decimal, and true or false, by their names. A
	// claim inside another is named by both, with a dot between. Lists, and what is
	// longer than a caveat could name, are left out.
	Claims map[string]string
}

// newIdentity reads the claims of a token that o.issuer signed. The error is a *Refused.
func newIdentity(claims []byte, o opening, audience string, now time.Time) (*Identity, error) {
	c := object(claims)
	jti, iss := text(c["jti"]), text(c["iss"])
	switch {
	case c == nil:
		return nil, refuse(ErrClaims, "they are no JSON object, or name something twice")
	case iss != o.issuer:
		return nil, refuse(ErrIssuer, "its claims name another issuer")
	case !only(c["aud"], audience):
		return nil, refuse(ErrAudience, "it is not for this vault alone: ask for one with the audience "+audience)
	case jti == "" || len(jti) > maxJTI:
		return nil, refuse(ErrClaims, "without a jti it could be used again and again")
	}
	expires, err := times(c, now)
	if err != nil {
		return nil, err
	}
	id := &Identity{Issuer: iss, Expires: expires.Add(leeway), Claims: make(map[string]string)}
	id.ID = sha256.Sum256(fmt.Appendf(nil, "nsagent/v1 id token\x00%d\x00%s%s", len(iss), iss, jti))
	if !id.flatten("", c, 1) {
		return nil, refuse(ErrClaims, "there are too many, or two come to the same name")
	}
	if err := id.checkNumbers(); err != nil {
		return nil, err
	}
	return id, nil
}

// only reports whether v is the text want, or a list of it alone.
func only(v jsontext.Value, want string) bool {
	if v.Kind() == '[' {
		var list []string
		return json.Unmarshal(v, &list) == nil && len(list) == 1 && list[0] == want
	}
	return text(v) == want
}

// times checks exp, iat and nbf, in whole Unix seconds, of which nbf may be missing.
func times(c map[string]jsontext.Value, now time.Time) (expires time.Time, err error) {
	exp, ok1 := instant(c["exp"])
	iat, ok2 := instant(c["iat"])
	nbf, ok3 := instant(c["nbf"])
	switch {
	case !ok1 || !ok2 || !ok3 && c["nbf"] != nil:
		return expires, refuse(ErrTime, "it does not say when it was made and when it ends")
	case now.After(exp.Add(leeway)):
		return expires, refuse(ErrTime, "it ended at "+exp.Format(time.RFC3339)+": get one right before its use")
	case now.Before(iat.Add(-leeway)) || ok3 && now.Before(nbf.Add(-leeway)):
		return expires, refuse(ErrTime, "it is from the future: look at the clock of this machine")
	case exp.Before(iat) || exp.Sub(iat) > maxLife:
		return expires, refuse(ErrTime, "it is good for longer than "+maxLife.String())
	}
	return exp, nil
}

// instant reads whole Unix seconds, in this millennium.
func instant(v jsontext.Value) (time.Time, bool) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return time.Unix(n, 0).UTC(), err == nil && n > 0 && n < 32503680000
}

// flatten takes over the claims of an object. It is false where there are too many, or
// two have one name.
func (id *Identity) flatten(prefix string, o map[string]jsontext.Value, depth int) bool {
	for name, v := range o {
		name = prefix + name
		value, ok := "", false
		switch v.Kind() {
		case '"':
			value, ok = text(v), true
		case '0':
			_, err := strconv.ParseInt(string(v), 10, 64)
			value, ok = string(v), err == nil
		case 't', 'f':
			value, ok = string(v), true
		case '{':
			if depth == maxDepth || !id.flatten(name+".", object(v), depth+1) {
				return false
			}
		}
		if !ok || len(value) > maxValue || len(name) > maxName {
			continue
		}
		if _, again := id.Claims[name]; again || len(id.Claims) == maxClaims {
			return false
		}
		id.Claims[name] = value
	}
	return true
}
