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
