package agent

import (
	"encoding/base64"
	"fmt"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/signer"
)

// formField is a name and a value of a form; the value is secret or plain.
type formField struct {
	name   string
	plain  string
	secret secret.Bytes
}

// form returns an application/x-www-form-urlencoded body in locked memory. Fields without
// a value are left out. The caller destroys it.
func (a *Agent) form(fields ...formField) (secret.Bytes, error) {
	size := 0
	for _, f := range fields {
		size += 3*(len(f.plain)+f.secret.Len()) + len(f.name) + 2
	}
	return a.compose(size, func(p []byte) ([]byte, error) {
		for _, f := range fields {
			if f.plain == "" && f.secret.IsZero() {
				continue
			}
			if len(p) > 0 {
				p = append(p, '&')
			}
			p = append(append(p, f.name...), '=')
			if f.secret.IsZero() {
				p = signer.AppendEncoded(p, f.plain)
				continue
			}
			err := f.secret.Use(func(s []byte) error {
				p = signer.AppendEncoded(p, s)
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		return p, nil
	})
}

// basic returns the value of an Authorization header that gives id and password; the zero
// password is the empty one. The caller destroys it.
//
// Source: RFC 7617; NetSuite Help, "POST Request to the Token Endpoint".
func (a *Agent) basic(id string, password secret.Bytes) (secret.Bytes, error) {
	pair, err := a.compose(len(id)+1+password.Len(), func(p []byte) ([]byte, error) {
		p = append(append(p, id...), ':')
		if password.IsZero() {
			return p, nil
		}
		err := password.Use(func(s []byte) error {
			p = append(p, s...)
			return nil
		})
		return p, err
	})
	if err != nil {
		return secret.Bytes{}, err
	}
	defer pair.Destroy()
	const scheme = "Basic "
	return a.compose(len(scheme)+base64.StdEncoding.EncodedLen(pair.Len()), func(p []byte) ([]byte, error) {
		p = append(p, scheme...)
		err := pair.Use(func(s []byte) error {
			p = base64.StdEncoding.AppendEncode(p, s)
			return nil
		})
		return p, err
	})
}

// bearer returns the value of an Authorization header for an access token. The caller
// destroys it.
//
// Source: RFC 6750 section 2.1.
func (a *Agent) bearer(token secret.Bytes) (secret.Bytes, error) {
	const scheme = "Bearer "
	return a.compose(len(scheme)+token.Len(), func(p []byte) ([]byte, error) {
		p = append(p, scheme...)
		err := token.Use(func(s []byte) error {
			p = append(p, s...)
			return nil
		})
		return p, err
	})
}

// compose returns what fill appends to an empty slice of size bytes of locked memory.
func (a *Agent) compose(size int, fill func(p []byte) ([]byte, error)) (secret.Bytes, error) {
	b, err := a.arena.Alloc(size)
	if err != nil {
		return secret.Bytes{}, err
	}
	n := 0
	err = b.Use(func(p []byte) error {
		var out []byte
		var err error
		secret.Do(func() { out, err = fill(p[:0:size]) }) // as secret.Copy
		if err != nil {
			return err
		}
		if n = len(out); n > size {
			return fmt.Errorf("composing %d bytes in %d of locked memory: %w", n, size, secret.ErrLength)
		}
		return nil
	})
	if err == nil {
		err = b.Truncate(n)
	}
	if err != nil {
		b.Destroy()
		return secret.Bytes{}, err
	}
	return b, nil
}
