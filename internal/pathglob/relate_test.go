package pathglob

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyName and anyWord draw from two letters, so that they often meet.
func anyName(t *rapid.T, label string) string {
	return rapid.StringMatching(`[abA]{0,4}`).Draw(t, label)
}

func anyWord(t *rapid.T, label string) string {
	return rapid.StringMatching(`([ab]{1,3}|[ab]{0,2}\*[ab]{0,2})`).Draw(t, label)
}

func TestWords(t *testing.T) {
	for _, bad := range []string{"", "a*b*", "**", strings.Repeat("a", MaxPattern+1)} {
		if _, err := CompileWord(bad); err == nil {
			t.Errorf("%.20q was read", bad)
		}
	}
	if _, err := CompileWord(strings.Repeat("a", MaxPattern)); err != nil {
		t.Error("the longest pattern:", err)
	}
	if w, err := CompileWord("*"); err != nil || w.Match("") || !w.Match("a") {
		t.Errorf("the star alone: got %+v, %v", w, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		text, other, name := anyWord(t, "w"), anyWord(t, "v"), anyName(t, "name")
		w, err1 := CompileWord(text)
		v, err2 := CompileWord(other)
		if err1 != nil || err2 != nil || w.String() != text || w.Literal() != !strings.Contains(text, "*") {
			t.Fatalf("%q: %v, %v", text, err1, err2)
		}
		if w.Match(name) && !w.MatchFold(strings.ToUpper(name)) {
			t.Fatalf("%q matches %q, and not in capitals", text, name)
		}
		if w.Covers(v) && v.Match(name) && !w.Match(name) {
			t.Fatalf("%q covers %q, and not %q", text, other, name)
		}
		if w.MatchFold(name) && v.MatchFold(name) && (!w.Overlaps(v) || !v.Overlaps(w)) {
			t.Fatalf("%q and %q meet in %q", text, other, name)
		}
		if !w.Covers(w) || w.Covers(v) && !w.Overlaps(v) {
			t.Fatalf("%q, %q", text, other)
		}
	})
}

// What covers and overlaps is told whole, not only where it is safe to.
func TestRelationsAreTold(t *testing.T) {
	for _, c := range []struct {
		p, q             string
		covers, overlaps bool
	}{
		{"/a", "/a", true, true}, {"/a", "/A", false, true}, {"/a", "/b", false, false}, {"/a", "/a/b", false, false},
		{"/a/**", "/a/b", true, true}, {"/a/**", "/a/b/**", true, true}, {"/a/b/**", "/a/**", false, true}, {"/a/**", "/a", false, false},
		{"/**", "/a", true, true}, {"/**", "/**", true, true}, {"/a", "/**", false, true},
		{"/a/*", "/a/x*", true, true}, {"/a/x*", "/a/*", false, true}, {"/a/x*", "/a/*y", false, true}, {"/a/x*", "/a/y*", false, false}, {"/a/*x", "/a/*y", false, false},
		{"/a/*", "/a/b/**", false, false}, {"/a/*/**", "/a/b/c", true, true}, {"/a/**", "/b/**", false, false},
		{"/a/!x", "/a/%21x", false, true}, {"/a/%21x", "/a/!*", false, true}, {"/a/*", "/a/%21", true, true}, {"/a/%3A*", "/a/:*b", false, true}, {"/a/%21x", "/a/%21*", false, true},
		{"/a/!*", "/a/!x", true, true}, {"/a/*1", "/a/%21", false, false}, {"/a/*%21", "/a/*1", false, false}, {"/a/*1", "/a/*%21", false, false}, {"/a/%FF", "/a/%FE", false, false},
		{"/abc", "/a*x", false, false}, {"/a*c", "/abc", true, true}, {"/ab*", "/a", false, false},
	} {
		p, err1 := Compile(c.p)
		q, err2 := Compile(c.q)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if p.Covers(q) != c.covers || p.Overlaps(q) != c.overlaps || q.Overlaps(p) != c.overlaps {
			t.Errorf("%s and %s: covers %t, overlaps %t and %t", c.p, c.q, p.Covers(q), p.Overlaps(q), q.Overlaps(p))
		}
	}
	var zero Pattern
	p, _ := Compile("/**")
	if zero.Covers(p) || p.Covers(zero) || zero.Overlaps(p) || p.Overlaps(zero) || zero.Match("/a") || zero.Covers(zero) || zero.Overlaps(zero) {
		t.Error("the zero pattern is in relation to something")
	}
	for pattern, want := range map[string]string{"/**": "", "/a": "/a", "/a/b/**": "/a/b", "/a/x*/c": "/a", "/*": "", "/": "/"} {
		if p, _ := Compile(pattern); p.Prefix() != want {
			t.Errorf("%s: prefix %q", pattern, p.Prefix())
		}
	}
}

func TestPatternsRelate(t *testing.T) {
	word := rapid.StringMatching(`([a1!]|%21){1,3}|([a!]|%21){0,2}\*([1a!]|%21){0,2}`)
	name := rapid.StringMatching(`([a1A!]|%21){0,3}`)
	pattern := func(t *rapid.T, label string) string {
		n := rapid.IntRange(1, 3).Draw(t, label+" segments")
		s := ""
		for range n {
			s += "/" + word.Draw(t, label)
		}
		return s + rapid.SampledFrom([]string{"", "/**"}).Draw(t, label+" end")
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := pattern(t, "p"), pattern(t, "q")
		p, err1 := Compile(a)
		q, err2 := Compile(b)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		path := ""
		for range rapid.IntRange(1, 4).Draw(t, "segments") {
			path += "/" + name.Draw(t, "segment")
		}
		if p.Covers(q) && q.Match(path) && !p.Match(path) {
			t.Fatalf("%s covers %s, and not %s", a, b, path)
		}
		if p.MatchFold(path) && q.MatchFold(path) && !p.Overlaps(q) {
			t.Fatalf("%s and %s meet in %s", a, b, path)
		}
		if p.Match(path) && !strings.HasPrefix(path, p.Prefix()) {
			t.Fatalf("%s does not start with %s", path, p.Prefix())
		}
		if p.MatchFold(path) && !strings.HasPrefix(Fold(path), Fold(p.Prefix())) {
			t.Fatalf("%s does not start with %s in any spelling", path, p.Prefix())
		}
	})
}
