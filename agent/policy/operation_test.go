package policy

import (
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

func TestScript(t *testing.T) {
	for query, want := range map[string]string{
		"script=123&deploy=1": "123/1", "deploy=1&x=y&script=123": "123/1", "script=customscript_a&deploy=customdeploy1": "customscript_a/customdeploy1",
		"script=123&deploy=1&name=a%20b": "123/1", "script=123&deploy=1&": "123/1",
		"": "", "script=123": "", "deploy=1": "", "script=&deploy=1": "", "script=1&script=1&deploy=1": "", "script=1&deploy=1&deploy=2": "",
		"script=%31&deploy=1": "", "%73cript=1&script=2&deploy=1": "", "%2573cript=1&script=2&deploy=1": "", "script=1&deploy=1&Script=2": "", "+script=1&script=2&deploy=1": "",
		"script=1;deploy=2": "", "script=1/2&deploy=1": "", "script=1&deploy=*": "", "SCRIPT=1&DEPLOY=1": "",
		"script=1&deploy=1&a%20b=c+d": "1/1", "script=1&deploy=1&a+b=c": "1/1", // names that cannot be ours
		"%64eploy=1&script=1&deploy=2": "", "script=1&deploy=2&+Deploy=1": "", "%25252573cript=1&script=2&deploy=1": "",
	} {
		if got := Script(RESTletPath, query); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
	if got := Script(RESTletPath+"x", "script=1&deploy=1"); got != "" {
		t.Errorf("another path: got %q", got)
	}
}
