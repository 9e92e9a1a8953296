package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// token runs a command that prints an unlock token, which stays a byte slice.
func (w *demoWorld) token(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	out, err := w.nsagent(ctx, input, args...)
	return bytes.TrimSpace(out), err
}

// grant makes a grant for SuiteQL alone, and sends a query with its token.
func (w *demoWorld) grant(ctx context.Context) (string, error) {
	var err error
	if w.granted, err = w.token(ctx, []byte(w.passphrase+"\n"), "grant", "new", "-p", "demo-sb1", "--ttl", "10m", "--method", "POST", "--path", "/services/rest/query/v1/suiteql", "--passphrase-fd", "0"); err != nil {
		return "", err
	}
	result, err := accepted(w.withGrant(ctx, w.granted, http.MethodPost, demoSuiteQL))
	return "a query within its scope; " + result, err
}

// outOfScope sends what the token is not for.
func (w *demoWorld) outOfScope(ctx context.Context) (string, error) {
	_, err := w.withGrant(ctx, w.granted, http.MethodGet, demoCustomer)
	return refusedWith(err, pb.CodeGrantScope)
}

// narrowed makes a token for one use of the other, without the agent.
func (w *demoWorld) narrowed(ctx context.Context) (string, error) {
	once, err := w.token(ctx, w.granted, "grant", "narrow", "--uses", "1", "--token-file", "-")
	if err != nil {
		return "", err
	}
	result, err := accepted(w.withGrant(ctx, once, http.MethodPost, demoSuiteQL))
	if err != nil {
		return "", err
	}
	_, err = w.withGrant(ctx, once, http.MethodPost, demoSuiteQL)
	again, err := refusedWith(err, pb.CodeGrantScope)
	return "good for one use: " + result + "; " + again, err
}

// whileLocked sends a query with the token while the vault is locked.
func (w *demoWorld) whileLocked(ctx context.Context) (string, error) {
	if _, err := w.nsagent(ctx, nil, "lock"); err != nil {
		return "", err
	}
	result, err := accepted(w.withGrant(ctx, w.granted, http.MethodPost, demoSuiteQL))
	if err == nil {
		_, err = w.send(ctx, "demo-sb1", http.MethodGet, demoCustomer, "", "")
		if !errors.Is(err, client.ErrLocked) {
			return "", unexpected("without a token: %v", err)
		}
		err = nil
	}
	_, unlockErr := w.unlock(ctx)
	return "the token opens its own profile and no other; " + result, errors.Join(err, unlockErr)
}

// revoked revokes the grant while a client with its token is connected.
func (w *demoWorld) revoked(ctx context.Context) (string, error) {
	c, err := w.dialWith(ctx, w.granted)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	token, err := unlocktoken.Parse(w.granted)
	if err != nil {
		return "", err
	}
	defer token.Wipe()
	said, err := token.Chain.Read()
	if err != nil {
		return "", err
	}
	if _, err := w.nsagent(ctx, nil, "grant", "revoke", unlocktoken.GrantName(said.Authority.Grant)); err != nil {
		return "", err
	}
	_, err = c.Sign(ctx, client.Request{Profile: "demo-sb1", Method: http.MethodPost, URL: w.endpoint.URL + demoSuiteQL})
	return refusedWith(err, pb.CodeRevoked)
}

// withGrant sends a request that is signed for who shows a token.
func (w *demoWorld) withGrant(ctx context.Context, token []byte, method, path string) (nstest.Verdict, error) {
	c, err := w.dialWith(ctx, token)
	if err != nil {
		return nstest.Verdict{}, err
	}
	defer func() { _ = c.Close() }()
	signed := &http.Client{Transport: &client.Transport{Client: c, Profile: "demo-sb1", Base: w.web.Transport}}
	body, contentType, header := "", "", http.Header{}
	if method == http.MethodPost {
		body, contentType = `{"q":"SELECT id FROM customer"}`, "application/json"
		header.Set("Prefer", "transient")
	}
	return w.do(ctx, signed, method, path, contentType, body, header)
}

func (w *demoWorld) dialWith(ctx context.Context, token []byte) (*client.Client, error) {
	c, err := client.Dial(ctx, client.WithSocket(filepath.Join(w.dir, "run", "nsagent", "agent.sock")), client.WithUnlockToken(token))
	if err != nil {
		return nil, fmt.Errorf("showing the unlock token: %w", err)
	}
	return c, nil
}
