package client_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// program sends requests with one client library, as a program of its users does.
type program interface {
	version() string
	// send sends q as often as q.Times says, all at once.
	send(t *testing.T, q compatRequest) []outcome
	close()
}

// compatRequest is one request, whose URL, body and retries the library makes itself.
type compatRequest struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"` // without a query
	Params  [][2]string       `json:"params"`
	JSON    any               `json:"json,omitempty"`
	Form    [][2]string       `json:"form,omitempty"`
	Headers map[string]string `json:"headers"`
	Times   int               `json:"times"`
}

// outcome is the status of a send, or the class and the code of what a program catches.
type outcome struct {
	Status int    `json:"status"`
	Error  string `json:"error"`
	Code   string `json:"code"`
}

// compat is the stage with what the scenarios of one client need.
type compat struct {
	*stage
	t      *testing.T
	p      program
	keys   int
	atOnce int  // how many requests go at once
	all    bool // the long form
}

// send sends a request to a RESTlet, once, and returns its key.
func (c *compat) send(method string, q compatRequest, params ...[2]string) (string, outcome) {
	c.t.Helper()
	c.keys++
	key := fmt.Sprintf("%s-%d", strings.ReplaceAll(c.t.Name(), "/", "-"), c.keys)
	q.Method, q.URL = method, c.site.server.URL+"/app/site/hosting/restlet.nl"
	q.Params = append([][2]string{{"script", "1"}, {"deploy", "1"}, {"key", key}}, params...)
	q.Times = max(q.Times, 1)
	q.Headers = map[string]string{"Prefer": "transient"}
	all := c.p.send(c.t, q)
	if len(all) != q.Times {
		c.t.Fatalf("got %d outcomes of %d", len(all), q.Times)
	}
	for _, o := range all {
		if o != all[0] {
			c.t.Fatalf("got %+v and %+v", all[0], o)
		}
	}
	return key, all[0]
}

// arrived returns the requests with a key, each of which must have had a signature
// of its own, accepted or not.
func (c *compat) arrived(key string) []seen {
	c.t.Helper()
	hops := c.hops(c.site, key)
	nonces := map[string]bool{}
	for _, h := range hops {
		if h.Signed != 1 || h.Nonce == "" {
			c.t.Errorf("%s %s has %d signatures", h.Method, h.Target, h.Signed)
		}
		nonces[h.Nonce] = true
	}
	if len(nonces) != len(hops) {
		c.t.Errorf("%d requests had %d nonces", len(hops), len(nonces))
	}
	return hops
}

// cells runs the scenarios and returns what was seen, in the order of the table's
// columns from "query" on.
func (c *compat) cells() []string {
	return []string{c.query(), c.json(), c.form(), c.retries(), c.redirect(), c.away(), c.locked()}
}

// query sends what each library encodes in another way, and many at once.
func (c *compat) query() string {
	awkward := [][2]string{{"name", "Zoë & Söhne"}, {"b", "2"}, {"b", "1"}, {"plus", "a+b c"}, {"empty", ""}, {"signs", "x:y$,[z]*'()!~/?@"}}
	key, o := c.send("GET", compatRequest{}, awkward...)
	hops := c.arrived(key)
	if o.Status != 200 || len(hops) != 1 {
		c.t.Errorf("query: got %+v, %d requests", o, len(hops))
		return "no"
	}
	target, err := url.Parse(hops[0].Target)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range awkward {
		if !slices.Contains(target.Query()[p[0]], p[1]) {
			c.t.Errorf("query: %q is not %q in %s", p[0], p[1], hops[0].Target)
		}
	}
	key, o = c.send("GET", compatRequest{Times: c.atOnce})
	if n := len(c.arrived(key)); o.Status != 200 || n != c.atOnce {
		c.t.Errorf("%d at once: got %+v, %d requests", c.atOnce, o, n)
	}
	return "yes"
}

func (c *compat) json() string {
	key, o := c.send("POST", compatRequest{JSON: map[string]any{"ü": 1}})
	if n := len(c.arrived(key)); o.Status != 200 || n != 1 {
		c.t.Errorf("JSON: got %+v, %d requests", o, n)
		return "no"
	}
	return "yes"
}

// form sends a form, which is signed. A RESTlet takes none, and says so only to whom
// it knows: 415 means that the signature was right.
func (c *compat) form() string {
	key, o := c.send("POST", compatRequest{Form: [][2]string{{"a", "1"}, {"b", "ü & ~*"}}})
	if n := len(c.arrived(key)); o.Status != 415 || n != 1 {
		c.t.Errorf("form: got %+v, %d requests", o, n)
		return "no"
	}
	return "yes"
}

// retries counts what is sent where the first two times fail with status 503.
func (c *compat) retries() string {
	key, o := c.send("GET", compatRequest{}, [2]string{"fail", "2"})
	switch n := len(c.arrived(key)); {
	case n == 1 && o.Status == 503:
		return "none"
	case n != 3 || o.Status != 200:
		c.t.Errorf("retries: got %+v after %d requests", o, n)
		return "no"
	}
	// Some libraries repeat no POST, or not one whose body is a stream.
	key, o = c.send("POST", compatRequest{JSON: map[string]any{"a": 1}}, [2]string{"fail", "2"})
	if n := len(c.arrived(key)); n < 1 || o.Status == 200 && n != 3 {
		c.t.Errorf("retries of a POST: got %+v after %d requests", o, n)
		return "no"
	}
	return "signed anew"
}

// redirect sends to what redirects to another URL of the account.
func (c *compat) redirect() string {
	c.keys++
	to := fmt.Sprintf("to-%s-%d", strings.ReplaceAll(c.t.Name(), "/", "-"), c.keys)
	key, o := c.send("GET", compatRequest{}, [2]string{"to", c.site.server.URL + "/app/site/hosting/restlet.nl?script=1&deploy=1&key=" + to})
	c.arrived(key)
	hops := c.hops(c.site, to) // one of them may have the nonce of the first
	switch {
	case len(hops) == 0 && o.Status == 307:
		return "not followed"
	case len(hops) == 1 && o.Status == 200:
		return "signed anew"
	case len(hops) == 2 && o.Status == 200 && hops[0].Nonce != hops[1].Nonce:
		return "signed anew after a 401"
	}
	c.t.Errorf("redirect: got %+v after %d requests", o, len(hops))
	return "no"
}

// away sends to what redirects to a host that is not the profile's. No signature may
// get there.
func (c *compat) away() string {
	c.keys++
	to := fmt.Sprintf("away-%s-%d", strings.ReplaceAll(c.t.Name(), "/", "-"), c.keys)
	_, o := c.send("GET", compatRequest{}, [2]string{"to", c.other.server.URL + "/app/site/hosting/restlet.nl?script=1&deploy=1&key=" + to})
	hops := c.hops(c.other, to)
	for _, h := range hops {
		if h.Signed != 0 {
			c.t.Errorf("a signature went to another host: %+v", h)
		}
	}
	switch {
	case len(hops) > 0:
		return "followed, unsigned"
	case o.Status == 307:
		return "not followed"
	case o.Code == "NSA-HOST" || o.Code == "NSA-URL":
		return "refused"
	}
	c.t.Errorf("redirect to another host: got %+v", o)
	return "no"
}

// locked sends while the vault is locked and, in the long form, after the agent was
// stopped and started.
func (c *compat) locked() string {
	c.grant(c.t, []string{"lock"})
	key, o := c.send("GET", compatRequest{})
	c.grant(c.t, []string{"unlock"})
	if n := len(c.arrived(key)); n != 0 || o.Code != "NSA-LOCKED" {
		c.t.Errorf("locked: got %+v, %d requests", o, n)
	}
	if c.all {
		c.grant(c.t, []string{"stop"})
		c.grant(c.t, []string{"start"})
	}
	if _, again := c.send("GET", compatRequest{}); again.Status != 200 {
		c.t.Errorf("afterwards: got %+v", again)
	}
	return "`" + o.Error + "`"
}

// script is a program in another language, asked over its standard input.
type script struct {
	command *exec.Cmd
	in      *json.Encoder
	out     *bufio.Scanner
	said    output
	is      string
	end     func()
}

func (s *stage) script(t *testing.T, c *exec.Cmd, env ...string) *script {
	t.Helper()
	x := &script{command: c}
	c.Env = s.environment(env...)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = &x.said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(2*time.Minute, func() { _ = c.Process.Kill() })
	x.end = func() {
		_ = in.Close()
		_ = c.Wait()
		late.Stop()
	}
	x.in, x.out = json.NewEncoder(in), bufio.NewScanner(out)
	x.out.Buffer(nil, 1<<20)
	var hello struct {
		Version string `json:"version"`
	}
	x.answer(t, &hello)
	x.is = hello.Version
	return x
}

func (x *script) version() string { return x.is }

func (x *script) close() { x.end() }

func (x *script) send(t *testing.T, q compatRequest) (all []outcome) {
	t.Helper()
	if err := x.in.Encode(q); err != nil {
		t.Error(err)
	}
	x.answer(t, &all)
	return all
}

func (x *script) answer(t *testing.T, v any) {
	t.Helper()
	if !x.out.Scan() {
		x.end()
		t.Fatalf("%s ended:\n%s", strings.Join(x.command.Args, " "), x.said.String())
	}
	if err := json.Unmarshal(x.out.Bytes(), v); err != nil {
		t.Fatalf("%s: %v", x.out.Bytes(), err)
	}
}

// compatNode returns a copy of the Node package whose directory compat has the
// libraries that its lock file names.
func compatNode(t *testing.T) string {
	t.Helper()
	needNode(t)
	dir := copyNode(t)
	npmCI(t, filepath.Join(dir, "compat"))
	if err := os.Symlink("../..", filepath.Join(dir, "compat", "node_modules", "nsagent")); err != nil {
		t.Fatal(err)
	}
	return dir
}
