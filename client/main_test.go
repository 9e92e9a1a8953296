package client_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/realagent"
)

// TestMain builds the product, starts a NetSuite and an agent that knows its
// credentials, and sets the environment of a user who has done so: tests and
// examples dial and send as such a user's program does.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Arg(0) == roleEnvironment { // started by a test
		if err := environmentRole(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(runAll(m))
}

func runAll(m *testing.M) (code int) {
	if only := flag.Lookup("test.fuzz").Value.String() != "" && flag.Lookup("test.run").Value.String() == "^$"; only ||
		flag.Lookup("test.fuzzworker").Value.String() == "true" {
		return m.Run() // fuzz targets need no agent
	}
	w, err := theWorld()
	defer func() {
		if err := w.close(); err != nil {
			fmt.Fprintln(os.Stderr, "cleaning up:", err)
			code = cmp.Or(code, 1)
		}
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "setting up:", err)
		return 1
	}
	for _, name := range []string{"NSAGENT_PROFILE", "NSAGENT_ADMIN_SOCK", "NSAGENT_SOCK_UID", "NSAGENT_CONFIG"} {
		if err := os.Unsetenv(name); err != nil {
			return 1
		}
	}
	if err := os.Setenv("NSAGENT_SOCK", w.agent.socket()); err != nil {
		return 1
	}
	http.DefaultTransport = w.web
	return m.Run()
}

// world is what all tests share: the product, a NetSuite, and an unlocked agent
// with a profile for each of its accounts.
type world struct {
	dir      string // of the program
	netsuite *nstest.Server
	endpoint *nstest.Endpoint
	// web reaches NetSuite: every host name of it is the endpoint.
	web   *http.Transport
	agent *daemon
}

// theWorld makes the world, once.
var theWorld = sync.OnceValues(newWorld)

// shared returns the world that TestMain has made.
func shared(t testing.TB) *world {
	t.Helper()
	w, err := theWorld()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newWorld() (*world, error) {
	w := &world{}
	var err error
	if w.dir, err = os.MkdirTemp("", "nscb"); err != nil {
		return w, err
	}
	cfg := nstest.DemoConfig()
	cfg.KeepVerdicts = 20_000
	for i := range cfg.Accounts {
		cfg.Accounts[i].Concurrency = 0 // tests run at the same time
	}
	w.netsuite = nstest.New(cfg)
	if w.endpoint, err = w.netsuite.ListenTLS("127.0.0.1:0"); err != nil {
		return w, err
	}
	w.web = w.transport(strings.TrimPrefix(w.endpoint.URL, "https://"), w.endpoint.CAPEM)

	// The daemon is what users run; -race of the tests is not for it.
	if _, err := realagent.Build(context.Background(), w.dir); err != nil {
		return w, err
	}
	if w.agent, err = newDaemon(w.program()); err != nil {
		return w, err
	}
	if err := w.agent.start(); err != nil {
		return w, err
	}
	return w, w.fill(w.agent)
}

func (w *world) program() string { return filepath.Join(w.dir, "nsagent") }

// transport returns an http.Transport for which every host is at address.
func (w *world) transport(address string, caPEM []byte) *http.Transport {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		},
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
	}
}

// fill unlocks d and gives it the profiles: acme-sb1 (sandbox, may write),
// acme-prod (production, reads only) and acme-sb1-m2m, each for NetSuite's own
// hosts, and mock, which is acme-sb1 at the endpoint.
func (w *world) fill(d *daemon) error {
	if err := d.unlock(); err != nil {
		return err
	}
	ca := filepath.Join(d.home, "ca.pem")
	if err := os.WriteFile(ca, w.endpoint.CAPEM, 0o600); err != nil {
		return err
	}
	for _, a := range nstest.DemoConfig().Accounts {
		name := map[string]string{"1234567_SB1": "acme-sb1", "1234567": "acme-prod"}[a.ID]
		tba := map[string]any{
			"account": a.ID, "auth": "tba", "consumer_key": a.Integrations[0].ConsumerKey, "consumer_secret": a.Integrations[0].ConsumerSecret,
			"token_id": a.Tokens[0].TokenID, "token_secret": a.Tokens[0].TokenSecret,
		}
		if err := d.add(name, tba); err != nil {
			return err
		}
		if name != "acme-sb1" {
			continue
		}
		tba["endpoint"], tba["ca_file"] = w.endpoint.URL, ca
		m2m := map[string]any{
			"account": a.ID, "auth": "m2m", "client_id": a.Certificates[0].ClientID, "certificate": a.Certificates[0].PEM,
			"private_key": string(nstest.DemoPrivateKey(a.ID)), "scopes": []string{"rest_webservices", "restlets"},
		}
		if err := errors.Join(d.add("mock", tba), d.add("acme-sb1-m2m", m2m)); err != nil {
			return err
		}
	}
	return nil
}

// add adds a profile with the command line.
func (d *daemon) add(name string, profile map[string]any) error {
	text, err := json.Marshal(profile)
	if err != nil {
		return err
	}
	_, err = d.nsagent(string(text), "profile", "add", name, "--from", "-")
	return err
}

func (w *world) close() error {
	var errs []error
	if w.agent != nil {
		errs = append(errs, w.agent.remove())
	}
	if w.web != nil {
		w.web.CloseIdleConnections()
	}
	if w.endpoint != nil {
		errs = append(errs, w.endpoint.Close())
	}
	if w.dir != "" {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

// watch returns what tells how NetSuite judged the requests from now on whose URL
// holds marker.
func (w *world) watch() func(marker string) []nstest.Verdict {
	since := uint64(0)
	if all := w.netsuite.Verdicts(); len(all) > 0 {
		since = all[len(all)-1].Seq
	}
	return func(marker string) []nstest.Verdict {
		var out []nstest.Verdict
		for _, v := range w.netsuite.Verdicts() {
			if v.Seq > since && strings.Contains(v.URL, marker) {
				out = append(out, v)
			}
		}
		return out
	}
}

// output collects what a process writes.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// inTime is how long a busy machine may take for what happens at once.
const inTime = 10 * time.Second

// eventually waits until check returns "", or fails with what it last said.
func eventually(t testing.TB, within time.Duration, check func() string) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(2 * time.Millisecond) {
		said := check()
		if said == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s still: %s", within, said)
		}
	}
}
