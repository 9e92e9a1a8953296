package unlocktoken

import (
	"errors"
	"strings"
	"testing"
)

// TestParseLine: one line end may stand behind a token, of either kind. What else was pasted
// with it is named, and nothing of the token is in the words for it.
func TestParseLine(t *testing.T) {
	token := string(newWorld(t, Caveats{}).token.Text())
	for text, why := range map[string]string{
		token:                                  "",
		token + "\n":                           "",
		token + "\r\n":                         "",
		token + "\n\n":                         "",
		token + "\r\n\n":                       "",
		token + " ":                            "a space behind it",
		token + " \n":                          "a space behind it",
		" " + token:                            "before it",
		"\n" + token:                           "before it",
		`"` + token + `"`:                      "in quotes",
		`'` + token + "'\n":                    "in quotes",
		"NSAGENT_TOKEN=" + token:               "the name of a variable",
		`export NSAGENT_TOKEN="` + token + `"`: "the name of a variable",
		"\ufeff" + token:                       "something else stands before it",
		token[:60] + "\n" + token[60:]:         "a line break in the middle",
		token[:60] + "\r\n  " + token[60:]:     "a line break in the middle",
		token[:60] + " " + token[60:]:          "a space in the middle",
		"/run/secrets/token\n":                 "the path of a file",
		"hello":                                "does not start with nst1_",
		token[:len(token)-1]:                   "checksum",
	} {
		got, err := ParseLine([]byte(text))
		switch {
		case why == "" && err == nil && got != nil && string(got.Text()) == token:
		case why == "" || got != nil || !errors.Is(err, ErrToken) || !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), why):
			t.Errorf("%.20q…: got %v, want %q", text, err, why)
		case strings.Contains(err.Error(), token[5:30]):
			t.Errorf("%.20q…: the token is in the error: %v", text, err)
		}
	}
	for _, text := range []string{"", "\n", " \r\n"} {
		if _, err := ParseLine([]byte(text)); !errors.Is(err, ErrEmpty) {
			t.Errorf("%q: got %v, want ErrEmpty", text, err)
		}
	}
}
