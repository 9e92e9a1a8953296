package pathglob

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern  string
		fits     []string
		fitsNone []string
	}{
		{"/services/rest/query/v1/suiteql", []string{"/services/rest/query/v1/suiteql"}, []string{"/services/rest/query/v1/suiteql/", "/services/rest/query/v1/suiteqlx", "/services/rest/query/v1/SuiteQL", "services/rest/query/v1/suiteql", "", "/"}},
		{"/record/v1/customer/**", []string{"/record/v1/customer/1", "/record/v1/customer/1/addressBook", "/record/v1/customer/eid:A%20B"},
			[]string{"/record/v1/customer", "/record/v1/customer/", "/record/v1/customers/1", "/record/v1/customer/../employee/1", "/record/v1/customer/%2e%2e/employee", "/record/v1/customer//1", "/record/v1/customer/1;x=y", "/record/v1/customer/a%2Fb"}},
		{"/record/v1/*", []string{"/record/v1/customer"}, []string{"/record/v1", "/record/v1/customer/1", "/record/v1/"}},
		{"/record/v1/customrecord_*", []string{"/record/v1/customrecord_", "/record/v1/customrecord_x"}, []string{"/record/v1/customrecord", "/record/v1/xcustomrecord_y", "/record/v1/customrecord_x/1"}},
		{"/a/x*y", []string{"/a/xy", "/a/xzy"}, []string{"/a/x", "/a/xyx"}},
		{"/a/*y", []string{"/a/y", "/a/zy"}, []string{"/a/yz", "/a"}},
		{"/**", []string{"/a", "/a/b"}, []string{"", "a", "//", "/.."}},
		{"/", nil, []string{"/a", "//"}},
	} {
		p, err := Compile(tc.pattern)
		if err != nil {
			t.Fatalf("%s: %v", tc.pattern, err)
		}
		for _, path := range tc.fits {
			if !p.Match(path) || !p.MatchFold(strings.ToUpper(path)) && !strings.Contains(path, "%") {
				t.Errorf("%s does not fit %q", path, tc.pattern)
			}
		}
		for _, path := range tc.fitsNone {
			if p.Match(path) {
				t.Errorf("%s fits %q", path, tc.pattern)
			}
		}
	}
}

func TestPatternsThatAreRefused(t *testing.T) {
	for _, pattern := range []string{"", "a", "*", "/a/**/b", "/a/*x*", "/a//b", "/a/", "/a/../b", "/a?x=1", "/a/%2Fb", "/a/%61", "/a b", "/a;b", "**", "/a**", strings.Repeat("/a", MaxPattern)} {
		if _, err := Compile(pattern); !errors.Is(err, ErrPattern) {
			t.Errorf("%.40q: got %v, want ErrPattern", pattern, err)
		}
	}
}

func TestLongestPattern(t *testing.T) {
	if _, err := Compile("/" + strings.Repeat("a", MaxPattern-1)); err != nil {
		t.Error(err)
	}
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

// Every octet is plain, or is not, as the comment of Plain says: as it is and escaped.
func TestPlainOctets(t *testing.T) {
	for c := range 256 {
		want := strings.Contains(letters+"!$&'()*+,=:@", string(rune(c)))
		if got := Plain("/a" + string([]byte{byte(c)}) + "20b"); got != (want || c == '/' || c == '%') {
			t.Errorf("%q: got %t", rune(c), got)
		}
		for d := range 256 {
			hex := string([]byte{byte(c), byte(d)})
			octet, err := strconv.ParseUint(hex, 16, 8)
			want := err == nil && octet >= ' ' && octet != 0x7f && !strings.Contains(letters+`/\%;`, string(rune(octet)))
			if Plain("/%"+hex) != want {
				t.Errorf("%%%q: got %t", hex, !want)
			}
		}
	}
	for path, want := range map[string]bool{
		"/%2": false, "/%": false, "/a%": false, "/.": false, "/..": false, "/./a": false, "/a/./b": false, "/a/../b": false, "/...": true, "/.a": true, "/a//b": false,
	} {
		if Plain(path) != want {
			t.Errorf("%s: got %t", path, !want)
		}
	}
}

// FuzzMatch: no input makes a match panic, what matches is plain, and two spellings of a
// path get one answer from who refuses.
func FuzzMatch(f *testing.F) {
	f.Add("/record/v1/customer/**", "/record/v1/customer/1")
	f.Add("/a/*b", "/a/%2e%2e/b")
	f.Add("/a/*/!transform/*1", "/a/eid%3AVIP/!transform/%21")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		p, err := Compile(pattern)
		if err != nil {
			return
		}
		if p.Match(path) && !(Plain(path) && p.MatchFold(path)) {
			t.Errorf("%q matches %q", pattern, path)
		}
		for _, digits := range []string{smallHex, capitalHex} {
			if other := respelled(path, digits); p.MatchFold(path) != p.MatchFold(other) {
				t.Errorf("%q: %q and %q differ", pattern, path, other)
			}
		}
	})
}
