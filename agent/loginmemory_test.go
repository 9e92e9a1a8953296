//go:build !race

// These tests look at the product from outside, which has no race detector: one run
// of them is enough.

package agent

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// wiretap stands before a NetSuite and notes what secrets cross it.
type wiretap struct {
	*httptest.Server
	mu      sync.Mutex // guards secrets
	secrets map[string][]string
}

func newWiretap(t *testing.T, n *netsuite) *wiretap {
	t.Helper()
	to, err := url.Parse(n.ep.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := &wiretap{secrets: make(map[string][]string)}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport = &http.Transport{TLSClientConfig: n.web.Transport.(*http.Transport).TLSClientConfig}
	proxy.ModifyResponse = func(r *http.Response) error {
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if values, ferr := url.ParseQuery(string(body)); ferr == nil {
			p.note("token secret", values.Get("oauth_token_secret"))
		}
		for _, name := range []string{"refresh_token", "access_token"} {
			if _, after, ok := strings.Cut(string(body), fmt.Sprintf("%q:\"", name)); ok {
				value, _, _ := strings.Cut(after, `"`)
				p.note(name, value)
			}
		}
		return err
	}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if form, err := url.ParseQuery(string(body)); err == nil {
			p.note("verifier", form.Get("code_verifier"))
		}
		// Signatures are for the origin that the agent knows.
		proxy.ServeHTTP(w, r)
	}))
	p.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	p.StartTLS()
	n.web.Transport.(*http.Transport).TLSClientConfig.RootCAs.AddCert(p.Certificate())
	t.Cleanup(p.Close)
	return p
}

func (p *wiretap) note(name, value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if value != "" {
		p.secrets[name] = append(p.secrets[name], value)
	}
}

// needles are those for all that was seen, but for access tokens: client secret and consumer
// secret in every form that they take on their way.
func (p *wiretap) needles() (all []memscan.Needle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, values := range p.secrets {
		if name == "access_token" {
			continue
		}
		for _, v := range values {
			if strings.HasSuffix(name, "_secret") {
				all = append(all, memscan.Needles(name, []byte(v))...)
				continue
			}
			v = v[strings.LastIndexByte(v, '.')+1:] // of a JWT its signature: the rest is much the same in all of them
			all = append(all, memscan.Needle{Name: name, Form: "raw", Bytes: []byte(v)})
		}
	}
	return all
}

// startTapped is an agent that can be scanned, and reaches its NetSuite by way of a wiretap.
func startTapped(t *testing.T) (*codeDaemon, *wiretap) {
	t.Helper()
	d := &codeDaemon{daemon: newDaemon(t, 0, "memory = \"mlock\"\n")} // the other mode, root cannot read at all
	d.listen(t)
	p := newWiretap(t, &d.netsuite)
	d.again()
	d.needsErasing()
	return d, p
}

// through returns what puts a profile behind the wiretap, and what seals a secret that the
// wiretap is to know of.
func (d *codeDaemon) through(p *wiretap) (at func(*pb.Profile) *pb.Profile, seal func(field, s string) map[string]client.Sealer) {
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
	at = func(m *pb.Profile) *pb.Profile { m.Endpoint, m.Ca = p.URL, ca; return m }
	seal = func(field, s string) map[string]client.Sealer {
		p.note(field, s)
		return map[string]client.Sealer{field: sealWith(d.arena, s)}
	}
	return at, seal
}

// TestMemoryAfterLogins: after logins by every flow and many refreshes, no refresh token,
// client secret, consumer secret, verifier or token secret is outside locked memory of the
// agent; after a lock none is anywhere, nor in what the agent printed or wrote.
func TestMemoryAfterLogins(t *testing.T) {
	needs.Root(t, "scans the memory of another process")
	rounds := 5
	if needs.Long() {
		rounds = 100
	}
	d, p := startTapped(t)
	at, seal := d.through(p)
	d.login(client.Login{Flow: "pkce", Profile: at(d.codeProfile("public", publicID22(), "restlets"))})
	d.login(client.Login{Flow: "pkce", Profile: at(d.codeProfile("confidential", confidentialID(), "restlets")), Secrets: seal("client_secret", d.clientSecret)})
	tba := at(&pb.Profile{Name: "tba", Account: "1234567_SB1", ConsumerKey: sample(26)})
	p.note("oauth_verifier", d.login(client.Login{Flow: "3sa", Profile: tba, Secrets: seal("consumer_secret", d.consumerSecret), RedirectURI: "http://localhost:7777/cb"}))
	for range rounds {
		d.relocked()
		for _, name := range []string{"public", "confidential"} {
			if err := d.token(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, want := range map[string]int{"refresh_token": rounds + 2, "verifier": 2, "token secret": 2, "client_secret": 1, "consumer_secret": 1} {
		if got := len(p.secrets[name]); got < want {
			t.Errorf("control: %d of %s were seen, want %d", got, name, want)
		}
	}
	needles := p.needles()
	d.atRest("after logins and refreshes", needles, noneUnlocked)
	begun, err := d.admin.BeginLogin(t.Context(), client.Login{Flow: "3sa", Profile: &pb.Profile{Name: "tba"}, RedirectURI: "http://localhost:7777/cb"})
	if err != nil {
		t.Fatal(err)
	}
	waiting := d.atRest("while a login waits", p.needles(), noneUnlocked)
	if waiting.Total.Locked == 0 {
		t.Errorf("control: locked memory does not hold the secrets of a login that waits:\n%s", waiting)
	}
	if len(begun.GetId()) == 0 {
		t.Error("no login waits")
	}
	if err := d.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.atRest("after lock", p.needles(), none)
	found := canaries{needles: p.needles()}
	found.search(t, "standard output", []byte(d.stdout.String()))
	found.search(t, "standard error", []byte(d.stderr.String()))
	found.searchHome(t, d.daemon)
}

// TestMemoryAfterLockInTheMiddle: a lock while refreshes and the ends of logins hang at
// NetSuite ends them, and the processes that make them; of what they were about nothing is
// left in the agent.
func TestMemoryAfterLockInTheMiddle(t *testing.T) {
	needs.Root(t, "scans the memory of another process")
	d, p := startTapped(t)
	at, seal := d.through(p)
	for name, clientID := range map[string]string{"public": publicID22(), "confidential": confidentialID()} {
		l := client.Login{Flow: "pkce", Profile: at(d.codeProfile(name, clientID, "restlets"))}
		if name == "confidential" {
			l.Secrets = seal("client_secret", d.clientSecret)
		}
		d.login(l)
	}
	d.relocked()
	again := client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "confidential"}}
	tba := client.Login{
		Flow: "3sa", Profile: at(&pb.Profile{Name: "tba", Account: "1234567_SB1", ConsumerKey: sample(26)}),
		Secrets: seal("consumer_secret", d.consumerSecret), RedirectURI: "http://localhost:7777/cb",
	}
	var finish []func() error
	var codes []string
	for _, l := range []client.Login{again, tba} {
		begun, err := d.admin.BeginLogin(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		q := d.browse(t, begun.GetAuthorizeUrl(), "allow")
		code := q.Get("code") + q.Get("oauth_verifier")
		codes = append(codes, code)
		finish = append(finish, func() error {
			_, err := d.admin.FinishLogin(t.Context(), client.LoginAnswer{
				ID: begun.GetId(), Profile: l.Profile.GetName(), State: q.Get("state"), Code: sealWith(d.arena, code), RequestToken: q.Get("oauth_token"),
			})
			return err
		})
	}
	finish = append(finish, func() error { return d.token("public") }, func() error { return d.token("confidential") })
	inside, release := make(chan struct{}, len(finish)), make(chan struct{})
	defer close(release)
	d.onVerdict(func(nstest.Verdict) { inside <- struct{}{}; <-release })
	ended := make(chan error, len(finish))
	for _, f := range finish {
		go func() { ended <- f() }()
	}
	for range finish {
		<-inside
	}
	if r := d.atRest("while they hang", p.needles(), noneUnlocked); r.Total.Locked == 0 {
		t.Errorf("control: locked memory does not hold what is under way:\n%s", r)
	}
	if n := len(d.exchangers()); n != len(finish) {
		t.Errorf("control: %d exchangers, want %d", n, len(finish))
	}
	if err := d.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range codes { // a verifier is part of a header until then
		p.note("code", c)
	}
	for range finish {
		if err := <-ended; !errors.Is(err, client.ErrLocked) {
			t.Errorf("got %v", err)
		}
	}
	d.atRest("after the lock", p.needles(), none)
	eventually(t, 10*time.Second, func() string {
		if left := d.exchangers(); len(left) > 0 {
			return fmt.Sprintf("exchangers are left: %v", left)
		}
		return ""
	})
}

// exchangers returns the pids of the exchangers that run.
func (d *daemon) exchangers() (pids []int) {
	d.t.Helper()
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", d.supervisor.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, name := range all {
		text, _ := os.ReadFile(name) // #nosec G304 -- of /proc; a thread may be gone
		for _, field := range strings.Fields(string(text)) {
			line, _ := os.ReadFile("/proc/" + field + "/cmdline")
			if pid, err := strconv.Atoi(field); err == nil && bytes.Contains(line, []byte("exchanger")) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
