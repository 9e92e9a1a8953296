package callback

import (
	"html"
	"maps"
	"regexp"
	"strings"
	"testing"
)

// everyPage returns all pages by what they are for.
func everyPage() map[string]page {
	pages := map[string]page{}
	for name, o := range outcomes() {
		pages[name] = o.page()
	}
	for _, r := range []Refusal{WrongState, UsedAlready, Malformed, WrongPath, WrongHost, WrongMethod, NoVisit} {
		pages[string(r)] = r.page()
	}
	return pages
}

func outcomes() map[string]Outcome {
	return map[string]Outcome{
		"allowed":    {Result: Allowed, Profile: "acme-sb1", Account: "1234567_SB1", Environment: "SANDBOX"},
		"denied":     {Result: Denied, Profile: "acme-sb1", Account: "1234567_SB1", Environment: "SANDBOX"},
		"failed":     {Result: Failed, Profile: "acme-sb1", Why: "NetSuite refused the code: invalid_grant", Code: "NSA-NETSUITE"},
		"bare":       {Result: Failed},
		"unfinished": {Result: Unfinished},
	}
}

// TestEveryPage: each says something of its own, in whole sentences, and loads, runs and
// sends nothing.
func TestEveryPage(t *testing.T) {
	titles := map[string]string{}
	for name, p := range everyPage() {
		text := string(p.html())
		if other := titles[p.title]; other != "" && name != "bare" && other != "failed" && other != "bare" {
			t.Errorf("%s and %s have the same title", name, other)
		}
		titles[p.title] = name
		if p.title == "" || p.status < 200 || len(p.text) == 0 || p.tone == "" {
			t.Errorf("%s: %+v", name, p)
		}
		for _, line := range p.text {
			if !strings.HasSuffix(line, ".") {
				t.Errorf("%s: %q is no sentence", name, line)
			}
		}
		for _, forbidden := range []string{"<script", "<form", "<a ", "<img", "<iframe", "http:", "https:", "url(", "@import", "style=", " on"} {
			tags := regexp.MustCompile(`<[^>]*>|<style>.*</style>`).FindAllString(text, -1)
			if strings.Contains(strings.Join(tags, "\n"), forbidden) {
				t.Errorf("%s: the page has %q", name, forbidden)
			}
		}
		if !strings.Contains(text, "<style>"+pageStyle+"</style>") {
			t.Errorf("%s: the style is not the one whose hash the policy has", name)
		}
	}
}

// TestPageEscapes: what comes from the agent cannot become markup.
func TestPageEscapes(t *testing.T) {
	const bad = `"><script>alert(1)</script>&`
	for result := range maps.Values(outcomes()) {
		if text := string(Outcome{result.Result, bad, bad, bad, bad, bad}.page().html()); strings.Contains(text, "<script") || !strings.Contains(text, html.EscapeString(bad)) {
			t.Errorf("got %s", text)
		}
	}
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{"": "It was refused.", "it is so": "It is so.", "It is so.": "It is so.", "x": "X.", "über": "über."} {
		if got := sentence(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
