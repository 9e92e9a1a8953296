package tokenenv_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/tokenenv"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestTokensInPlaceOfPaths guards against a token in the log of a job: where a variable holds
// one that takes a path or a number, that is said, and neither the error nor its cause has it.
func TestTokensInPlaceOfPaths(t *testing.T) {
	const secret = "ARVX3wT0kENtExT"
	token, jwt := "nst1_"+strings.Repeat(secret, 30), "eyJhbGciOiJSUzI1NiJ9."+secret+"."+secret
	for name, c := range map[string]struct {
		kind            tokenenv.Kind
		variable, value string
		why, next       string
	}{
		"an unlock token":       {tokenenv.UnlockToken(), "NSAGENT_TOKEN_FILE", token, "NSAGENT_TOKEN_FILE holds the token itself, and takes the path of a file", "NSAGENT_TOKEN, "},
		"in quotes":             {tokenenv.UnlockToken(), "NSAGENT_TOKEN_FILE", ` "` + token + "\"\n", "holds the token itself", "NSAGENT_TOKEN, "},
		"the start of one":      {tokenenv.UnlockToken(), "NSAGENT_TOKEN_FILE", token[:40], "holds the token itself", "NSAGENT_TOKEN, "},
		"an ID token":           {tokenenv.IDToken(), "NSAGENT_OIDC_TOKEN_FILE", jwt, "NSAGENT_OIDC_TOKEN_FILE holds the token itself", "write it to a file"},
		"the other kind":        {tokenenv.UnlockToken(), "NSAGENT_TOKEN_FILE", jwt, "holds the token itself", "NSAGENT_TOKEN, "},
		"a part of a long text": {tokenenv.UnlockToken(), "NSAGENT_TOKEN_FILE", "ci/" + token[5:], "is no path of a file", "it takes a path"},
		"a text of two lines":   {tokenenv.UnlockToken(), "NSAGENT_TOKEN_FILE", "some\n" + secret, "is no path of a file", "it takes a path"},
		"as a descriptor":       {tokenenv.UnlockToken(), "NSAGENT_TOKEN_FD", token, "it is 0, or a number", "NSAGENT_TOKEN_FD=3"},
	} {
		s, err := take(t, c.kind, map[string]string{c.variable: c.value})
		if err == nil {
			_, err = s.Read()
		}
		e, ok := errors.AsType[*tokenenv.Error](err)
		if !ok || !strings.Contains(e.Why, c.why) || !strings.Contains(e.Next, c.next) {
			t.Errorf("%s: got %+v", name, err)
		} else if all := fmt.Sprintf("%+v %v", *e, e.Cause); strings.Contains(all, secret) {
			t.Errorf("%s: the token is in %s", name, all)
		}
	}
}

// A file with nothing in it is as a variable that is set and empty: whoever named it meant a
// token to be there.
func TestEmptyFilesHaveNoToken(t *testing.T) {
	for _, text := range []string{"", "\n", " \r\n"} {
		for variable, c := range map[string]struct {
			kind tokenenv.Kind
			code pb.Code
			why  string
		}{
			"NSAGENT_TOKEN_FILE":      {tokenenv.UnlockToken(), pb.CodeLocked, "the job has no such secret"},
			"NSAGENT_OIDC_TOKEN_FILE": {tokenenv.IDToken(), pb.CodeGrant, "the CI service has given none"},
		} {
			s, err := take(t, c.kind, map[string]string{variable: written(t, text)})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Read()
			if e, ok := errors.AsType[*tokenenv.Error](err); !ok || e.Code != c.code || e.Message != "what "+variable+" names is empty" || e.Why != c.why {
				t.Errorf("%s, %q: got %+v", variable, text, err)
			}
		}
	}
}

// Where a variable has nothing but blanks, it is empty as well.
func TestBlankVariables(t *testing.T) {
	for _, name := range []string{"NSAGENT_TOKEN", "NSAGENT_TOKEN_FILE", "NSAGENT_TOKEN_FD"} {
		_, err := take(t, tokenenv.UnlockToken(), map[string]string{name: " \n"})
		if e, ok := errors.AsType[*tokenenv.Error](err); !ok || e.Code != pb.CodeLocked || e.Message != name+" is set, and empty" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
