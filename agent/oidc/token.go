package oidc

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	stdjson "encoding/json"

	coreos "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/nsagent/nsagent/internal/secret"
)

// MaxToken is the most bytes of a token. Those of GitHub and GitLab have 1 to 3 KiB.
const MaxToken = 16 << 10

// opening is what a token says before anything of it is believed.
type opening struct {
	issuer string
	key    keyName
}

// useText gives f the text of a token: without the line ends behind it, which programs that
// write one to a file leave there.
func useText(token secret.Bytes, f func([]byte) error) error {
	return token.Use(func(p []byte) error { return f(bytes.TrimRight(p, "\r\n")) })
}

// peek reads who should have signed the token, in order to find the key. The error is a
// *Refused, or one of the arena.
func peek(token secret.Bytes) (opening, error) {
	if n := token.Len(); n == 0 || n > MaxToken {
		return opening{}, refuse(ErrFormat, "it is empty, or longer than any")
	}
	var header, claims []byte
	err := useText(token, func(p []byte) error {
		parts := bytes.Split(p, []byte("."))
		signed := false
		if len(parts) == 3 {
			header, claims = decoded(parts[0]), decoded(parts[1])
			secret.Do(func() { signed = len(decoded(parts[2])) > 0 })
		}
		if !signed {
			return refuse(ErrFormat, "it is no signed token in compact form")
		}
		return nil
	})
	if err != nil {
		return opening{}, err
	}
	h, c := object(header), object(claims)
	o := opening{issuer: text(c["iss"]), key: keyName{text(h["kid"]), text(h["alg"])}}
	switch {
	case h == nil || c == nil:
		return opening{}, refuse(ErrFormat, "its header or its claims are no JSON object, or name something twice")
	case o.key.alg != coreos.RS256 && o.key.alg != coreos.ES256:
		return opening{}, refuse(ErrFormat, "it is not signed with RS256 or ES256")
	case o.key.id == "" || len(o.key.id) > maxKeyID:
		return opening{}, refuse(ErrFormat, "it does not name the key that signed it")
	case h["crit"] != nil || h["b64"] != nil:
		return opening{}, refuse(ErrFormat, "its header demands what is not known")
	}
	return o, nil
}

// verify checks signature and issuer, and returns the claims as JSON. What holds the whole
// token meanwhile lies where secret.Do erases it. The error is a *Refused.
func verify(token secret.Bytes, o opening, key crypto.PublicKey) ([]byte, error) {
	v := coreos.NewVerifier(o.issuer, &coreos.StaticKeySet{PublicKeys: []crypto.PublicKey{key}}, &coreos.Config{
		SupportedSigningAlgs: []string{o.key.alg},
		// Audience and times are looked at with the other claims: more strictly than there.
		SkipClientIDCheck: true, SkipExpiryCheck: true,
	})
	var claims stdjson.RawMessage
	err := useText(token, func(p []byte) error {
		var err error
		secret.Do(func() {
			var verified *coreos.IDToken
			if verified, err = v.Verify(context.Background(), string(p)); err == nil {
				err = verified.Claims(&claims)
			}
		})
		return err
	})
	if err != nil { // its text may quote the token
		return nil, refuse(ErrSignature, "its issuer's key did not sign it")
	}
	return bytes.Clone(claims), nil
}

// decoded returns a part of a token; nil where it is not in the one form of base64url that
// it has. Decoders pass over line ends, and the odd bits at the end are anybody's.
func decoded(part []byte) []byte {
	if bytes.ContainsAny(part, "\r\n") {
		return nil
	}
	b, err := base64.RawURLEncoding.Strict().AppendDecode(nil, part)
	if err != nil {
		return nil
	}
	return b
}

// object reads a JSON object in which no name is there twice, at any depth; nil: it is
// none.
func object(b []byte) map[string]jsontext.Value {
	var o map[string]jsontext.Value
	if json.Unmarshal(b, &o) != nil {
		return nil
	}
	return o
}

// text returns a JSON string; empty where v is none.
func text(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(b)
}
