package agent

import (
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/granttest"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// mint puts a grant into the vault of f, and returns a token of it.
func (f *fixture) mint(limits unlocktoken.Caveats, profiles ...string) *unlocktoken.Token {
	f.t.Helper()
	token, err := granttest.Mint(f.t.Context(), f.paths, testPassphrase, limits, profiles...)
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// dialWith connects and shows a token; refused is the error where it is not taken.
func (f *fixture) dialWith(token *unlocktoken.Token) (c *client.Client, refused error) {
	f.t.Helper()
	c, err := client.Dial(f.t.Context(), client.WithSocket(f.paths.Agent), client.WithUnlockToken(token.Text()))
	if err != nil {
		return nil, err
	}
	f.t.Cleanup(func() { _ = c.Close() })
	return c, nil
}

// show connects and shows a token, which must be taken.
func (f *fixture) show(token *unlocktoken.Token) *client.Client {
	f.t.Helper()
	c, err := f.dialWith(token)
	if err != nil {
		f.t.Fatalf("showing a token: %v", err)
	}
	return c
}
