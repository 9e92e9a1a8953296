package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/go-json-experiment/json"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// demoGrant is what grant new and grant narrow print.
type demoGrant struct {
	ID    string `json:"id"`
	Token string `json:"token"`
}

// printedGrant runs a command that prints a token, as programs read it.
func (w *demoWorld) printedGrant(ctx context.Context, input string, args ...string) (g demoGrant, err error) {
	out, err := w.nsagent(ctx, []byte(input+"\n"), append(args, "-o", "json")...)
	if err != nil {
		return g, err
	}
	err = json.Unmarshal(out, &g)
	return g, err
}

// grant makes a grant for SuiteQL alone, and sends a query with its token.
func (w *demoWorld) grant(ctx context.Context) (string, error) {
	var err error
	if w.granted, err = w.printedGrant(ctx, w.passphrase, "grant", "new", "-p", "demo-sb1", "--ttl", "10m", "--method", "POST", "--path", "/services/rest/query/v1/suiteql", "--passphrase-fd", "0"); err != nil {
		return "", err
	}
	result, err := accepted(w.withGrant(ctx, w.granted.Token, http.MethodPost, demoSuiteQL))
	return "a query within its scope; " + result, err
}

// outOfScope sends what the token is not for.
func (w *demoWorld) outOfScope(ctx context.Context) (string, error) {
	_, err := w.withGrant(ctx, w.granted.Token, http.MethodGet, demoCustomer)
	return refusedWith(err, pb.CodeGrantScope)
}

// narrowed makes a token for one use of the other, without the agent.
func (w *demoWorld) narrowed(ctx context.Context) (string, error) {
	once, err := w.printedGrant(ctx, w.granted.Token, "grant", "narrow", "--uses", "1", "--token-file", "-")
	if err != nil {
		return "", err
	}
	result, err := accepted(w.withGrant(ctx, once.Token, http.MethodPost, demoSuiteQL))
	if err != nil {
		return "", err
	}
	_, err = w.withGrant(ctx, once.Token, http.MethodPost, demoSuiteQL)
	again, err := refusedWith(err, pb.CodeGrantScope)
	return "good for one use: " + result + "; " + again, err
}

// whileLocked sends a query with the token while the vault is locked.
func (w *demoWorld) whileLocked(ctx context.Context) (string, error) {
	if _, err := w.nsagent(ctx, nil, "lock"); err != nil {
		return "", err
	}
	result, err := accepted(w.withGrant(ctx, w.granted.Token, http.MethodPost, demoSuiteQL))
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
	c, err := w.dialWith(ctx, w.granted.Token)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if _, err := w.nsagent(ctx, nil, "grant", "revoke", w.granted.ID); err != nil {
		return "", err
	}
	_, err = c.Sign(ctx, client.Request{Profile: "demo-sb1", Method: http.MethodPost, URL: w.endpoint.URL + demoSuiteQL})
	return refusedWith(err, pb.CodeRevoked)
}

// withGrant sends a request that is signed for who shows a token.
func (w *demoWorld) withGrant(ctx context.Context, token, method, path string) (nstest.Verdict, error) {
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

func (w *demoWorld) dialWith(ctx context.Context, token string) (*client.Client, error) {
	c, err := client.Dial(ctx, client.WithSocket(filepath.Join(w.dir, "run", "nsagent", "agent.sock")), client.WithUnlockToken([]byte(token)))
	if err != nil {
		return nil, fmt.Errorf("showing the unlock token: %w", err)
	}
	return c, nil
}
