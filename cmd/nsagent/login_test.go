package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/browsertest"
)

// loginWorld is a user with an open vault, and a NetSuite over TLS whose integration
// records send browsers to this machine.
type loginWorld struct {
	*user
	site     *nstest.Endpoint
	redirect string // of the code grant
	web      *http.Client
}

const (
	loginClient   = "346fd294a255d6b8ff64859cd6f45585781acfe7e69504e461a97063e713503f"
	loginConsumer = "ef40afdd8abaac111b13825dd5e5e2ddddb44f86d5a0dd6dcf38c20aae6b67e4"
	loginSecret   = "fde8a66aba4ddc1e294af8ee52ecf7722c4b70a96f3e7a2ac1dd4e5227b495b7"
	elsewhere     = "https://app.example.com/oauth/callback"
)

func newLoginWorld(t *testing.T) *loginWorld {
	t.Helper()
	w := &loginWorld{user: newUser(t)}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	w.redirect = fmt.Sprintf("https://localhost:%d/callback", port)
	w.site, err = nstest.New(nstest.Config{Accounts: []nstest.Account{{
		ID: "1234567_SB1",
		Integrations: []nstest.Integration{
			{Name: "Three Steps", ConsumerKey: loginConsumer, ConsumerSecret: loginSecret, Callbacks: []string{"http://localhost:*"}},
			{Name: "Code Grant", ConsumerKey: loginClient, ConsumerSecret: loginSecret, RedirectURIs: []string{w.redirect, elsewhere}},
		},
	}}}).ListenTLS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.site.Close() })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.site.CAPEM)
	w.web = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(w.web.CloseIdleConnections)
	w.write("ca.pem", string(w.site.CAPEM))
	for name, keys := range map[string]string{
		"pkce": fmt.Sprintf(`"auth":"authcode","client_id":%q,"client_secret":%q,"scopes":["rest_webservices"],"redirect_uri":%q`, loginClient, loginSecret, w.redirect),
		"3sa":  fmt.Sprintf(`"auth":"tba","consumer_key":%q,"consumer_secret":%q`, loginConsumer, loginSecret),
	} {
		w.write(name+".json", fmt.Sprintf(`{"account":"1234567_SB1","access":"write","endpoint":%q,"ca_file":%q,%s}`, w.site.URL, filepath.Join(w.home, "ca.pem"), keys))
	}
	w.must("x", "init", "--unlock", "passphrase", "--passphrase-fd", "0", "--kdf", "low")
	a, _ := w.startAgent("x")
	t.Cleanup(a.kill)
	return w
}

// loginCommand is a login that waits for the browser.
type loginCommand struct {
	t       *testing.T
	cmd     *exec.Cmd
	rest    *bufio.Reader // of stdout
	said    bytes.Buffer  // on stderr, once it has ended
	url     string        // of the consent page
	profile map[string]any
}

// login starts a login, and reads where the browser is to go.
func (w *loginWorld) login(setUp func(*exec.Cmd), args ...string) *loginCommand {
	w.t.Helper()
	l := &loginCommand{t: w.t}
	l.cmd = w.command("", append([]string{"login", "-o", "jsonl"}, args...)...)
	l.cmd.Stdin, l.cmd.Stderr = nil, &l.said
	setUp(l.cmd)
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = l.cmd.Process.Kill() })
	l.rest = bufio.NewReader(out)
	var begun struct {
		URL string `json:"authorize_url"`
	}
	line, err := l.rest.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &begun)
	}
	if err != nil || begun.URL == "" {
		_ = l.cmd.Wait()
		w.t.Fatalf("the login says %q, %v, and\n%s", line, err, l.said.String())
	}
	l.url = begun.URL
	return l
}

// end waits for the end, and returns the exit code.
func (l *loginCommand) end() int {
	l.t.Helper()
	if line, err := l.rest.ReadBytes('\n'); err == nil {
		if err := json.Unmarshal(line, &l.profile); err != nil {
			l.t.Errorf("%q: %v", line, err)
		}
	}
	_ = l.cmd.Wait()
	return l.cmd.ProcessState.ExitCode()
}

func withoutTerminal(c *exec.Cmd) {
	c.Args = append(c.Args, "--no-input", "--no-browser")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

// agree says yes on the consent page as its form would, and returns where the browser is
// sent.
func (w *loginWorld) agree(url string) string {
	w.t.Helper()
	answer, err := w.web.Get(url + "&nstest_allow=1")
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	to := answer.Header.Get("Location")
	if to == "" {
		w.t.Fatalf("NetSuite answers %s %s", answer.Status, body)
	}
	return to
}

// TestLoginInChromium goes through both flows whole: the command, the agent with its
// processes, NetSuite's page in Chromium, the warning of the certificate, and the page of
// the outcome.
func TestLoginInChromium(t *testing.T) {
	if raceEnabled {
		t.Skip("runs without the race detector, under which every process is slow")
	}
	w := newLoginWorld(t)
	b := browsertest.Start(t)
	for _, flow := range []string{"pkce", "3sa"} {
		from := filepath.Join(w.home, flow+".json")

		l := w.login(withoutTerminal, "-p", "no-"+flow, "--flow", flow, "--from", from)
		b.Open(l.url)
		b.Await("Allow access?")
		b.Click("#deny")
		b.Await("Consent denied · nsagent")
		if text := b.Text("main"); !strings.Contains(text, "no-"+flow) || !strings.Contains(text, "1234567_SB1") {
			t.Errorf("%s: the page says %q", flow, text)
		}
		if code := l.end(); code != 6 || !strings.Contains(l.said.String(), "NSA-DECLINED") {
			t.Errorf("%s, denied: got exit code %d and\n%s", flow, code, l.said.String())
		}
		if out, err := w.try("", "profile", "show", "no-"+flow); err == nil {
			t.Errorf("%s, denied: stored %s", flow, out)
		}

		l = w.login(withoutTerminal, "-p", "yes-"+flow, "--flow", flow, "--from", from)
		b.Open(l.url)
		b.Await("Allow access?")
		b.Click("#allow")
		b.Await("You are logged in · nsagent")
		if code := l.end(); code != 0 || l.profile["entity"] != "-5" || l.profile["account"] != "1234567_SB1" {
			t.Errorf("%s: got exit code %d, %v and\n%s", flow, code, l.profile, l.said.String())
		}
		for _, line := range b.Complaints() {
			if strings.Contains(line, "Content") || strings.Contains(line, "mixed") {
				t.Errorf("%s: Chromium says: %s", flow, line)
			}
		}
	}
	// What was stored works.
	if out := w.must("", "token", "-p", "yes-pkce"); !strings.HasPrefix(string(out), "eyJ") {
		t.Errorf("got %s", out)
	}
	header := string(w.must("", "sign", "-p", "yes-3sa", "-q", "--format", "value", w.site.URL+"/services/rest/record/v1/customer"))
	r, _ := http.NewRequest(http.MethodGet, w.site.URL+"/services/rest/record/v1/customer", nil)
	r.Header.Set("Authorization", strings.TrimSpace(header))
	answer, err := w.web.Do(r)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("the token signs, and NetSuite answers %v, %v", answer, err)
	}
	_ = answer.Body.Close()
}

// TestLoginPasted: the answer can be pasted, whether or not a browser could have brought
// it; what is pasted is not shown, and what is no answer is asked for again.
func TestLoginPasted(t *testing.T) {
	w := newLoginWorld(t)
	for _, c := range []struct{ name, flow, redirect string }{
		{"here", "pkce", w.redirect}, {"elsewhere", "pkce", elsewhere}, {"steps", "3sa", "http://localhost:0/callback"},
	} {
		term, err := openTerminal()
		if err != nil {
			t.Fatal(err)
		}
		defer term.close()
		l := w.login(onTerminal(term), "-p", c.name, "--from", filepath.Join(w.home, c.flow+".json"), "--redirect-uri", c.redirect, "--no-browser")
		back := w.agree(l.url)
		dialogue := "> (not shown): \necho off\n< " + l.url + "\n" +
			"> That is not it: it does not begin with \n> (not shown): \n" +
			"< " + strings.Replace(back, "state=", "state=x", 1) + "\n> it is the answer to another login\n> (not shown): \n" +
			"paste \"" + back + "\" \\r\n"
		if err := term.talk(dialogue, l.cmd.Process, nil); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if code := l.end(); code != 0 || l.profile["name"] != c.name {
			t.Errorf("%s: got exit code %d, %v and\n%s", c.name, code, l.profile, l.said.String())
		}
		for _, part := range strings.FieldsFunc(back, func(r rune) bool { return r == '&' || r == '?' }) {
			if strings.HasPrefix(part, "code=") || strings.HasPrefix(part, "oauth_verifier=") {
				if strings.Contains(term.text()+l.said.String(), part) {
					t.Errorf("%s: %s was shown", c.name, part)
				}
			}
		}
		if on, err := term.echoes(); err != nil || !on {
			t.Errorf("%s: the terminal does not echo any more (%v)", c.name, err)
		}
	}
}

// TestLoginQuestionEnds: a question that became idle because the browser came leaves the
// terminal as it was.
func TestLoginQuestionEnds(t *testing.T) {
	w := newLoginWorld(t)
	term, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer term.close()
	l := w.login(onTerminal(term), "-p", "steps", "--from", filepath.Join(w.home, "3sa.json"), "--no-browser")
	back := w.agree(l.url)
	if err := term.talk("> (not shown): \necho off\n", l.cmd.Process, nil); err != nil {
		t.Fatal(err)
	}
	answer, err := w.web.Get(back)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("got %v, %v", answer, err)
	}
	_ = answer.Body.Close()
	if code := l.end(); code != 0 {
		t.Errorf("got exit code %d and\n%s", code, l.said.String())
	}
	if on, err := term.echoes(); err != nil || !on {
		t.Errorf("the terminal does not echo any more (%v)", err)
	}

	// Ctrl-C ends the login, and nothing listens any more.
	l = w.login(onTerminal(term), "-p", "again", "--from", filepath.Join(w.home, "3sa.json"), "--no-browser")
	back = w.agree(l.url)
	if err := term.talk("> (not shown): \nkey ^C\n", l.cmd.Process, nil); err != nil {
		t.Fatal(err)
	}
	if code := l.end(); code != 1 || !strings.Contains(l.said.String(), "nsagent: interrupted") {
		t.Errorf("got exit code %d and\n%s", code, l.said.String())
	}
	if answer, err := w.web.Get(back); err == nil {
		_ = answer.Body.Close()
		t.Errorf("somebody answers: %s", answer.Status)
	}
	if out, err := w.try("", "profile", "show", "again"); err == nil {
		t.Errorf("stored %s", out)
	}
}

// onTerminal gives a command a terminal to ask on.
func onTerminal(term *terminal) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.Stdin = term.slave
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	}
}
