package audit

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextsCannotBreakOut(t *testing.T) {
	long := strings.Repeat("a", 5000)
	hostile := map[string]string{
		"newline":            "a\nb",
		"carriage return":    "a\r\n{\"seq\":1}",
		"closing":            `x","outcome":"ok","prev":"00`,
		"whole line":         "\"}\n{\"seq\":2,\"time\":\"2026-11-22T20:10:42.123456Z\",\"event\":\"sign\",\"outcome\":\"ok\"",
		"backslash at end":   `x\`,
		"escaped quote":      `x\"`,
		"unicode escape":     `\u0022`,
		"nul":                "a\x00b",
		"terminal":           "\x1b]0;owned\x07\x1b[2J",
		"delete":             "a\x7fb",
		"c1":                 "a\u009bb",
		"line separator":     "a\u2028b\u2029c",
		"right to left":      "acme\u202egpj.exe",
		"isolate":            "\u2066x\u2069",
		"byte order mark":    "\ufeffacme",
		"not utf-8":          "a\xffb\xc0\xaf",
		"cut rune":           "a\xe2\x82",
		"surrogate":          "\xed\xa0\x80",
		"long":               long,
		"long of quotes":     strings.Repeat(`"`, 5000),
		"long of runes":      strings.Repeat("ä€𝄞", 500),
		"long of bad bytes":  strings.Repeat("\xff", 5000),
		"all replaced":       strings.Repeat("\x01", 300),
		"html":               `<script>&'</script>`,
		"format verbs":       "%s%n%!",
		"replacement itself": "\uFFFD",
	}
	for name, s := range hostile {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			l := mustOpen(t, dir)
			e := use(1)
			e.Reason, e.Profile, e.Account, e.Kind, e.Method, e.Host, e.Path, e.RESTlet, e.Exe, e.Grant, e.Rule, e.Detail = s, s, s, s, s, s, s, s, s, s, s, s
			mustAppend(t, l, 1)
			if _, err := l.Append(e); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, l, 1)
			mustClose(t, l)
			log := contents(t, dir)

			// What `jq -c . | wc -l` would count.
			d := json.NewDecoder(bytes.NewReader(log))
			for n := 0; ; n++ {
				var m map[string]any
				if err := d.Decode(&m); err == io.EOF {
					if n != 3 {
						t.Fatalf("%d values, want 3", n)
					}
					break
				} else if err != nil {
					t.Fatal(err)
				}
				if m["seq"] != float64(n+1) || len(m) > 18 {
					t.Fatalf("value %d: %v", n+1, m)
				}
			}
			got := wantGood(t, dir, 3)[1]
			for field, c := range map[string]struct {
				text  string
				limit int
			}{
				"reason": {got.Reason, maxReason}, "profile": {got.Profile, maxProfile},
				"account": {got.Account, maxAccount}, "kind": {got.Kind, maxKind},
				"method": {got.Method, maxMethod}, "host": {got.Host, maxHost},
				"exe": {got.Exe, maxExe}, "grant": {got.Grant, maxGrant}, "rule": {got.Rule, maxRule}, "detail": {got.Detail, maxDetail},
			} {
				switch {
				case c.text == "" || len(c.text) > c.limit || !utf8.ValidString(c.text):
					t.Errorf("%s: %q", field, c.text)
				case len(s) > 1000 && !strings.HasSuffix(c.text, ellipsis):
					t.Errorf("%s: %q was cut and does not say so", field, c.text)
				case strings.ContainsFunc(c.text, forbidden):
					t.Errorf("%s: %q holds what is to be replaced", field, c.text)
				}
			}
			if strings.ContainsAny(got.Path, "?#") || len(got.Path) > maxPath {
				t.Errorf("path: %q", got.Path)
			}
			if got.RESTlet != "" {
				t.Errorf("RESTlet: %q", got.RESTlet)
			}
		})
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":               "",
		"abcdefghij":     "abcdefghij",
		"abcdefghijk":    "abcdefg…",
		"äöüäö":          "äöüäö",
		"äöüäöü":         "äöü…",
		"a\nb":           "a\uFFFDb",
		"\n\n\n":         "\uFFFD\uFFFD\uFFFD",
		"\n\n\n\n":       "\uFFFD\uFFFD…",
		"abcdefgh\xe2":   "abcdefg…",
		"\"quoted\"":     "\"quoted\"",
		"𝄞𝄞":             "𝄞𝄞",
		"𝄞𝄞𝄞":            "𝄞…",
		"ab\u202e\u2028": "ab\uFFFD\uFFFD",
	} {
		if got := clean(in, 10); got != want || clean(got, 10) != got {
			t.Errorf("clean(%q): got %q, want %q", in, got, want)
		}
	}
}

func TestQueriesAreLeftOut(t *testing.T) {
	for in, want := range map[string]string{
		"/services/rest/query/v1/suiteql":                     "/services/rest/query/v1/suiteql",
		"/app/site/hosting/restlet.nl?script=1&email=a@b.com": "/app/site/hosting/restlet.nl",
		"/a#b":  "/a",
		"?x=1":  "",
		"":      "",
		"/a%3F": "/a%3F",
	} {
		dir := newDir(t)
		l := mustOpen(t, dir)
		e := use(1)
		e.Path = in
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
		if got := wantGood(t, dir, 1)[0].Path; got != want {
			t.Errorf("path %q: got %q, want %q", in, got, want)
		}
	}
}

// Of a query the log has which RESTlet was meant, and nothing else.
func TestNamesOfRESTlets(t *testing.T) {
	long := strings.Repeat("s", maxScript)
	for in, good := range map[string]bool{
		"1/2": true, "customscript_Load-1/customdeploy1": true, "az/AZ": true, "09/_-": true, long + "/" + long: true,
		"": false, "1": false, "1/": false, "/1": false, "/": false, "1/2/3": false, "1/2&email=a": false, "a@b/1": false, "1/a b": false, "1/%31": false,
		"1/é": false, "1/2\n": false, long + "s/1": false, "1/s" + long: false,
	} {
		dir := newDir(t)
		l := mustOpen(t, dir)
		e := use(1)
		e.RESTlet = in
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
		want := map[bool]string{true: in}[good]
		if got := wantGood(t, dir, 1)[0].RESTlet; got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
