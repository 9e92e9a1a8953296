package policy

import (
	"fmt"
	"strings"
	"testing"
)

// What one operation says of another: it covers it, or both may be of one attempt.
func TestOperationsCompared(t *testing.T) {
	const suiteqlPath, restletPath = " " + SuiteQLPath, " " + RESTletPath
	for _, c := range []struct {
		o, l             string
		covers, overlaps bool
	}{
		{"*", "passport", true, true}, {"*", "GET /**", true, true}, {"passport", "*", false, true}, {"GET /**", "*", false, true},
		{"GET,PUT /a/*", "GET /a/b", true, true}, {"GET /a/b", "GET /a/*", false, true}, {"GET /a", "GET /b", false, false},
		{"GET /a/!x", "GET /a/%21X", false, true}, {"GET /a/eid%3A*", "* /a/eid:1", false, true}, {"GET /a/*", "GET /a/%21", true, true}, {"GET /a/*1", "GET /a/%21", false, false},
		{"GET /a", "PUT /a", false, false}, {"GET /a", "GET,PUT /a", false, true}, {"* /a", "GET /a", true, true}, {"GET /a", "* /a", false, true},
		{"POST" + suiteqlPath, "suiteql", true, true}, {"*" + suiteqlPath, "suiteql", true, true}, {"POST /services/**", "suiteql", true, true},
		{"GET" + suiteqlPath, "suiteql", false, false}, {"GET,POST" + suiteqlPath, "suiteql", true, true}, {"POST /app/**", "suiteql", false, false}, {"suiteql", "POST" + suiteqlPath, false, true},
		{"*" + restletPath, "restlet 1/1", true, true}, {"* /**", "restlet */*", true, true}, {"GET" + restletPath, "restlet 1/1", false, true},
		{"* /services/**", "restlet 1/1", false, false}, {"restlet */*", "*" + restletPath, false, true},
		{"* /**", "soap get", false, true}, {"POST /services/NetSuitePort_2025_2", "soap get", false, true}, {"POST /services/rest/**", "soap get", false, false},
		{"* /services/*/x", "soap get", false, true}, {"* /services/netsuiteport_*", "soap get", false, true},
		{"* /**", "passport", false, false}, {"* /**", "token", false, false}, {"suiteql", "restlet 1/1", false, false}, {"suiteql", "suiteql", true, true},
		{"restlet 1/*", "restlet 1/2", true, true}, {"restlet */1", "restlet 2/1", true, true}, {"restlet 1/1", "restlet 1/2", false, false},
		{"restlet 1/1", "restlet 2/1", false, false}, {"restlet 1/1", "restlet */1", false, true}, {"restlet 1/1", "restlet 1/*", false, true},
		{"soap get,search", "soap get", true, true}, {"soap get", "soap get,search", false, true}, {"soap get", "soap search", false, false},
		{"soap get", "passport", false, true}, {"soap get", "connect", false, true}, {"soap get", "token", false, false}, {"soap get", "suiteql", false, false},
		{"soap get", "restlet 1/1", false, false}, {"passport", "passport", true, true}, {"passport", "connect", false, false}, {"token", "assertion", false, false},
	} {
		const table = "effect = \"allow\"\nwhat = %q"
		p := rules(t, fmt.Sprintf(table, c.o), fmt.Sprintf(table, c.l))
		o, l := &p.Rules[0], &p.Rules[1]
		if o.covers(l) != c.covers || o.overlaps(l) != c.overlaps || l.overlaps(o) != c.overlaps {
			t.Errorf("%s and %s: got covers %t, overlaps %t and %t", c.o, c.l, o.covers(l), o.overlaps(l), l.overlaps(o))
		}
	}
}

// Who is compared part by part.
func TestWhoCompared(t *testing.T) {
	hash := func(c string) string { return `exe_sha256 = "` + strings.Repeat(c, 64) + `"` }
	oidc := func(s string) string { return `oidc = { issuer = "https://i", ` + s + ` }` }
	for _, c := range []struct {
		w, v             string
		covers, overlaps bool
	}{
		{`uid = [7, 8]`, `uid = 8`, true, true}, {`uid = 8`, `uid = [7, 8]`, false, true}, {`uid = 7`, `uid = 8`, false, false},
		{`exe = ["/a", "/b"]`, `exe = "/a"`, true, true}, {`exe = "/a"`, `exe = "/b"`, false, false}, {`exe = "/a"`, `tty = true`, false, true},
		{hash("0"), hash("0") + `, exe = "/a"`, true, true}, {hash("0"), hash("1"), false, false}, {hash("0"), `exe = "/a"`, false, true},
		{`unit = "a*"`, `unit = "ab"`, true, true}, {`unit = "ab"`, `unit = "a*"`, false, true}, {`unit = "a"`, `unit = "b"`, false, false},
		{`container = "a*"`, `container = "ab"`, true, true}, {`container = "ab"`, `container = "a*"`, false, true}, {`container = "a"`, `container = "b"`, false, false},
		{`grant = "*"`, `grant = "g_aaaaaaaaaaaaaaaaaaaaaaaaaa"`, true, true}, {`grant = "g_aaaaaaaaaaaaaaaaaaaaaaaaaa"`, `grant = "*"`, false, true}, {`grant = "g_aaaaaaaaaaaaaaaaaaaaaaaaaa"`, `grant = "g_bbbbbbbbbbbbbbbbbbbbbbbbbb"`, false, false},
		{`tty = true`, `tty = true, exe = "/a"`, true, true}, {`tty = true`, `tty = false`, false, false}, {`tty = true`, `exe = "/a"`, false, true},
		{oidc(`a = ["1", "2"]`), oidc(`a = "1"`), true, true}, {oidc(`a = "1"`), oidc(`a = ["1", "2"]`), false, true},
		{oidc(`a = "1"`), oidc(`a = "1", b = "1"`), true, true}, {oidc(`a = "1", b = "1"`), oidc(`a = "1"`), false, true}, {oidc(`a = "1"`), oidc(`b = "1"`), false, true},
		{oidc(`a = "1"`), `oidc = { issuer = "https://j", a = "1" }`, false, false}, {oidc(`a = "1"`), `tty = true`, false, true},
	} {
		const table = "effect = \"deny\"\nwhat = \"*\"\nwho = { %s }"
		p := rules(t, fmt.Sprintf(table, c.w), fmt.Sprintf(table, c.v), "effect = \"deny\"\nwhat = \"*\"")
		w, v, all := &p.Rules[0], &p.Rules[1], &p.Rules[2]
		if w.covers(v) != c.covers || w.overlaps(v) != c.overlaps || v.overlaps(w) != c.overlaps {
			t.Errorf("%s and %s: got covers %t, overlaps %t and %t", c.w, c.v, w.covers(v), w.overlaps(v), v.overlaps(w))
		}
		if !all.covers(w) || w.covers(all) || !all.overlaps(w) || !w.overlaps(all) {
			t.Errorf("%s and everybody", c.w)
		}
	}
}

// The parts of a rule beside what and who.
func TestRulesCompared(t *testing.T) {
	const (
		allow = "effect = \"allow\"\n"
		deny  = "effect = \"deny\"\n"
		ask   = "effect = \"ask\"\n"
		reads = "what = \"GET,HEAD /services/**\"\n"
		all   = "what = \"*\"\n"
	)
	in := func(environment string) string { return fmt.Sprintf("environment = %q\n", environment) }
	of := func(what string) string { return fmt.Sprintf("what = %q\n", what) }
	for _, c := range []struct {
		r, l             string
		covers, overlaps bool
	}{
		{allow + all, allow + all + "profiles = \"a\"", true, true}, {allow + all + "profiles = \"a\"", allow + all, false, true},
		{allow + all + "profiles = \"a\"", allow + all + "profiles = \"b\"", false, false},
		{allow + all, allow + all + "hours = \"Mon 01:00-02:00 UTC\"", true, true}, {allow + all + "hours = \"Mon 01:00-02:00 UTC\"", allow + all, false, true},
		{allow + all + "hours = \"Mon 01:00-02:00 UTC\"", allow + all + "hours = \"Mon 01:00-03:00 UTC\"", false, true},
		{allow + all + in("sandbox"), allow + all + in("production"), false, false}, {allow + all + in("sandbox"), allow + all + in("sandbox"), true, true},
		{allow + all + in("sandbox"), allow + all, false, true}, {allow + all, allow + all + in("sandbox"), true, true}, {allow + all, allow + all, true, true},
		// Without an environment, a rule that allows leaves out what writes in production.
		{allow + all, allow + all + in("production"), false, true}, {allow + all, allow + reads + in("production"), true, true}, {allow + all, deny + all, false, true},
		{allow + all, deny + reads, true, true}, {deny + all, allow + all + in("production"), true, true}, {deny + all, deny + all, true, true},
		{allow + all, allow + of("suiteql") + in("production"), true, true}, {allow + all, allow + of("restlet 1/1") + in("production"), false, true},
		{allow + all, allow + of("* /services/**") + in("production"), false, true}, {allow + all, allow + of("GET,PUT /services/**") + in("production"), false, true},
		{allow + all, allow + of("GET /services/**") + in("production"), true, true}, {allow + all, allow + of("HEAD /services/**") + in("production"), true, true},
		{allow + all, allow + of("GET /rest/*") + in("production"), false, true}, {allow + all, allow + of("GET /**") + in("production"), false, true},
		{allow + all, allow + of("GET /REST/issuetoken") + in("production"), false, true}, {allow + all, allow + of("GET /re*/x") + in("production"), true, true},
		{allow + all, allow + of("GET /re%C5%BFt/*") + in("production"), false, true},
		// And one that only writes is for sandboxes, unless what it asks for cannot be told.
		{allow + of("PUT /a") + in("sandbox"), allow + of("PUT /a"), true, true}, {allow + of("PUT /a") + in("sandbox"), ask + of("PUT /a"), false, true},
		{allow + of("token") + in("sandbox"), ask + of("token"), true, true}, {allow + of("GET,PUT /a") + in("sandbox"), allow + of("GET,PUT /a"), false, true},
		{allow + of("HEAD /a") + in("sandbox"), allow + of("HEAD /a"), false, true}, {allow + of("* /a") + in("sandbox"), allow + of("* /a"), false, true},
		// A SuiteQL query reads, though it is a POST.
		{allow + all, allow + of("POST "+SuiteQLPath) + in("production"), true, true}, {allow + all, allow + of("PUT "+SuiteQLPath) + in("production"), false, false},
		{allow + all, allow + of("POST "+SuiteQLPath+"/**") + in("production"), false, false}, {allow + all, allow + of("POST /services/rest/query/v1/*") + in("production"), false, true},
		{allow + of("POST "+SuiteQLPath) + in("sandbox"), allow + of("POST "+SuiteQLPath), false, true}, {allow + of("PUT "+SuiteQLPath) + in("sandbox"), allow + of("PUT "+SuiteQLPath), true, true},
		// One that names no user is for the owner.
		{allow + all, allow + all + "who = { uid = 8 }", false, true}, {deny + all, allow + all + "who = { uid = 8 }", true, true},
		{allow + all + "who = { uid = 8 }", allow + all + "who = { uid = 9 }", false, false},
	} {
		p := rules(t, c.r, c.l)
		r, l := &p.Rules[0], &p.Rules[1]
		if r.covers(l) != c.covers || r.overlaps(l) != c.overlaps || l.overlaps(r) != c.overlaps {
			t.Errorf("%s\nand\n%s\ngot covers %t, overlaps %t and %t", c.r, c.l, r.covers(l), r.overlaps(l), l.overlaps(r))
		}
	}
}
