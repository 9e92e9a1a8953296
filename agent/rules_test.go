package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/vault"
)

// That there is no policy is what the vault says without an error. Whatever cannot be read
// may have forbidden everything, and allows nothing.
func TestRulesOfAVault(t *testing.T) {
	good := packedPolicy(t, askPolicy)
	for name, c := range map[string]struct {
		packed  []byte
		ok      bool
		err     error
		fault   bool
		allowed bool
	}{
		"none":             {nil, false, nil, false, true},
		"one":              {good, true, nil, false, true},
		"one that is cut":  {good[:len(good)/2], true, nil, true, false},
		"no text of one":   {packedPolicy(t, "version = 9\n"), true, nil, true, false},
		"one under no key": {nil, false, vault.ErrPolicy, true, false},
		"an error with it": {good, true, vault.ErrDamaged, true, false},
	} {
		r := readRules(c.packed, c.ok, c.err)
		_, err := r.decide(policy.Attempt{Profile: "p", Access: policy.Read, Environment: "sandbox", Kind: policy.KindSign, Method: "GET", Path: "/x", Host: "h"})
		if (r.fault != nil) != c.fault || (err == nil) != c.allowed {
			t.Errorf("%s: fault %v, decided %v", name, r.fault, err)
		}
	}
}

// Rules are those that the vault keeps, or none where it keeps none; those with a fault are
// neither, and are read again.
func TestRulesAreThoseOfTheVault(t *testing.T) {
	good, other := packedPolicy(t, askPolicy), packedPolicy(t, all)
	none, one, faulty := new(rules), readRules(good, true, nil), readRules(nil, false, vault.ErrPolicy)
	for name, c := range map[string]struct {
		r      *rules
		packed []byte
		want   bool
	}{
		"none, and none kept":      {none, nil, true},
		"none, and one kept":       {none, good, false},
		"one, and none kept":       {one, nil, false},
		"one, and it is kept":      {one, good, true},
		"one, and another kept":    {one, other, false},
		"a fault, and none kept":   {faulty, nil, false},
		"a fault, and one is kept": {faulty, good, false},
	} {
		if got := c.r.are(c.packed); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// A policy that cannot be read may have wanted a code with each proof, where there is an
// app to give one.
func TestStepUpOfRules(t *testing.T) {
	wants := &policy.Policy{StepUp: policy.StepUp{Admin: true}}
	for _, c := range []struct {
		rules *rules
		app   bool
		want  bool
	}{
		{nil, true, false}, {&rules{}, true, false}, {&rules{policy: &policy.Policy{}}, true, false}, {&rules{policy: wants}, true, true},
		{&rules{policy: wants}, false, true}, {&rules{fault: vault.ErrPolicy}, true, true}, {&rules{fault: vault.ErrPolicy}, false, false},
	} {
		s := &session{}
		if c.rules != nil {
			s.rules.Store(c.rules)
		}
		if c.app {
			s.authenticator = new(authenticator)
		}
		if got := s.stepUp(); got != c.want {
			t.Errorf("%+v, app %v: got %v", c.rules, c.app, got)
		}
	}
}

// How long a caller waits is said by the policy, or is the usual time.
func TestTimeoutOfRules(t *testing.T) {
	for _, c := range []struct {
		rules *rules
		want  time.Duration
	}{
		{&rules{}, 2 * time.Minute}, {&rules{policy: &policy.Policy{}}, 2 * time.Minute},
		{&rules{policy: &policy.Policy{Approval: policy.Approval{Timeout: time.Second}}}, time.Second},
	} {
		if got := c.rules.timeout(); got != c.want {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
}

// What is wrong with a policy is said with its place.
func TestFaultOfRules(t *testing.T) {
	_, syntax := newRules(packedPolicy(t, "version = 1\n[[rule]]\nname = \"a\"\n"))
	for says, err := range map[string]error{
		"line 2": syntax, "content of": fileNotCopied(t), "another machine": vault.ErrPolicy, "cannot be read": errors.New("anything"),
	} {
		if got := policyFault(err); !strings.Contains(got, says) {
			t.Errorf("of %v: got %q", err, got)
		}
	}
}

// fileNotCopied is the error of a policy that names a file.
func fileNotCopied(t *testing.T) error {
	t.Helper()
	_, err := newRules(packedPolicy(t, "version = 1\n[[issuer]]\nurl = \"https://ci.example.com\"\njwks_file = \"/keys.json\"\n"))
	if err == nil {
		t.Fatal("a file that is not copied in is no error")
	}
	return err
}
