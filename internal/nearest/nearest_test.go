package nearest

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	names := []string{"acme-prod", "acme-sb1", "acme-sb2", "init", "status", "profile"}
	for word, want := range map[string]string{
		"acme-prd": "acme-prod", "acme-porud": "acme-prod", "ACME-SB1": "acme-sb1", "acme-sb3": "acme-sb1", "intt": "init", "iint": "init",
		"stauts": "status", "prof": "profile", "acme": "", "acme-s": "acme-sb1", "st": "status", "s": "", "": "", "x": "",
		"xyzzy": "", "initialize": "", strings.Repeat("x", 100): "", "profiles": "profile",
	} {
		if got := Name(word, names); got != want {
			t.Errorf("%.20q: got %q, want %q", word, got, want)
		}
	}
	if got := Misspelt("prof", names); got != "" {
		t.Errorf("a beginning counts as misspelt: %q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "acb", 1}, {"ab", "ba", 1},
		{"kitten", "sitting", 3}, {"müller", "mueller", 2}, {"ca", "abc", 3},
	} {
		if got := distance([]rune(test.a), []rune(test.b)); got != test.want {
			t.Errorf("%q, %q: got %d, want %d", test.a, test.b, got, test.want)
		}
		if got := distance([]rune(test.b), []rune(test.a)); got != test.want {
			t.Errorf("%q, %q: got %d, want %d", test.b, test.a, got, test.want)
		}
	}
}
