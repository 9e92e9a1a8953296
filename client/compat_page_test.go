package client_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// contestant is a row of docs/compat.md.
type contestant struct {
	name, with string
	start      func(*compatRun) program
	// system says that the version is that of the system, and may be another there.
	system bool
	// long says that only make compat runs it.
	long bool
	// what is "" for the scenarios of all clients; "SOAP" and "OAuth 2.0" have their own.
	what string
}

// compatRun is what all contestants of one run share.
type compatRun struct {
	*stage
	t    *testing.T
	node func() string // the copy of the Node package
}

func node(name string) func(*compatRun) program {
	return func(r *compatRun) program {
		c := exec.Command("node", filepath.Join("compat", "driver.mjs"), name)
		c.Dir = r.node()
		wsdl, err := filepath.Abs("python/tests/getservertime.wsdl")
		if err != nil {
			r.t.Fatal(err)
		}
		return r.script(r.t, c, "NODE_EXTRA_CA_CERTS="+r.ca, "WSDL="+wsdl)
	}
}

func python(function, needs string) func(*compatRun) program {
	return func(r *compatRun) program {
		needPython(r.t, needs)
		c := exec.Command(debianPython, "-B", "python/tests/compat.py", function) // #nosec G204 -- of this repository
		return r.script(r.t, c, "PYTHONPATH="+pythonPath(r.t))
	}
}

// contestants are the clients of users.md that a hook, or two lines, can be put into.
func contestants() []contestant {
	const agentSign = "`Agent.sign` before each send"
	return []contestant{
		{name: "Go net/http", with: "`client.Transport`", start: func(r *compatRun) program { return r.netHTTP(r.t) }, system: true},
		{name: "curl", with: "JSON on agent.sock", start: func(r *compatRun) program { return r.curl(r.t) }, system: true},
		{name: "requests", with: "`nsagent.requests.NSAgentAuth`", start: python("requests_auth", "requests"), system: true},
		{name: "requests, urllib3 `Retry`", with: "`nsagent.requests.NSAgentAdapter`", start: python("requests_adapter", "requests"), system: true},
		{name: "requests-oauthlib `OAuth1Session`", with: "`NSAgentAuth` as its `auth`", start: python("requests_oauthlib", "requests_oauthlib"), system: true, long: true},
		{name: "httpx `Client`", with: "`nsagent.httpx.NSAgentAuth`", start: python("httpx_client", "httpx"), system: true},
		{name: "httpx `AsyncClient`", with: "`nsagent.httpx.NSAgentAuth`", start: python("httpx_async", "httpx"), system: true},
		{name: "aiohttp", with: agentSign, start: python("aiohttp_client", "aiohttp"), system: true, long: true},
		{name: "Python urllib", with: agentSign, start: python("urllib_request", "json"), system: true},
		{name: "Node.js fetch", with: "`signedFetch`", start: node("fetch"), system: true},
		{name: "axios", with: "`signAxios`", start: node("axios")},
		{name: "axios, adapter `fetch`", with: "`signAxios`", start: node("axios-fetch")},
		{name: "axios-retry", with: "`signAxios` before it", start: node("axios-retry")},
		{name: "axios 1.2", with: "`signAxios`", start: node("axios-first"), long: true},
		{name: "got", with: "`signGot`", start: node("got")},
		{name: "got 13", with: "`signGot`", start: node("got13"), long: true},
		{name: "got 12", with: "`signGot`", start: node("got12"), long: true},
		{name: "got 11", with: "`signGot`", start: node("got11"), long: true},
		{name: "netsuite-rest (got 11)", with: "`signGot` in `getAuthorizationHeader`", start: node("netsuite-rest")},
		{name: "undici `request`", with: "`signUndici`", start: node("undici")},
		{name: "undici `fetch`", with: "`signUndici`", start: node("undici-fetch")},
		{name: "undici 6 `request`", with: "`signUndici`", start: node("undici6"), long: true},
		{name: "undici 6 `fetch`", with: "`signUndici`", start: node("undici6-fetch"), long: true},
		{name: "oauth-1.0a and fetch", with: "`Agent.sign` instead of `authorize`", start: node("oauth-1.0a")},
		{name: "zeep", with: "`nsagent.zeep.TokenPassportPlugin`", start: python("zeep_client", "zeep"), system: true, what: "SOAP"},
		{name: "soap (node-soap)", with: "`Agent.passport` and `addSoapHeader` before each call", start: node("soap"), what: "SOAP"},
		{name: "requests-oauthlib `OAuth2Session`", with: "`Agent.assertion`", start: python("oauth2_session", "requests_oauthlib"), system: true, long: true, what: "OAuth 2.0"},
		{name: "Node.js fetch", with: "`Agent.assertion`", start: node("bearer"), system: true, what: "OAuth 2.0"},
	}
}

const (
	compatPage = "../docs/compat.md"
	compatHead = "| client | version | with | query | JSON | form | retries | redirect in the account | redirect to another host | while locked |\n|---|---|---|---|---|---|---|---|---|---|\n"
	otherHead  = "| client | version | with | for | three calls | while locked |\n|---|---|---|---|---|---|\n"
)

// TestCompat runs each client library against NetSuite through an agent, and holds
// what it saw against docs/compat.md. With NSAGENT_COMPAT=all it also runs the older
// versions, more at once, and writes the tables of the page.
func TestCompat(t *testing.T) {
	t.Parallel()
	all := os.Getenv("NSAGENT_COMPAT") == "all"
	run := &compatRun{stage: newStage(t), t: t}
	run.node = sync.OnceValue(func() string { return compatNode(t) })
	page, err := os.ReadFile(compatPage)
	if err != nil {
		t.Fatal(err)
	}
	var first, second strings.Builder
	for _, c := range contestants() {
		if c.long && !all {
			continue
		}
		t.Run(c.name+"/"+c.what, func(t *testing.T) { // one after the other: they lock and stop the agent
			row := run.row(t, c, all)
			if c.what == "" {
				first.WriteString(row)
			} else {
				second.WriteString(row)
			}
			if !all && !hasRow(string(page), row, c.system) {
				t.Errorf("docs/compat.md says otherwise than\n%srun: make compat", row)
			}
		})
	}
	t.Run("axios before 1", func(t *testing.T) {
		mine := &compatRun{stage: run.stage, t: t, node: run.node}
		x := &compat{stage: run.stage, t: t, p: node("axios-zero")(mine)}
		defer x.p.close()
		if key, o := x.send("GET", compatRequest{}); o.Code != "NSA-USAGE" || len(x.arrived(key)) != 0 {
			t.Errorf("got %+v", o)
		}
	})
	if all && !t.Failed() {
		writeTable(t, compatHead, first.String())
		writeTable(t, otherHead, second.String())
	}
}

// row runs a contestant and returns its row.
func (r *compatRun) row(t *testing.T, c contestant, all bool) string {
	mine := *r
	mine.t = t
	p := c.start(&mine)
	defer p.close()
	x := &compat{stage: r.stage, t: t, p: p, atOnce: 20, all: all}
	if all {
		x.atOnce = 300
	}
	cells := []string{c.name, p.version(), c.with}
	if c.what == "" {
		return "| " + strings.Join(append(cells, x.cells()...), " | ") + " |\n"
	}
	return "| " + strings.Join(append(cells, c.what, x.three(), x.locked()), " | ") + " |\n"
}

// three makes three calls, since the first may go well with what is good for one.
func (c *compat) three() string {
	for range 3 {
		if _, o := c.send("GET", compatRequest{}); o.Status != 200 {
			c.t.Errorf("got %+v", o)
			return "no"
		}
	}
	return "yes"
}

// hasRow reports whether the page has the row; the version counts unless it is that
// of the system.
func hasRow(page, row string, system bool) bool {
	cells := func(line string) []string {
		c := strings.Split(strings.TrimSpace(line), " | ")
		if system && len(c) > 1 {
			c[1] = ""
		}
		return c
	}
	for line := range strings.Lines(page) {
		if slices.Equal(cells(line), cells(row)) {
			return true
		}
	}
	return false
}

// writeTable puts the rows below their head in the page.
func writeTable(t *testing.T, head, rows string) {
	t.Helper()
	page, err := os.ReadFile(compatPage)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(page), head)
	if !found {
		t.Fatalf("%s has no table\n%s", compatPage, head)
	}
	for strings.HasPrefix(after, "|") {
		_, after, _ = strings.Cut(after, "\n")
	}
	if err := os.WriteFile(compatPage, fmt.Append(nil, before, head, rows, after), 0o644); err != nil { // #nosec G306 -- a page
		t.Fatal(err)
	}
}
