package command

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsagent/nsagent/client"
)

// TestEmptyFlags: no flag of any command that takes text, or a number of things, counts as
// not given where it was given empty or as 0.
func TestEmptyFlags(t *testing.T) {
	tried := 0
	refused := func(c *cobra.Command, f *pflag.Flag, text string) {
		tried++
		if err := f.Value.Set(text); err == nil && !isEmpty(f.Value) {
			t.Errorf("%s --%s=%q: is taken", c.CommandPath(), f.Name, text)
		}
	}
	walk(newRoot(testEnv(&bytes.Buffer{})), func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() != "bool" {
				refused(c, f, "")
			}
			switch f.Value.(type) {
			case *positive, *duration, *rotateAfter:
				refused(c, f, "0")
			}
		})
	})
	if tried < 100 {
		t.Errorf("got %d flags, want more: are they walked?", tried)
	}
}

// commandAt returns the command of a path, of a tree of its own.
func commandAt(t *testing.T, path []string) *cobra.Command {
	t.Helper()
	c, rest, err := newRoot(testEnv(&bytes.Buffer{})).Find(path)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%q: %v", path, err)
	}
	return c
}

// TestEmptyInAList: one empty text in a list is refused as an empty list is, a full list
// is not; exec alone has arguments without text.
func TestEmptyInAList(t *testing.T) {
	for _, test := range []struct {
		path, flags, args []string
		want              string
	}{
		{[]string{"grant", "new"}, []string{"-p", "acme", "-p", ""}, nil, "--profile is empty"},
		{[]string{"grant", "new"}, []string{"-p", "acme", "--oidc", "f"}, nil, ""},
		{[]string{"token"}, []string{"--scope", "restlets,,"}, nil, "--scope is empty"},
		{[]string{"token"}, []string{"--scope", "restlets"}, nil, ""},
		{[]string{"rotate"}, nil, []string{""}, "an argument is empty"},
		{[]string{"rotate"}, nil, []string{"acme"}, ""},
		{[]string{"exec"}, nil, []string{"printf", ""}, ""},
	} {
		c := commandAt(t, test.path)
		if err := c.ParseFlags(test.flags); err != nil {
			t.Fatal(err)
		}
		got := ""
		if f := (*client.Error)(nil); errors.As(refuseEmpty(c, test.args), &f) {
			got = f.Message
		}
		if got != test.want {
			t.Errorf("%q %q %q: got %q, want %q", test.path, test.flags, test.args, got, test.want)
		}
	}
}

// TestNoCommandTakesAToken: every command, those that take no argument and those that people
// do not see as well, tells an unlock token from an argument too many, and so does every flag
// with a value; of exec it is the name of the program that is none, and what stands behind it
// is the program's.
func TestNoCommandTakesAToken(t *testing.T) {
	token := "nst1_" + strings.Repeat("x", 60)
	tried := 0
	refused := func(what string, err error) {
		tried++
		f := (*client.Error)(nil)
		if !errors.As(err, &f) || f.Message != "an unlock token is no argument" || strings.Contains(f.Message+f.Why+f.Next, token) {
			t.Errorf("%s: got %v, want that an unlock token is no argument", what, err)
		}
	}
	var each func(*cobra.Command)
	each = func(c *cobra.Command) {
		refused(c.CommandPath(), c.ValidateArgs([]string{token}))
		bare := commandAt(t, strings.Fields(c.CommandPath())[1:])
		refused(c.CommandPath()+" --TOKEN", bare.FlagErrorFunc()(bare, bare.ParseFlags([]string{"--" + token})))
		refused(c.CommandPath()+" with more", c.ValidateArgs([]string{token, "a", "b", "c", "d"}))
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" {
				return
			}
			fresh := commandAt(t, strings.Fields(c.CommandPath())[1:])
			err := fresh.ParseFlags([]string{"--" + f.Name + "=" + token})
			if err == nil {
				err = fresh.ValidateArgs(nil)
			} else {
				err = fresh.FlagErrorFunc()(fresh, err)
			}
			refused(c.CommandPath()+" --"+f.Name, err)
		})
		for _, sub := range c.Commands() {
			each(sub)
		}
	}
	each(newRoot(testEnv(&bytes.Buffer{})))
	if tried < 300 {
		t.Errorf("tried %d only", tried)
	}
	c := commandAt(t, []string{"exec"})
	if err := c.ValidateArgs([]string{"echo", token}); err != nil {
		t.Errorf("an argument of the program: got %v, want none", err)
	}
}

// TestTokensAreNoArguments: an unlock token on the command line is refused, with the quotes or
// blanks that were pasted around it as well, and what only has such a name is not.
func TestTokensAreNoArguments(t *testing.T) {
	for arg, refused := range map[string]bool{"nst1_x": true, ` "nst1_x"`: true, "nst1_x\n": true, "g_nst1_x": false, "./nst1_x": false} {
		c := commandAt(t, []string{"grant", "show"})
		if err := refuseToken(c, []string{arg}); (err != nil) != refused {
			t.Errorf("%q: got %v", arg, err)
		}
		if err := c.Flags().Set("token-file", arg); err != nil {
			t.Fatal(err)
		}
		if err := refuseToken(c, nil); (err != nil) != refused {
			t.Errorf("--token-file %q: got %v", arg, err)
		}
	}
}
