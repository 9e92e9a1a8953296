package pathglob

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A path is decoded octet by octet, once, and what is no escape stays.
func TestDecode(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a%": "a%", "%2": "%2", "%7z": "%7z", "%z7": "%z7", "%zz": "%zz", "%00": "\x00", "%0f%F0": "\x0f\xf0", "%2541": "%41", "%%41": "%A", "x%4a": "xJ",
	} {
		if got := Decode(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "/a": "/a", "/@AZ[`az{": "/@az[`az{", "/eid%3AX": "/eid:x", "/%c3%89%C3%a9": "/\u00c9\u00e9", "/A%ff%80": "/a\xff\x80", "/%C5%BF": "/\u017f", "/%2A*": "/**",
	} {
		if got := Fold(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Who allows a spelling allows that one; who refuses one refuses all.
func TestSpellings(t *testing.T) {
	for _, c := range []struct {
		pattern               string
		exact, folded, others []string // fits; fits in another spelling; does not
	}{
		{"/v1/*/*/!transform/*", []string{"/v1/a/1/!transform/b", "/v1/%21/%C3%89/!transform/%3A"}, []string{"/v1/a/1/%21transform/b", "/v1/a/1/%21TRANSFORM/b"},
			[]string{"/v1/a/1/%2521transform/b", "/v1/a/1/%2Ftransform/b", "/v1/a/1/transform/b", "/v1/a%2F1/!transform/b"}},
		{"/c/eid:VIP", []string{"/c/eid:VIP"}, []string{"/c/eid%3AVIP", "/c/eid%3aVIP", "/C/EID%3Avip"}, []string{"/c/eid%3BVIP", "/c/eid%253AVIP", "/c/eid;VIP", "/c/%65id:VIP"}},
		{"/c/eid%3AVIP", []string{"/c/eid%3AVIP"}, []string{"/c/eid:VIP", "/c/eid%3aVIP"}, []string{"/c/eid::VIP"}},
		{"/c/eid:*", []string{"/c/eid:", "/c/eid:%2A"}, []string{"/c/eid%3A", "/c/eid%3a1"}, []string{"/c/eid", "/c/eid%3"}},
		{"/c/%2A", []string{"/c/%2A"}, []string{"/c/*", "/c/%2a"}, []string{"/c/a", "/c/**"}},
		{"/c/*%2A", []string{"/c/x%2A", "/c/%2A"}, []string{"/c/x*", "/c/%21*"}, []string{"/c/x", "/c/x%2A1"}},
		{"/c/*1", []string{"/c/1", "/c/%211"}, nil, []string{"/c/%21", "/c/!", "/c/%C3%A1"}},
		{"/c/*b", []string{"/c/b", "/c/%3Ab"}, []string{"/c/B"}, []string{"/c/%5b", "/c/%5B", "/c/%7b"}},
		{"/c/a%20b", []string{"/c/a%20b"}, []string{"/c/A%20B"}, []string{"/c/a+b", "/c/a%2Bb"}},
		{"/c/**", []string{"/c/%21", "/c/!/%21"}, []string{"/C/%21"}, []string{"/c/%2e", "/c/%2F"}},
	} {
		p, err := Compile(c.pattern)
		if err != nil {
			t.Fatalf("%s: %v", c.pattern, err)
		}
		for i, list := range [][]string{c.exact, c.folded, c.others} {
			for _, path := range list {
				if exact, folded := p.Match(path), p.MatchFold(path); exact != (i == 0) || folded != (i < 2) {
					t.Errorf("%s and %s: got %t, in any spelling %t", c.pattern, path, exact, folded)
				}
			}
		}
	}
}

// respelled returns path with every octet escaped that may be, in capital digits or small.
func respelled(path, format string) string {
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; strings.IndexByte("!$&'()*+,=:@", c) >= 0 {
			b.WriteByte('%')
			b.WriteByte(format[c>>4])
			b.WriteByte(format[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

const smallHex, capitalHex = "0123456789abcdef", "0123456789ABCDEF"

// What an escape stands for does not change whether a rule that refuses is meant.
func TestSpellingsAreOne(t *testing.T) {
	part := rapid.StringMatching(`([aB!:1]|%21|%3A|%3a|%C3%89){1,4}`)
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + part.Draw(t, "part") + "/" + part.Draw(t, "part")
		pattern := "/" + part.Draw(t, "before") + rapid.SampledFrom([]string{"", "*", "*1", "*!", "/*", "/**"}).Draw(t, "end")
		if rapid.Bool().Draw(t, "near") {
			pattern = strings.Replace(path, "!", "%21", 1)
		}
		p, err := Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{respelled(path, smallHex), respelled(path, capitalHex), strings.ReplaceAll(path, "%21", "!")} {
			if p.MatchFold(path) != p.MatchFold(q) {
				t.Fatalf("%s: %s and %s differ", pattern, path, q)
			}
		}
		if p.Match(path) && !p.MatchFold(path) {
			t.Fatalf("%s fits %s as written alone", pattern, path)
		}
	})
}
