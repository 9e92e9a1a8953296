package callback

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"strings"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

// Result is how a login ended.
type Result int

const (
	// Allowed: the person said yes, and the login is complete.
	Allowed Result = iota
	// Denied: the person said no.
	Denied
	// Failed: NetSuite or the agent refused; Outcome.Why says why.
	Failed
	// Unfinished: nsagent was stopped before it was done.
	Unfinished
)

// Outcome is what the page of a callback tells the person. It holds nothing secret.
type Outcome struct {
	Result Result
	// Profile, Account and Environment say what the login was for. Empty ones are not shown.
	Profile, Account, Environment string
	// Why is one sentence that says why the login failed; "" for none.
	Why string
	// Code is the stable error code, such as NSA-NETSUITE; "" for none.
	Code string
}

// Refusal says why a request is not the callback of the login.
type Refusal string

// What a request can be in place of the callback.
const (
	WrongState  Refusal = "wrong state"
	UsedAlready Refusal = "second callback"
	Malformed   Refusal = "malformed"
	WrongPath   Refusal = "wrong path"
	WrongHost   Refusal = "wrong host"
	WrongMethod Refusal = "wrong method"
	NoVisit     Refusal = "not a visit of a browser"
)

// page is what a browser gets.
type page struct {
	status int
	tone   string // good, bad or neutral: colour and sign
	title  string
	text   []string // paragraphs
	facts  [][2]string
}

func (o Outcome) page() page {
	p := page{status: http.StatusOK}
	for _, fact := range [][2]string{{"Profile", o.Profile}, {"Account", o.Account}, {"Environment", o.Environment}, {"Code", o.Code}} {
		if fact[1] != "" {
			p.facts = append(p.facts, fact)
		}
	}
	switch o.Result {
	case Allowed:
		p.tone, p.title = "good", "You are logged in"
		p.text = []string{"You gave your consent, and nsagent has stored the login in its vault.", "You can close this window."}
	case Denied:
		p.tone, p.title = "bad", "Consent denied"
		p.text = []string{"NetSuite was told not to allow it. Nothing was stored, and nothing has changed.", "To try again, go back to the terminal."}
	case Failed:
		p.tone, p.title, p.status = "bad", "The login failed", http.StatusBadGateway
		p.text = []string{sentence(o.Why), "The terminal says what to do."}
	default:
		p.tone, p.title, p.status = "bad", "The login was not finished", http.StatusServiceUnavailable
		p.text = []string{"nsagent was stopped, or has not finished in time. Look at the terminal, and start again there."}
	}
	return p
}

// sentence makes one of what the agent says: a capital, and a dot.
func sentence(s string) string {
	if s == "" {
		return "It was refused."
	}
	if s[0] >= 'a' && s[0] <= 'z' {
		s = strings.ToUpper(s[:1]) + s[1:]
	}
	return strings.TrimSuffix(s, ".") + "."
}

func (r Refusal) page() page {
	p := page{status: http.StatusBadRequest, tone: "neutral"}
	switch r {
	case WrongState:
		p.status, p.title = http.StatusForbidden, "Not the login that nsagent waits for"
		p.text = []string{"The state of this answer is not the one that nsagent has made. It may belong to an older login, or come from somebody else. It was not used.", "If you have just logged in, start again from the terminal."}
	case UsedAlready:
		p.status, p.title = http.StatusGone, "This login was answered already"
		p.text = []string{"An answer is taken once. Nothing has changed now.", "You can close this window."}
	case Malformed:
		p.title = "Not an answer of NetSuite"
		p.text = []string{"What came with this address is not what a consent page sends. It was not used; nsagent goes on waiting."}
	case WrongPath:
		p.status, p.title = http.StatusNotFound, "There is nothing here"
		p.text = []string{"nsagent waits here for the answer of NetSuite, at another address."}
	case WrongHost:
		p.status, p.title = http.StatusMisdirectedRequest, "Not under this name"
		p.text = []string{"nsagent answers under the name in its redirect URI only."}
	case WrongMethod:
		p.status, p.title = http.StatusMethodNotAllowed, "Not this way"
		p.text = []string{"The answer of NetSuite comes as a visit to this address, and not as a form."}
	default:
		p.status, p.title = http.StatusForbidden, "Open this address yourself"
		p.text = []string{"A browser has to show this page in a window of its own, and not inside another page."}
	}
	return p
}

// signs are the paths in the circle, by tone: a tick, a cross, an exclamation mark.
var signs = map[string]string{"good": "m7 12.5 3.4 3.4L17.2 9", "bad": "m8.4 8.4 7.2 7.2m0-7.2-7.2 7.2", "neutral": "M12 6.8v6.4m0 3.4v.6"}

// styleHash is the one style of the page as a source of a Content-Security-Policy.
func styleHash() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// html returns a page. All that is not ours stands between tags, where escaping is all that
// it needs. A package of templates would do that by itself, but its look-up of methods by
// name makes the linker keep every method of every type in the program: 2.4 MiB.
func (p page) html() []byte {
	var text strings.Builder
	for _, line := range p.text {
		fmt.Fprintf(&text, "<p>%s</p>\n", html.EscapeString(line))
	}
	if len(p.facts) > 0 {
		text.WriteString("<dl>\n")
		for _, fact := range p.facts {
			fmt.Fprintf(&text, "<div><dt>%s</dt><dd>%s</dd></div>\n", html.EscapeString(fact[0]), html.EscapeString(fact[1]))
		}
		text.WriteString("</dl>\n")
	}
	// Of one pass: what is put in is not looked at again.
	return []byte(strings.NewReplacer("{title}", html.EscapeString(p.title), "{style}", pageStyle, "{tone}", p.tone,
		"{sign}", signs[p.tone], "{text}", text.String()).Replace(pageSource))
}
