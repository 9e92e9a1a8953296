package callback

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/browsertest"
)

// screenshots is where pictures of the pages are put for people; "" for nowhere.
func screenshots() string { return os.Getenv("NSAGENT_SCREENSHOTS") }

// TestInChromium is about what a real browser makes of all this.
func TestInChromium(t *testing.T) {
	b := browsertest.Start(t)
	t.Run("pages", func(t *testing.T) { pagesInChromium(t, b) })
	t.Run("a hostile page", func(t *testing.T) { hostilePageInChromium(t, b) })
	t.Run("a login", func(t *testing.T) { loginInChromium(t, b) })
}

// pagesInChromium looks at every page as Chromium shows it, light and dark: it is
// styled, readable, fits the window, and loads nothing.
func pagesInChromium(t *testing.T, b *browsertest.Browser) {
	pages := everyPage()
	site := &server{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, found := pages[strings.TrimPrefix(r.URL.Path, "/")]; found {
			site.write(w, p)
		}
	}))
	defer web.Close()
	b.Requests()
	for name, p := range pages {
		b.Open(web.URL + "/" + name)
		if got := b.Text("h1"); got != p.title {
			t.Errorf("%s: got the heading %q, want %q", name, got, p.title)
		}
		if got := b.Title(); got != p.title+" · nsagent" {
			t.Errorf("%s: got the title %q", name, got)
		}
		for _, dark := range []bool{false, true} {
			b.Dark(dark)
			// The policy lets the style through.
			var seen struct {
				Ground, Card, Text, Soft, Tone string
				Wide, High                     bool
			}
			b.Run(`const css = (s, p) => getComputedStyle(document.querySelector(s))[p];
				return {ground: css("body", "backgroundColor"), card: css("main", "backgroundColor"), text: css("h1", "color"),
					soft: css(".brand", "color"), tone: css("svg", "stroke"),
					wide: document.documentElement.scrollWidth > innerWidth, high: document.documentElement.scrollHeight > innerHeight}`, &seen)
			if (luminance(t, seen.Ground) < 0.2) != dark {
				t.Errorf("%s: dark %v, but the ground is %s", name, dark, seen.Ground)
			}
			for what, colour := range map[string]string{"text": seen.Text, "soft text": seen.Soft, "sign": seen.Tone} {
				if c := contrast(t, colour, seen.Card); c < 4.5 { // WCAG 2.2, 1.4.3
					t.Errorf("%s, dark %v: the %s %s on %s has a contrast of %.1f, want 4.5", name, dark, what, colour, seen.Card, c)
				}
			}
			if seen.Wide || seen.High {
				t.Errorf("%s does not fit the window", name)
			}
			if dir := screenshots(); dir != "" {
				b.Screenshot(filepath.Join(dir, fmt.Sprintf("%s-%v.png", strings.ReplaceAll(name, " ", "-"), map[bool]string{true: "dark", false: "light"}[dark])))
			}
		}
	}
	for _, line := range b.Complaints() {
		if !strings.Contains(line, "Failed to load resource: the server responded with a status of") { // the pages' own status
			t.Errorf("Chromium says: %s", line)
		}
	}
	for _, url := range b.Requests() {
		if !strings.HasPrefix(url, web.URL+"/") || strings.HasSuffix(url, "favicon.ico") {
			t.Errorf("the pages asked for %s", url)
		}
	}
}

// loginInChromium: the consent page of another origin sends the browser here by a
// redirect, as NetSuite does. It warns of the certificate, and sends nothing before the
// person has told it to go on.
func loginInChromium(t *testing.T, b *browsertest.Browser) {
	g := newLogin(t, Config{RedirectURI: "https://localhost:0/callback"}).wait()
	consent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, g.RedirectURI()+"?code=the-code&state="+testState, http.StatusFound)
	}))
	defer consent.Close()

	b.Open(consent.URL)
	b.Await(browsertest.Warning)
	if said := g.refusals(); len(said) > 0 || len(g.got) > 0 {
		t.Errorf("a request came through: %v", said)
	}
	// What is in its address bar then can be pasted.
	a, err := ParseURL([]byte(b.URL()), g.RedirectURI())
	if err != nil || string(a.code) != "the-code" || a.State != testState {
		t.Errorf("the address %s gives %v, %v", b.URL(), a, err)
	}

	// The person goes on, and the page waits for the outcome.
	go func() {
		(<-g.got).Show(Outcome{Result: Allowed, Profile: "acme", Account: "1234567_SB1", Environment: "SANDBOX"})
	}()
	b.Await("You are logged in · nsagent")
	if got := b.Text("main"); !strings.Contains(got, "You are logged in") || !strings.Contains(got, "1234567_SB1") {
		t.Errorf("got %q", got)
	}
	b.Open(b.URL()) // again
	if got := b.Text("h1"); got != "This login was answered already" {
		t.Errorf("got %q", got)
	}
	b.Open(strings.Replace(g.RedirectURI(), "/callback", "/callback?code=x&state=other", 1))
	if got := b.Text("h1"); got != "Not the login that nsagent waits for" {
		t.Errorf("got %q", got)
	}
}

// hostilePageInChromium: a web page that knows even the state cannot make the
// browser bring the callback without a visit, nor read what is here.
func hostilePageInChromium(t *testing.T, b *browsertest.Browser) {
	g := newLogin(t, Config{}).wait()
	target := g.RedirectURI() + "?code=the-code&state=" + testState
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `<!doctype html><title>evil</title><iframe src="%[1]s"></iframe><img src="%[1]s"><script src="%[1]s"></script>
			<link rel="prefetch" href="%[1]s"><link rel="stylesheet" href="%[1]s"><object data="%[1]s"></object><video src="%[1]s"></video>
			<form method="post" action="%[1]s" target="f"><input name="a"></form><iframe name="f"></iframe>`, target)
	}))
	defer evil.Close()
	b.Open(evil.URL)
	var read []string
	b.Run(`const u = "`+target+`"; document.forms[0].submit();
		return Promise.all([fetch(u), fetch(u, {mode: "no-cors"}).then(r => r.text().then(t => { if (t) return "read " + t; throw "empty" })), fetch(u, {method: "POST", body: "x"})]
			.map(p => p.then(r => "" + r, () => "")))`, &read)
	if strings.Join(read, "") != "" {
		t.Errorf("the page read %q", read)
	}
	said := g.refusals()
	if len(said) < 5 {
		t.Errorf("only %v came here: the page attacks nothing", said)
	}
	for _, r := range said {
		if r != NoVisit && r != WrongMethod {
			t.Errorf("got %s", r)
		}
	}
	if len(g.got) > 0 {
		t.Fatal("the page made the callback")
	}
	if status, _ := g.finish(Outcome{}); status != 200 {
		t.Errorf("the true callback got %d", status)
	}
}

// luminance is the relative luminance of a CSS colour, 0 to 1, as WCAG 2.2 defines it.
func luminance(t *testing.T, css string) float64 {
	t.Helper()
	var r, g, b float64
	if _, err := fmt.Sscanf(strings.ReplaceAll(css, " ", ""), "rgb(%f,%f,%f)", &r, &g, &b); err != nil {
		t.Fatalf("%q is no colour: %v", css, err)
	}
	part := func(c float64) float64 {
		if c /= 255; c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(r) + 0.7152*part(g) + 0.0722*part(b)
}

func contrast(t *testing.T, one, other string) float64 {
	t.Helper()
	a, b := luminance(t, one), luminance(t, other)
	return (max(a, b) + 0.05) / (min(a, b) + 0.05)
}
