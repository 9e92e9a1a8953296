package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// tokenText returns a token of d for these profiles as text.
func (d *daemon) tokenText(t *testing.T, profiles ...string) []byte {
	t.Helper()
	token, err := d.mint(t.Context(), unlocktoken.Caveats{}, profiles...)
	if err != nil {
		t.Fatal(err)
	}
	return token.Text()
}

// Every connection has the token's right, also the one after a restart of the agent, over
// each way to sign.
func TestTokenOnEveryConnection(t *testing.T) {
	d := startDaemon(t)
	c, err := client.Dial(t.Context(), client.WithSocket(d.socket()), client.WithUnlockToken(d.tokenText(t, "acme-sb1")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ask := func(when string) {
		t.Helper()
		if _, err := c.Sign(t.Context(), client.Request{Profile: "acme-sb1", URL: "https://1234567-sb1.suitetalk.api.netsuite.com/x"}); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if _, err := c.Sign(t.Context(), client.Request{Profile: "acme-sb1-m2m", URL: "https://1234567-sb1.suitetalk.api.netsuite.com/x"}); !errors.Is(err, client.ErrGrantScope) {
			t.Errorf("%s, outside: got %v", when, err)
		}
		l, err := c.Profiles(t.Context())
		if err != nil || len(l.GetProfiles()) != 1 {
			t.Errorf("%s: got %v, %v", when, l, err)
		}
	}
	ask("at first")
	for range 3 {
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		d.mustStart(t)
		ask("after a restart, locked")
	}
	d.mustUnlock(t)
	ask("unlocked again")
}

// A program that has a token and loses the agent to one that does not take it gets nothing:
// it never falls back to the right of its user.
func TestTokenIsNeverLeftOut(t *testing.T) {
	d := startDaemon(t)
	other := startDaemon(t)
	c, err := client.Dial(t.Context(), client.WithSocket(d.socket()), client.WithUnlockToken(d.tokenText(t, "acme-sb1")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.Rename(other.socket(), d.socket()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sign(t.Context(), client.Request{Profile: "acme-sb1", URL: "https://1234567-sb1.suitetalk.api.netsuite.com/x"}); !errors.Is(err, client.ErrGrant) {
		t.Errorf("by the agent of another vault: got %v", err)
	}
}

func TestBadTokenText(t *testing.T) {
	d := shared(t).agent
	for name, c := range map[string]struct{ text, why string }{
		"empty": {"", "it is empty"}, "cut": {string(d.tokenText(t, "acme-sb1")[:200]), "checksum"},
		"something else": {"ghp_0123456789", "does not start with nst1_"}, "only a prefix": {"nst1_", "too short"},
	} {
		_, err := client.Dial(t.Context(), client.WithSocket(d.socket()), client.WithUnlockToken([]byte(c.text)))
		if !errors.Is(err, client.ErrGrant) || !strings.Contains(err.Error(), c.why) || len(c.text) > 10 && strings.Contains(err.Error(), c.text[5:]) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A token that opens nothing any more is refused at Dial, as what it is.
func TestForeignToken(t *testing.T) {
	d, other := shared(t).agent, startDaemon(t)
	_, err := client.Dial(t.Context(), client.WithSocket(d.socket()), client.WithUnlockToken(other.tokenText(t, "acme-sb1")))
	if !errors.Is(err, client.ErrGrant) || !strings.Contains(err.Error(), "another vault") {
		t.Errorf("got %v", err)
	}
}

const roleEnvironment = "token-from-environment"

// environmentRole is what this test binary does when it is run as a child of
// TestTokenFromTheEnvironment: it uses the environment's token and says what a child of
// its own would inherit.
func environmentRole() error {
	ctx := context.Background()
	fmt.Println("named", client.UnlockTokenNamed())
	for range 2 { // the second Dial has the token as well
		c, err := client.Dial(ctx)
		if err != nil {
			return err
		}
		l, err := c.Profiles(ctx)
		if err != nil {
			return err
		}
		fmt.Println(len(l.GetProfiles()))
		_ = c.Close()
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "NSAGENT_TOKEN") {
			fmt.Println(v)
		}
	}
	return nil
}

func TestTokenFromTheEnvironment(t *testing.T) {
	d := shared(t).agent
	text := d.tokenText(t, "acme-sb1")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(env ...string) (string, error) {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		c := exec.Command(self, roleEnvironment) // #nosec G204 -- this test
		c.Env = append(append(os.Environ(), "NSAGENT_SOCK="+d.socket(), "HOME=/"), env...)
		c.ExtraFiles = []*os.File{f}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for _, v := range []string{"NSAGENT_TOKEN=" + string(text), "NSAGENT_TOKEN=" + string(text) + "\r\n", "NSAGENT_TOKEN_FILE=" + file, "NSAGENT_TOKEN_FD=3"} {
		if out, err := run(v); err != nil || out != "named true\n1\n1\n" {
			t.Errorf("%.20s: got %q, %v", v, out, err)
		}
	}
	if out, err := run(); err != nil || !strings.HasPrefix(out, "named false\n") {
		t.Errorf("no token: got %q, %v", out, err)
	}
	nothing, longer := filepath.Join(t.TempDir(), "nothing"), filepath.Join(t.TempDir(), "longer")
	for name, b := range map[string][]byte{nothing: nil, longer: make([]byte, unlocktoken.MaxText+10)} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"empty":             {[]string{"NSAGENT_TOKEN="}, "NSAGENT_TOKEN is set, and empty: the job has no such secret [NSA-LOCKED]"},
		"a fork's job":      {[]string{"NSAGENT_TOKEN=", "GITHUB_EVENT_NAME=pull_request"}, "empty: GitHub does not pass secrets to workflows from forks, nor to Dependabot's [NSA-LOCKED]"},
		"no name":           {[]string{"NSAGENT_TOKEN_FILE="}, "NSAGENT_TOKEN_FILE is set, and empty"},
		"no file":           {[]string{"NSAGENT_TOKEN_FILE=/nowhere"}, "the file that NSAGENT_TOKEN_FILE names cannot be read"},
		"an empty file":     {[]string{"NSAGENT_TOKEN_FILE=" + nothing}, "what NSAGENT_TOKEN_FILE names is empty: the job has no such secret [NSA-LOCKED]"},
		"a longer file":     {[]string{"NSAGENT_TOKEN_FILE=" + longer}, "in NSAGENT_TOKEN_FILE: "},
		"a directory":       {[]string{"NSAGENT_TOKEN_FILE=/"}, "the file that NSAGENT_TOKEN_FILE names cannot be read: is a directory"},
		"no descriptor":     {[]string{"NSAGENT_TOKEN_FD=99"}, "what NSAGENT_TOKEN_FD names cannot be read"},
		"no number":         {[]string{"NSAGENT_TOKEN_FD=x"}, "NSAGENT_TOKEN_FD is not the number of a descriptor"},
		"two":               {[]string{"NSAGENT_TOKEN=" + string(text), "NSAGENT_TOKEN_FD=3"}, "more than one unlock token is named"},
		"garbage":           {[]string{"NSAGENT_TOKEN=garbage"}, "in NSAGENT_TOKEN: "},
		"a blank before it": {[]string{"NSAGENT_TOKEN= " + string(text)}, "in NSAGENT_TOKEN: there is a space"},
	} {
		if out, err := run(c.env...); err == nil || !strings.HasPrefix(out, "named true\n") || !strings.Contains(out, c.want) || strings.Contains(out, "1\n") || strings.Contains(out, string(text)) {
			t.Errorf("%s: got %q, %v, want %q", name, out, err, c.want)
		}
	}
}

// A client that was closed has forgotten its token.
func TestTokenIsWiped(t *testing.T) {
	d := shared(t).agent
	token, err := d.mint(t.Context(), unlocktoken.Caveats{}, "acme-sb1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = token.Narrow(unlocktoken.Caveats{}, nil, rand.Reader); err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(t.Context(), client.WithSocket(d.socket()), client.WithUnlockToken(token.Text()))
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if held := c.HeldShares(); held != 0 {
		t.Errorf("%d shares are not wiped", held)
	}
}
