package client_test

import (
	"bufio"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client/nstest"
)

// stage is where the tests of the packages for other languages run: an agent of
// their own, and a NetSuite whose answers they can choose by the query.
type stage struct {
	agent       *daemon
	site, other *site // other is a host that is not the profile's
	ca          string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{agent: startDaemon(t)}
	s.site, s.other = newSite(t, false, s.misbehave), newSite(t, false, nil)
	s.ca = filepath.Join(s.agent.home, "site.pem")
	if err := os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.site.server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	sandbox := nstest.DemoConfig().Accounts[0]
	err := s.agent.add("site", map[string]any{
		"account": sandbox.ID, "auth": "tba", "consumer_key": sandbox.Integrations[0].ConsumerKey, "consumer_secret": sandbox.Integrations[0].ConsumerSecret,
		"token_id": sandbox.Tokens[0].TokenID, "token_secret": sandbox.Tokens[0].TokenSecret, "endpoint": s.site.server.URL, "ca_file": s.ca,
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.agent.add("site-m2m", map[string]any{
		"account": sandbox.ID, "auth": "m2m", "client_id": sandbox.Certificates[0].ClientID, "certificate": sandbox.Certificates[0].PEM,
		"private_key": string(nstest.DemoPrivateKey(sandbox.ID)), "scopes": []string{"rest_webservices", "restlets"},
		"endpoint": s.site.server.URL, "ca_file": s.ca,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// misbehave answers as the query asks: fail=N answers 503 to the first N requests
// with this key, and to=URL redirects, with status 307 unless code says otherwise.
func (s *stage) misbehave(_ int, w http.ResponseWriter, r *http.Request) bool {
	q := r.URL.Query()
	if fail, _ := strconv.Atoi(q.Get("fail")); fail > 0 && len(s.hops(s.site, q.Get("key"))) <= fail {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	if to := q.Get("to"); to != "" {
		_, _ = io.Copy(io.Discard, r.Body)
		code, err := strconv.Atoi(q.Get("code"))
		if err != nil {
			code = http.StatusTemporaryRedirect
		}
		w.Header().Set("Location", to)
		w.WriteHeader(code)
		return true
	}
	return false
}

// seen is a request as a script is told of it.
type seen struct {
	Method string `json:"method"`
	Target string `json:"target"`
	Nonce  string `json:"nonce"` // of its only Authorization header, or empty
	Signed int    `json:"signed"`
	Body   string `json:"body"`
}

// hops returns what arrived with a key in its query.
func (s *stage) hops(at *site, key string) []seen {
	out := []seen{}
	for _, h := range at.received() {
		u, err := url.Parse(h.target)
		if err != nil || u.Query().Get("key") != key {
			continue
		}
		out = append(out, seen{h.method, h.target, h.nonce(), len(h.authorization), h.body})
	}
	return out
}

// environment is that of a script. It has not what this machine has beside: proxies
// and certificates are for others.
func (s *stage) environment(more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.agent.home, "LANG=C.UTF-8", "NSAGENT_SOCK=" + s.agent.socket(),
		"SITE=" + s.site.server.URL, "OTHER=" + s.other.server.URL, "CA=" + s.ca,
	}, more...)
}

// run runs a script, which fails by its exit code. A line of it that begins with
// "!" is a wish, answered by one line of JSON.
func (s *stage) run(t *testing.T, c *exec.Cmd, env ...string) {
	t.Helper()
	c.Env = s.environment(env...)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said output
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(4*time.Minute, func() { _ = c.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		wish, ok := strings.CutPrefix(lines.Text(), "!")
		if !ok {
			fmt.Fprintln(&said, lines.Text())
			continue
		}
		answer, err := json.Marshal(s.grant(t, strings.Fields(wish)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(in, "%s\n", answer); err != nil {
			t.Error(err)
		}
	}
	if err := c.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(c.Args, " "), err, said.String())
	}
}

func (s *stage) grant(t *testing.T, wish []string) any {
	switch wish[0] {
	case "lock":
		if _, err := s.agent.nsagent("", "lock"); err != nil {
			t.Error(err)
		}
	case "unlock":
		s.agent.mustUnlock(t)
	case "stop":
		if err := s.agent.stop(); err != nil {
			t.Error(err)
		}
	case "start":
		s.agent.mustStart(t)
		s.agent.mustUnlock(t)
	case "hang":
		s.agent.hang(t)
	case "resume":
		s.agent.resume()
	case "hops":
		return s.hops(s.site, wish[1])
	case "foreign":
		return s.hops(s.other, wish[1])
	default:
		t.Errorf("the script wishes %q", wish)
	}
	return true
}
