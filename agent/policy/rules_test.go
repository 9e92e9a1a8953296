package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// rules returns a policy of the rules given, each as the lines of its table.
func rules(t testing.TB, tables ...string) *Policy {
	t.Helper()
	p, err := Parse(textOf(tables...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func textOf(tables ...string) string {
	var text strings.Builder
	text.WriteString("version = 1\n")
	for i, table := range tables {
		fmt.Fprintf(&text, "[[rule]]\nname = \"r%d\"\n%s\n", i, table)
	}
	return text.String()
}

// writer is an attempt on a sandbox profile that may write.
func writer(method, path string) Attempt {
	return attempt(func(a *Attempt) { a.Access, a.Environment, a.Method, a.Path = Write, "sandbox", method, path })
}

func of(kind Kind) Attempt {
	a := writer("", "")
	a.Kind = kind
	return a
}

func with(a Attempt, change func(*Attempt)) Attempt { change(&a); return a }

const (
	customers = "/services/rest/record/v1/customer"
	restlet   = RESTletPath
)

func TestOperations(t *testing.T) {
	script := func(s string) Attempt { return with(writer("POST", restlet), func(a *Attempt) { a.Script = s }) }
	soap := func(op string) Attempt { return with(of(KindPassport), func(a *Attempt) { a.Operation = op }) }
	for _, c := range []struct {
		what       string
		in         Attempt
		allow, den fit // how well a rule that allows, and one that denies, matches
	}{
		{"*", writer("DELETE", customers), yes, yes},
		{"*", of(KindToken), yes, yes},
		{"*", writer("GET", "/a/../b"), yes, yes},
		{"GET " + customers + "/**", writer("GET", customers+"/1"), yes, yes},
		{"GET " + customers + "/**", writer("GET", customers), no, no},
		{"GET " + customers + "/**", writer("PUT", customers+"/1"), no, no},
		{"GET,PUT " + customers + "/**", writer("PUT", customers+"/1"), yes, yes},
		{"* " + customers + "/*", writer("DELETE", customers+"/1"), yes, yes},
		{"GET " + customers + "/**", writer("GET", strings.ToUpper(customers)+"/1"), no, yes},
		{"GET " + customers + "/**", writer("get", customers+"/1"), no, yes},
		{"GET " + customers + "/**", writer("GET", customers+"/../customer/1"), unclear, unclear},
		{"GET " + customers + "/**", writer("GET", customers+"//1"), unclear, unclear},
		{"GET " + customers + "/**", writer("GET", customers+"/eid%3AA"), yes, yes},
		{"GET " + customers + "/eid:A", writer("GET", customers+"/eid:A"), yes, yes},
		{"GET " + customers + "/eid:A", writer("GET", customers+"/eid%3Aa"), no, yes},
		{"GET " + customers + "/eid%3AA", writer("GET", customers+"/eid:A"), no, yes},
		{"GET " + customers + "/eid%3AA", writer("GET", customers+"/eid%3aA"), no, yes},
		{"GET " + customers + "/eid:A", writer("GET", customers+"/eid:B"), no, no},
		{"GET " + customers + "/eid:A", writer("GET", customers+"/eid%253AA"), unclear, unclear},
		{"GET " + customers + "/eid:A", writer("GET", customers+"%2Feid:A"), unclear, unclear},
		{"POST " + customers + "/*/!transform/*", writer("POST", customers+"/1/!transform/invoice"), yes, yes},
		{"POST " + customers + "/*/!transform/*", writer("POST", customers+"/1/%21Transform/invoice"), no, yes},
		{"POST " + customers + "/*/!transform/*", writer("POST", customers+"/1/transform/invoice"), no, no},
		{"GET " + customers + "/**", of(KindPassport), no, no},
		{"GET /**", with(of(KindAssertion), func(a *Attempt) { a.Method, a.Path = "GET", "/x" }), no, no},
		{"suiteql", writer("POST", SuiteQLPath), yes, yes},
		{"suiteql", with(writer("POST", SuiteQLPath), func(a *Attempt) { a.Kind = KindSend }), yes, yes},
		{"suiteql", writer("GET", SuiteQLPath), no, yes},
		{"suiteql", writer("POST", strings.ToUpper(SuiteQLPath)), no, yes},
		{"suiteql", writer("POST", SuiteQLPath+"/"), unclear, unclear},
		{"suiteql", writer("POST", customers), no, no},
		{"suiteql", of(KindToken), no, no},
		{"restlet 123/1", script("123/1"), yes, yes},
		{"restlet 123/1", script("123/2"), no, no},
		{"restlet 123/1", script("124/1"), no, no},
		{"restlet 123/1", script(""), no, unclear},
		{"restlet 123/1", script("customscript_a/1"), no, unclear},
		{"restlet 123/1", script("customscript_a/2"), no, no},
		{"restlet 123/1", script("123/customdeploy1"), no, unclear},
		{"restlet 123/*", script("customscript_a/customdeploy1"), no, unclear},
		{"restlet customscript_a/customdeploy1", script("customscript_a/customdeploy1"), yes, yes},
		{"restlet customscript_a/customdeploy1", script("CUSTOMSCRIPT_A/customdeploy1"), no, yes},
		{"restlet customscript_a/customdeploy1", script("customscript_b/customdeploy1"), no, no},
		{"restlet customscript_a/customdeploy1", script("7/1"), no, unclear},
		{"restlet customscript_a*/*", script("customscript_ab/9"), yes, yes},
		{"restlet customscript_a*/*", script("customscript_b/9"), no, no},
		{"restlet customscript_a*/*", script("9/9"), no, unclear},
		{"restlet 12*/1", script("123/1"), yes, yes},
		{"restlet 12*/1", script("customscript_a/1"), no, unclear}, // the script may have such an id
		{"restlet 12*/1", script("123/customdeploy1"), no, unclear},
		{"restlet *1/1", script("customscript1/1"), yes, yes},
		{"restlet *1/1", script("45/1"), no, unclear},                 // its name may end so
		{"restlet *_load/1", script("customscript_load/1"), yes, yes}, // as no number ends
		{"restlet */*", script("9/9"), yes, yes},
		{"restlet */*", script(""), no, unclear},
		{"restlet */*", writer("GET", restlet+"/"), unclear, unclear},
		{"restlet */*", with(writer("GET", strings.ToUpper(restlet)), func(a *Attempt) { a.Script = "1/1" }), no, yes},
		{"restlet */*", with(writer("GET", customers), func(a *Attempt) { a.Script = "1/1" }), no, no},
		{"restlet */*", of(KindPassport), no, no},
		{"soap get,search", soap("get"), yes, yes},
		{"soap get,search", soap("GET"), no, yes},
		{"soap get,search", soap("delete"), no, no},
		{"soap get,search", soap(""), unclear, unclear},
		{"soap get", with(writer("POST", "/services/NetSuitePort_2025_2"), func(a *Attempt) { a.Operation = "get" }), yes, yes},
		{"soap get", writer("POST", "/services/netsuiteport_2025_2"), unclear, unclear},
		{"soap get", writer("POST", "/services/netsuiteport_"), unclear, unclear},
		{"soap get", writer("POST", "/services/x/../NetSuitePort_2025_2"), unclear, unclear},
		{"soap get", with(writer("POST", "/services/rest"), func(a *Attempt) { a.Operation = "get" }), no, no},
		{"soap get", with(writer("POST", customers+"/1"), func(a *Attempt) { a.Operation = "get" }), no, no},
		{"soap get", with(of(KindToken), func(a *Attempt) { a.Operation = "get" }), no, no},
		{"soap get", with(of(KindToken), func(a *Attempt) { a.Operation, a.Path = "get", "/services/NetSuitePort_2025_2" }), no, no},
		{"soap get", of(KindConnectPassword), unclear, unclear}, // it can be made into a TokenPassport
		{"soap get", with(of(KindConnectPassword), func(a *Attempt) { a.Operation = "get" }), unclear, unclear},
		{"passport", of(KindPassport), yes, yes}, {"passport", of(KindConnectPassword), no, no},
		{"connect", of(KindConnectPassword), yes, yes}, {"connect", of(KindPassport), no, no},
		{"assertion", of(KindAssertion), yes, yes}, {"token", of(KindToken), yes, yes}, {"token", of(KindAssertion), no, no},
	} {
		for effect, want := range map[Effect]fit{Allow: c.allow, Deny: c.den, Ask: c.den} {
			p := rules(t, fmt.Sprintf("effect = %q\nwhat = [%q]", effect, c.what))
			s := see(&c.in)
			got, _ := p.Rules[0].fits(&s)
			if got != want && (effect != Allow || got == yes || want == yes) {
				t.Errorf("%s %q: %s %s %s: got fit %d, want %d", effect, c.what, c.in.Kind, c.in.Method, c.in.Path, got, want)
			}
			// With everything else allowed behind it, the decision follows from that.
			p = rules(t, fmt.Sprintf("effect = %q\nwhat = [%q]", effect, c.what), `effect = "allow"`+"\n"+`what = ["*"]`)
			d := p.Decide(c.in)
			wantEffect, wantIndex := Allow, 1
			switch {
			case want == yes:
				wantEffect, wantIndex = effect, 0
			case want == unclear && effect != Allow:
				wantEffect, wantIndex = Deny, 0
			}
			if d.Effect != wantEffect || d.Index != wantIndex || (d.Err != nil) != (wantEffect == Deny) {
				t.Errorf("%s %q: %s %s %s: got %+v, want %s by rule %d", effect, c.what, c.in.Kind, c.in.Method, c.in.Path, d, wantEffect, wantIndex)
			}
		}
	}
}

// What no rule says is denied, the limits of a profile hold beside any rule, and of two
// rules the first decides.
func TestRules(t *testing.T) {
	const all = "what = [\"*\"]\n"
	if d := rules(t).Decide(writer("GET", customers)); d.Effect != Deny || d.Index != -1 || codeOf(t, d.Err) != CodeDenied {
		t.Errorf("no rule: got %+v", d)
	}
	p := rules(t, all+`effect = "deny"`+"\n"+`profiles = ["other"]`, all+`effect = "ask"`+"\nrate = \"200/h\"\nmax_uses = 1000\nconcurrency = 5\ntotp = true", all+`effect = "allow"`)
	d := p.Decide(writer("DELETE", customers))
	if d.Effect != Ask || d.Index != 1 || d.Rule != "r1" || d.Obligations != (Obligations{Rate{200, time.Hour}, 1000, 5, true}) {
		t.Errorf("got %+v, want rule 1 to ask", d)
	}
	d = p.Decide(with(writer("DELETE", customers), func(a *Attempt) { a.Access = Read }))
	if d.Effect != Deny || d.Index != -1 || codeOf(t, d.Err) != CodeReadOnly || d.Obligations != (Obligations{}) {
		t.Errorf("read only: got %+v", d)
	}
	d = p.Decide(with(writer("DELETE", customers), func(a *Attempt) { a.Profile = "other" }))
	if d.Effect != Deny || d.Index != 0 || !strings.Contains(d.Err.Why, `"r0"`) {
		t.Errorf("denied: got %+v", d)
	}
	for _, a := range []Attempt{with(writer("GET", "/"), func(a *Attempt) { a.Profile = "" }), with(writer("GET", "/"), func(a *Attempt) { a.Kind = "raw" }), with(writer("GET", "/"), func(a *Attempt) { a.Access = "all" })} {
		if d := p.Decide(a); d.Effect != Deny || d.Index != -1 {
			t.Errorf("%+v: got %+v", a, d)
		}
	}
}

// A write on a production profile needs a rule that says production.
func TestProduction(t *testing.T) {
	const all = "effect = \"%s\"\nwhat = [\"*\"]\n"
	in := func(env string) func(a Attempt) Attempt {
		return func(a Attempt) Attempt { a.Environment = env; return a }
	}
	for _, c := range []struct {
		effect, environment string
		in                  Attempt
		want                bool // that the rule matches
	}{
		{"allow", "", in("production")(writer("GET", customers)), true},
		{"allow", "", in("production")(writer("POST", SuiteQLPath)), true},
		{"allow", "", in("production")(writer("POST", customers)), false},
		{"allow", "", in("production")(writer("GET", "/rest/issuetoken")), false},
		{"allow", "", in("production")(of(KindPassport)), false},
		{"allow", "", in("production")(of(KindToken)), false},
		{"allow", "", in("")(of(KindToken)), false},
		{"allow", "", of(KindToken), true},
		{"allow", "production", in("production")(of(KindPassport)), true},
		{"allow", "production", of(KindPassport), false},
		{"allow", "sandbox", in("production")(writer("GET", customers)), false},
		{"ask", "", in("production")(of(KindPassport)), false},
		{"ask", "production", in("production")(of(KindPassport)), true},
		{"deny", "", in("production")(of(KindPassport)), true},
		{"deny", "sandbox", in("production")(of(KindPassport)), false},
	} {
		table := fmt.Sprintf(all, c.effect)
		if c.environment != "" {
			table += fmt.Sprintf("environment = %q", c.environment)
		}
		d := rules(t, table).Decide(c.in)
		if (d.Index == 0) != c.want {
			t.Errorf("%+v: got %+v", c, d)
		}
		if hint := strings.Contains(fmt.Sprint(d.Err), `environment = \"production\"`) || d.Err != nil && strings.Contains(d.Err.Why, `environment = "production"`); hint != (!c.want && c.environment == "") {
			t.Errorf("%+v: the reason is %v", c, d.Err)
		}
	}
}

func TestWho(t *testing.T) {
	all := FactExe | FactHash | FactCgroup | FactTTY
	hash := strings.Repeat("0a", 32)
	from := func(change func(*Attempt)) Attempt {
		return with(writer("GET", customers), func(a *Attempt) {
			a.Evidence = Evidence{Known: all, Exe: "/usr/bin/python3", SHA256: hash, Unit: "nightly.service", Container: "4f5e", TTY: true}
			change(a)
		})
	}
	same := func(*Attempt) {}
	for _, c := range []struct {
		who        string
		change     func(*Attempt)
		allow, den fit
	}{
		{`uid = 7`, same, yes, yes}, {`uid = [1, 7]`, same, yes, yes}, {`uid = 8`, same, no, no},
		{`uid = 8`, func(a *Attempt) { a.UID = 8 }, yes, yes},
		{`exe = "/usr/bin/python3"`, func(a *Attempt) { a.UID = 8 }, no, yes},
		{`exe = "/usr/bin/python3"`, func(a *Attempt) { a.UID, a.Grant = 8, "g_aaaaaaaaaaaaaaaaaaaaaaaaaa" }, yes, yes},
		{`exe = "/usr/bin/python3"`, same, yes, yes}, {`exe = "/usr/bin/curl"`, same, no, no},
		{`exe = "/usr/bin/python3"`, func(a *Attempt) { a.Evidence.Exe += " (deleted)" }, no, yes},
		{`exe = "/usr/bin/python3"`, func(a *Attempt) { a.Evidence.Known &^= FactExe }, unclear, unclear},
		{`exe = "/usr/bin/python3", uid = 8`, func(a *Attempt) { a.Evidence.Known &^= FactExe }, no, no},
		{`exe_sha256 = "` + hash + `"`, same, yes, yes}, {`exe_sha256 = "` + strings.Repeat("0b", 32) + `"`, same, no, no},
		{`exe_sha256 = "` + hash + `"`, func(a *Attempt) { a.Evidence.Known &^= FactHash }, unclear, unclear},
		{`unit = "nightly.service"`, same, yes, yes}, {`unit = "nightly@*"`, same, no, no}, {`unit = ["a.service", "night*"]`, same, yes, yes},
		{`unit = "*"`, func(a *Attempt) { a.Evidence.Unit = "" }, no, no},
		{`unit = "*"`, func(a *Attempt) { a.Evidence.Known &^= FactCgroup }, unclear, unclear},
		{`container = "*"`, same, yes, yes}, {`container = "*"`, func(a *Attempt) { a.Evidence.Container = "" }, no, no}, {`container = "4f"`, same, no, no},
		{`container = "4f"`, func(a *Attempt) { a.Evidence.Known = 0 }, unclear, unclear},
		{`unit = "other", exe = "/usr/bin/python3"`, func(a *Attempt) { a.Evidence.Known &^= FactExe }, no, no},
		{`tty = true`, same, yes, yes}, {`tty = false`, same, no, no}, {`tty = false`, func(a *Attempt) { a.Evidence.TTY = false }, yes, yes},
		{`tty = true`, func(a *Attempt) { a.Evidence.Known &^= FactTTY }, unclear, unclear},
		{`grant = "*"`, same, no, no}, {`grant = "*"`, func(a *Attempt) { a.Grant = "g_aaaaaaaaaaaaaaaaaaaaaaaaaa" }, yes, yes}, {`grant = "g_bbbbbbbbbbbbbbbbbbbbbbbbbb"`, func(a *Attempt) { a.Grant = "g_aaaaaaaaaaaaaaaaaaaaaaaaaa" }, no, no},
		{`oidc = { issuer = "https://i", repository_id = 1 }`, same, no, no},
		{`oidc = { issuer = "https://i", repository_id = 1 }`, func(a *Attempt) { a.Issuer, a.Claims = "https://i", map[string]string{"repository_id": "1"} }, yes, yes},
		{`oidc = { issuer = "https://i", repository_id = ["1", "2"], ref = "main" }`, func(a *Attempt) {
			a.Issuer, a.Claims = "https://i", map[string]string{"repository_id": "2", "ref": "main"}
		}, yes, yes},
		{`oidc = { issuer = "https://i", repository_id = "1" }`, func(a *Attempt) { a.Issuer, a.Claims = "https://i", map[string]string{"repository_id": "2"} }, no, no},
		{`oidc = { issuer = "https://i", repository_id = "1" }`, func(a *Attempt) { a.Issuer, a.Claims = "https://j", map[string]string{"repository_id": "1"} }, no, no},
		{`oidc = { issuer = "https://i", repository_id = "1" }`, func(a *Attempt) { a.Issuer = "https://i" }, unclear, unclear},
		{`oidc = { issuer = "https://i", repository_id = "1", ref = "x" }`, func(a *Attempt) { a.Issuer, a.Claims = "https://i", map[string]string{"ref": "y"} }, no, no},
	} {
		for effect, want := range map[string]fit{"allow": c.allow, "deny": c.den} {
			p := rules(t, fmt.Sprintf("effect = %q\nwhat = [\"*\"]\nwho = { %s }", effect, c.who))
			a := from(c.change)
			s := see(&a)
			if got, _ := p.Rules[0].fits(&s); got != want {
				t.Errorf("%s to %s: %+v: got %d, want %d", effect, c.who, a, got, want)
			}
		}
	}
}

func TestAsks(t *testing.T) {
	if (*Policy)(nil).Asks() != 0 || rules(t, "effect = \"deny\"\nwhat = [\"*\"]\nwho = { uid = 1 }").Asks() != 0 {
		t.Error("a policy without questions asks")
	}
	p := rules(t, "effect = \"deny\"\nwhat = [\"*\"]\nwho = { exe = \"/a\" }", "effect = \"deny\"\nwhat = [\"*\"]\nwho = { tty = true, container = \"a\", exe_sha256 = \""+strings.Repeat("0", 64)+"\" }")
	if p.Asks() != FactExe|FactHash|FactCgroup|FactTTY {
		t.Errorf("got %b", p.Asks())
	}
}

func TestHours(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		hours string
		in    []string
		out   []string
	}{
		{"Mon-Fri 06:00-20:00 Europe/Berlin",
			[]string{"2026-11-27T05:00:00Z", "2026-11-27T18:59:59Z", "2026-07-03T04:00:00Z", "2026-11-23T07:00:00+01:00"},
			[]string{"2026-11-27T04:59:59Z", "2026-11-27T19:00:00Z", "2026-11-28T10:00:00Z", "2026-11-29T10:00:00Z", "2026-07-03T03:59:59Z"}},
		{"Sun-Sat 06:30-20:15 UTC", []string{"2026-11-27T06:30:00Z", "2026-11-27T20:14:59Z"}, []string{"2026-11-27T06:29:59Z", "2026-11-27T20:15:00Z", "2026-11-27T05:30:00Z", "2026-11-27T21:00:00Z"}},
		{"Fri-Mon 00:00-24:00 UTC", []string{"2026-11-27T00:00:00Z", "2026-11-30T23:59:59Z"}, []string{"2026-12-01T00:00:00Z", "2026-11-26T23:59:59Z"}},
		{"Sat,Sun 22:00-06:00 UTC", []string{"2026-11-28T22:00:00Z", "2026-11-29T05:59:00Z", "2026-11-30T05:59:00Z"}, []string{"2026-11-28T05:00:00Z", "2026-11-30T06:00:00Z", "2026-11-30T22:00:00Z", "2026-11-29T12:00:00Z"}},
		// The clock of Berlin goes from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October.
		{"Sun 02:00-03:00 Europe/Berlin", []string{"2026-10-25T00:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T01:59:59Z"}, []string{"2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-10-24T23:59:59Z", "2026-10-25T02:00:00Z"}},
		{"Sun 03:00-04:00 Europe/Berlin", []string{"2026-03-29T01:00:00Z", "2026-03-29T01:59:59Z"}, []string{"2026-03-29T02:00:00Z"}},
	} {
		p := rules(t, fmt.Sprintf("effect = \"allow\"\nwhat = [\"*\"]\nhours = %q", c.hours))
		for want, times := range map[Effect][]string{Allow: c.in, Deny: c.out} {
			for _, s := range times {
				if d := p.Decide(with(writer("GET", "/"), func(a *Attempt) { a.Time = at(s) })); d.Effect != want {
					t.Errorf("%s at %s: got %s", c.hours, s, d.Effect)
				}
			}
		}
	}
}

func TestSyntaxErrorsWrap(t *testing.T) {
	_, err := Parse("version = 2")
	e := new(SyntaxError)
	if !errors.Is(err, ErrSyntax) || !errors.As(err, &e) || e.Line != 1 || e.Key != "version" {
		t.Errorf("got %v", err)
	}
}
