package policy

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// What an operation is made of has one form: what is longer, or has another letter in it,
// could be read as something else at the other end.
func TestNamesInOperations(t *testing.T) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for c := range 256 {
		s := string([]byte{byte(c)})
		if got, want := plainScript(s), strings.Contains(letters+"0123456789_-", s); got != want {
			t.Errorf("%q in the name of a script: got %t", s, got)
		}
		if got, want := plainLetters(s), strings.Contains(letters, s); got != want {
			t.Errorf("%q in the name of a SOAP operation: got %t", s, got)
		}
	}
	for n, want := range map[int]bool{0: false, 1: true, 63: true, 64: false} {
		if got := plainScript(strings.Repeat("a", n)); got != want {
			t.Errorf("%d letters: got %t", n, got)
		}
	}
}

// The table is that of docs/unlock-tokens.md, which its second implementation reads, too.
func TestScript(t *testing.T) {
	b, err := os.ReadFile("../../internal/unlocktoken/testdata/restlets.json")
	if err != nil {
		t.Fatal(err)
	}
	var all [][3]string // path, query, script
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if got := Script(r[0], r[1]); got != r[2] {
			t.Errorf("%s?%s: got %q, want %q", r[0], r[1], got, r[2])
		}
	}
	if len(all) < 30 {
		t.Errorf("%d requests", len(all))
	}
}

// A RESTlet that a rule denies or asks about is denied in every spelling that NetSuite may
// read as its own, whatever a later rule allows: leading zeros were one that got past.
func TestNoSpellingOfADeniedRESTlet(t *testing.T) {
	for _, effect := range []string{"deny", "ask"} {
		p := rules(t, "effect = \""+effect+"\"\nwhat = \"restlet 123/1\"", "effect = \"allow\"\nwhat = \"*\"")
		decide := func(query string) Effect {
			a := writer("POST", "")
			if err := a.Do("POST " + RESTletPath + "?" + query); err != nil {
				t.Fatal(err)
			}
			return p.Decide(a).Effect
		}
		for _, query := range []string{
			"script=0123&deploy=1", "script=123&deploy=01", "script=00123&deploy=001", "script=%31%32%33&deploy=1", "script=+123&deploy=1", "script=%20123&deploy=1",
			"script=123.0&deploy=1", "script=123%00&deploy=1", "script=-123&deploy=1", "script=1e2&deploy=1", "script=0x7b&deploy=1", "script=customscript_x&deploy=1", "script=CUSTOMSCRIPT_X&deploy=1",
			"script=5&script=123&deploy=1", "script=123&script=5&deploy=1", "script=5&Script=123&deploy=1", "script=5&deploy=2&%73cript=123", "Script=123&deploy=1", "script=123&deploy=", "script=123", "deploy=1", "",
		} {
			if got := decide(query); got != Deny {
				t.Errorf("%s, %s: got %s", effect, query, got)
			}
		}
		for query, want := range map[string]Effect{"script=123&deploy=1": Effect(effect), "script=123&deploy=1#script=5": Effect(effect), "script=1230&deploy=1": Allow, "script=123&deploy=10": Allow} {
			if got := decide(query); got != want {
				t.Errorf("%s, %s: got %s, want %s", effect, query, got, want)
			}
		}
	}
}
