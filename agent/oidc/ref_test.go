package oidc

import "testing"

// What git calls a branch is taken, odd or not, and what it never does is not: no job would
// show it.
func TestRefsThatThereCanBe(t *testing.T) {
	for _, name := range []string{"main", "refs/heads/main", "feature/a@b", "v1.2", "a-b_c", "@x", "a.b/c", "x.locked", "#1", "é"} {
		if !soundRef(name) {
			t.Errorf("%s is refused", name)
		}
	}
	for _, name := range []string{"release/*", "refs/heads/*", "v?", "v[12]", "a b", "a..b", "a~1", "a^", "a:b", `a\b`, "a@{1}", "/a", "a/", "a//b", "a.", ".a", "a/.b", "a.lock", "a.lock/b", "a\x7f", "a\nb", ""} {
		if soundRef(name) {
			t.Errorf("%q is taken", name)
		}
	}
}
