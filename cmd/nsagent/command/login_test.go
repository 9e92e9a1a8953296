package command

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestLoginTimesOut: whoever closes the browser, or forgets it, ends the login as a no
// does.
func TestLoginTimesOut(t *testing.T) {
	var said bytes.Buffer
	l := &loginRun{
		e:         &env{stderr: &said, stdout: &sink{w: &bytes.Buffer{}}, output: "text", noInput: true},
		loginPlan: &loginPlan{draft: newDraft(), flow: flowThreeStep},
		options:   loginOptions{noBrowser: true},
		begun:     &pb.BeginLoginResponse{AuthorizeUrl: "https://example.com/page", State: "x", ExpiresIn: 0},
	}
	l.profile.Name = "acme"
	if err := l.listen(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.listener.Close() }()
	c, err := l.ask(t.Context())
	if c != nil || !errors.Is(err, client.ErrDeclined) || !strings.Contains(err.Error(), "nobody has answered") || pb.Lookup(failure(err).Code).Exit != 6 {
		t.Errorf("got %v, %v, want ErrDeclined", c, err)
	}
	if !strings.Contains(said.String(), "https://example.com/page") {
		t.Errorf("it said %s", said.String())
	}
}

// TestLoginFlow: the flow follows from the kind of the profile, and what does not go
// together is refused before anybody is sent to a browser.
func TestLoginFlow(t *testing.T) {
	for _, c := range []struct {
		auth, redirect string
		o              loginOptions
		flow, auth2    string // what comes of it; flow is "" for a refusal
	}{
		{"authcode", defaultRedirect, loginOptions{}, flowCode, "authcode"},
		{"authcode", "", loginOptions{redirect: defaultRedirect}, flowCode, "authcode"},
		{"authcode", "", loginOptions{}, "", ""},
		{"tba", "", loginOptions{role: "3"}, flowThreeStep, "tba"},
		{"", defaultRedirect, loginOptions{flow: flowCode}, flowCode, "authcode"},
		{"", "", loginOptions{flow: flowThreeStep}, flowThreeStep, "tba"},
		{"", defaultRedirect, loginOptions{}, "", ""},
		{"m2m", "", loginOptions{}, "", ""},
		{"secret", "", loginOptions{flow: flowCode}, "", ""},
		{"tba", "", loginOptions{flow: flowCode}, "", ""},
		{"tba", "", loginOptions{scopes: []string{"restlets"}}, "", ""},
		{"authcode", defaultRedirect, loginOptions{role: "3"}, "", ""},
	} {
		d := &draft{profile: &pb.Profile{Name: "acme", Auth: c.auth, RedirectUri: c.redirect}}
		flow, err := d.loginFlow(c.o)
		if flow != c.flow || (err != nil) != (c.flow == "") || err == nil && d.profile.GetAuth() != c.auth2 {
			t.Errorf("%q, %+v: got %q, %v, auth %q, want %q", c.auth, c.o, flow, err, d.profile.GetAuth(), c.flow)
		}
	}
}
