package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/nsagent/nsagent/internal/secret"
)

// secretFields are the keys of a profile's JSON whose values never become Go
// strings.
var secretFields = map[string]bool{"consumer_secret": true, "token_secret": true, "private_key": true, "client_secret": true, "value": true}

// parseDraft reads the JSON object of a profile. It is strict: unknown, duplicate
// and case-variant keys are refused. Secrets go from text to the arena, byte by
// byte; no error repeats a value.
func parseDraft(arena *secret.Arena, text secret.Bytes) (*draft, error) {
	d := newDraft()
	err := text.Use(func(p []byte) error {
		// The decoder reads a bytes.Buffer in place and copies no value.
		dec := jsontext.NewDecoder(bytes.NewBuffer(p), jsontext.AllowDuplicateNames(false))
		return d.parse(arena, dec)
	})
	if err != nil {
		d.destroy()
		return nil, err
	}
	return d, nil
}

func (d *draft) parse(arena *secret.Arena, dec *jsontext.Decoder) error {
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return malformed(dec, err, "it is not a JSON object")
	}
	for dec.PeekKind() != '}' {
		tok, err := dec.ReadToken()
		if err != nil || tok.Kind() != '"' {
			return malformed(dec, err, "a key is not well-formed")
		}
		key := tok.String()
		value, err := dec.ReadValue()
		if err != nil {
			return malformed(dec, err, "a value is not well-formed")
		}
		if err := d.set(arena, key, value); err != nil {
			return err
		}
		d.given = append(d.given, key)
	}
	if _, err := dec.ReadToken(); err != nil {
		return malformed(dec, err, "it is not well-formed")
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return malformed(dec, nil, "something follows the object")
	}
	return nil
}

// malformed says where the JSON is wrong; why speaks where the parser's own error
// says nothing better. It never repeats a value.
func malformed(dec *jsontext.Decoder, err error, why string) error {
	switch {
	case errors.Is(err, io.EOF):
		why = "it is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		why = "it ends too early"
	case errors.Is(err, jsontext.ErrDuplicateName):
		why = "a key is repeated"
	}
	return usage("the profile is not the JSON that is expected", fmt.Sprintf("%s (at byte %d)", why, dec.InputOffset()), "see:  nsagent profile add --help")
}

// set stores one value.
func (d *draft) set(arena *secret.Arena, key string, v jsontext.Value) error {
	if secretFields[key] {
		return d.setSecret(arena, key, v)
	}
	p := d.profile
	public := map[string]*string{
		"account": &p.Account, "auth": &p.Auth, "access": &p.Access, "owner": &p.Owner, "note": &p.Note,
		"endpoint": &p.Endpoint, "ca_file": &d.caFile, "consumer_key": &p.ConsumerKey, "token_id": &p.TokenId,
		"client_id": &p.ClientId, "certificate_id": &p.CertificateId, "certificate": &p.Certificate, "alg": &p.Alg, "header": &p.Header,
		"redirect_uri": &p.RedirectUri,
	}
	if to, ok := public[key]; ok {
		return text(to, key, v)
	}
	switch key {
	case "scopes":
		return setList(&p.Scopes, key, v)
	case "hosts":
		return setList(&p.Hosts, key, v)
	case "expires":
		return setDay(&p.ExpiresAt, key, v)
	}
	if other := caseVariant(key, public); other != "" {
		return usage(fmt.Sprintf("unknown key %.40q in the profile", key), "keys are written in lower case: "+other, "")
	}
	return usage(fmt.Sprintf("unknown key %.40q in the profile", key), "no kind of profile has it", "see:  nsagent profile add --help")
}

func caseVariant(key string, public map[string]*string) string {
	folded := string(bytes.ToLower([]byte(key)))
	if _, ok := public[folded]; ok || secretFields[folded] || folded == "scopes" || folded == "hosts" || folded == "expires" {
		return folded
	}
	return ""
}

// text reads a string or null into to.
func text(to *string, key string, v jsontext.Value) error {
	switch v.Kind() {
	case 'n':
		return nil
	case '"':
		b, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return usage(key+" is not a well-formed string", "an escape in it is none of JSON's, or a character is not UTF-8", "")
		}
		*to = strings.TrimSpace(string(b))
		return nil
	default:
		return usage(key+" is not a string", "what it takes stands in quotes", "see:  nsagent profile add --help")
	}
}

// setList reads a list of strings or null.
func setList(to *[]string, key string, v jsontext.Value) error {
	if v.Kind() == 'n' {
		return nil
	}
	wrong := usage(key+" is not a list of strings", `it looks like ["first", "second"]`, "see:  nsagent profile add --help")
	dec := jsontext.NewDecoder(bytes.NewBuffer(v))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '[' {
		return wrong
	}
	for dec.PeekKind() != ']' {
		tok, err := dec.ReadToken()
		if err != nil || tok.Kind() != '"' {
			return wrong
		}
		*to = append(*to, tok.String())
	}
	return nil
}

// setDay reads a day or an instant, or null. A day ends a secret as it begins, in
// UTC.
func setDay(to *int64, key string, v jsontext.Value) error {
	var s string
	if err := text(&s, key, v); err != nil || s == "" {
		return err
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			*to = t.Unix()
			return nil
		}
	}
	return usage(key+" is not a day", "it looks like 2027-03-01, or 2027-03-01T12:00:00Z", "")
}

// setSecret decodes a string into the arena.
func (d *draft) setSecret(arena *secret.Arena, key string, v jsontext.Value) error {
	if v.Kind() == 'n' {
		return nil
	}
	if v.Kind() != '"' {
		return usage(key+" is not a string", "what it takes stands in quotes", "see:  nsagent profile add --help")
	}
	// Decoding never lengthens: an escape takes more bytes than what it stands for.
	b, err := arena.Alloc(max(len(v), 1))
	if err != nil {
		return err
	}
	n := 0
	err = b.Use(func(p []byte) error {
		out, err := jsontext.AppendUnquote(p[:0], v)
		n = len(out)
		return err
	})
	if err == nil {
		err = b.Truncate(n)
	}
	if err != nil {
		b.Destroy()
		return usage(key+" is not a well-formed string", "an escape in it is none of JSON's, or a character is not UTF-8", "")
	}
	d.secrets[key] = b
	return nil
}
