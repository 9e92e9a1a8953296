package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/memscan"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	demoCustomer = "/services/rest/record/v1/customer/1"
	demoSuiteQL  = "/services/rest/query/v1/suiteql?limit=5"
	demoRESTlet  = "/app/site/hosting/restlet.nl?script=6&deploy=1&id=2&id=1"
	demoSOAP     = "/services/NetSuitePort_2025_2"
)

// send sends a request through the signing transport and returns NetSuite's
// verdict on it.
func (w *demoWorld) send(ctx context.Context, profile, method, path, contentType, body string) (nstest.Verdict, error) {
	signed := &http.Client{Transport: &client.Transport{Client: w.client, Profile: profile, Base: w.web.Transport}}
	return w.do(ctx, signed, method, path, contentType, body, nil)
}

// do sends a request with c and returns the verdict.
func (w *demoWorld) do(ctx context.Context, c *http.Client, method, path, contentType, body string, header http.Header) (nstest.Verdict, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.endpoint.URL+path, strings.NewReader(body))
	if err != nil {
		return nstest.Verdict{}, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nstest.Verdict{}, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return w.lastVerdict(), errors.Join(err, resp.Body.Close())
}

func (w *demoWorld) lastVerdict() nstest.Verdict {
	all := w.netsuite.Verdicts()
	if len(all) == 0 {
		return nstest.Verdict{}
	}
	return all[len(all)-1]
}

// accepted turns a verdict that should be good into the result of a step.
func accepted(v nstest.Verdict, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if !v.OK || v.Status >= 400 {
		return "", unexpected("refused: %s", v)
	}
	return fmt.Sprintf("accepted, %d", v.Status), nil
}

func (w *demoWorld) rest(ctx context.Context) (string, error) {
	return accepted(w.send(ctx, "demo-sb1", http.MethodGet, demoCustomer, "", ""))
}

func (w *demoWorld) suiteQL(ctx context.Context) (string, error) {
	signed := &http.Client{Transport: &client.Transport{Client: w.client, Profile: "demo-prod", Base: w.web.Transport}}
	return accepted(w.do(ctx, signed, http.MethodPost, demoSuiteQL, "application/json", `{"q":"SELECT id FROM customer"}`, http.Header{"Prefer": {"transient"}}))
}

func (w *demoWorld) restlet(ctx context.Context) (string, error) {
	return accepted(w.send(ctx, "demo-sb1", http.MethodGet, demoRESTlet, "application/json", ""))
}

func (w *demoWorld) soap(ctx context.Context) (string, error) {
	p, err := w.client.Passport(ctx, "demo-sb1", "2025_2")
	if err != nil {
		return "", err
	}
	envelope := `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Header>` + p.GetXml() +
		`</soapenv:Header><soapenv:Body><getServerTime xmlns="urn:messages_2025_2.platform.webservices.netsuite.com"/></soapenv:Body></soapenv:Envelope>`
	return accepted(w.do(ctx, w.web, http.MethodPost, demoSOAP, "text/xml; charset=utf-8", envelope, http.Header{"Soapaction": {"getServerTime"}}))
}

func (w *demoWorld) connect(ctx context.Context) (string, error) {
	p, err := w.client.ConnectPassword(ctx, "demo-sb1")
	if err != nil {
		return "", err
	}
	if v := w.netsuite.CheckConnect(p.GetUser(), p.GetPassword()); !v.OK {
		return "", unexpected("refused: %s", v)
	}
	return "accepted, one session", nil
}

func (w *demoWorld) exchange(ctx context.Context) (string, error) {
	// The production profile may read only; an assertion carries the whole role.
	a, err := w.client.Assertion(ctx, client.AssertionRequest{Profile: "demo-sb1-m2m"})
	if err != nil {
		return "", err
	}
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {a.GetAssertion()},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.GetTokenEndpoint(), strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := w.web.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var token struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.UnmarshalRead(resp.Body, &token); err != nil || token.AccessToken == "" {
		return "", unexpected("no token: %s", w.lastVerdict())
	}
	result, err := accepted(w.do(ctx, w.web, http.MethodGet, demoCustomer, "", "", http.Header{"Authorization": {"Bearer " + token.AccessToken}}))
	return "exchanged for a token, which was " + result, err
}

// accessToken has many callers ask for an access token at once; the gateway process
// gets one.
func (w *demoWorld) accessToken(ctx context.Context) (string, error) {
	const callers = 64
	exchanges := func() (n int) {
		for _, v := range w.netsuite.Verdicts() {
			if v.Channel == nstest.ChannelToken {
				n++
			}
		}
		return n
	}
	before := exchanges()
	tokens, errs := make([]string, callers), make([]error, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			r, err := w.client.AccessToken(ctx, client.AccessTokenRequest{Profile: "demo-sb1-m2m"})
			tokens[i], errs[i] = r.GetAccessToken(), err
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	if n := exchanges() - before; n != 1 || len(slices.Compact(tokens)) != 1 {
		return "", unexpected("%d exchanges for %d callers", n, callers)
	}
	result, err := accepted(w.do(ctx, w.web, http.MethodGet, demoCustomer, "", "", http.Header{"Authorization": {"Bearer " + tokens[0]}}))
	return fmt.Sprintf("%d callers, one exchange; %s", callers, result), err
}

func (w *demoWorld) wrongSignature(ctx context.Context) (string, error) {
	r, err := w.client.Sign(ctx, client.Request{Profile: "demo-sb1", URL: w.endpoint.URL + demoCustomer})
	if err != nil {
		return "", err
	}
	// Signed for one customer, sent for another.
	v, err := w.do(ctx, w.web, http.MethodGet, demoCustomer+"0", "", "", http.Header{"Authorization": {r.GetAuthorization()}})
	if err != nil {
		return "", err
	}
	if v.OK || v.Reason != nstest.ReasonInvalidSignature {
		return "", unexpected("not refused as it should: %s", v)
	}
	return fmt.Sprintf("refused, %d: %s", v.Status, v.Reason), nil
}

func (w *demoWorld) foreignHost(ctx context.Context) (string, error) {
	_, err := w.client.Sign(ctx, client.Request{Profile: "demo-sb1", URL: "https://7654321.suitetalk.api.netsuite.com" + demoCustomer})
	return refusedWith(err, pb.CodeHost)
}

func (w *demoWorld) productionWrite(ctx context.Context) (string, error) {
	_, err := w.client.Sign(ctx, client.Request{Profile: "demo-prod", Method: http.MethodPost, URL: w.endpoint.URL + "/services/rest/record/v1/customer"})
	return refusedWith(err, pb.CodeReadOnly)
}

func (w *demoWorld) auditChain(ctx context.Context) (string, error) {
	if _, err := w.nsagent(ctx, nil, "audit", "verify"); err != nil {
		return "", err
	}
	r, err := audit.CheckDir(filepath.Join(w.dir, ".local", "state", "nsagent", "audit"), audit.Trust{})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("intact, %d entries", r.Entries), nil
}

// memoryScan looks for the demo's secrets in the memory of the agent and of its
// supervisor. Only locked pages may hold what signs, and nothing may hold a secret.
func (w *demoWorld) memoryScan(ctx context.Context) (string, error) {
	if os.Geteuid() != 0 {
		return "left out: reading the memory of another process needs root", nil
	}
	for range 2000 {
		if _, err := w.client.Sign(ctx, client.Request{Profile: "demo-sb1", URL: w.endpoint.URL + demoCustomer}); err != nil {
			return "", err
		}
	}
	scanner, err := memscan.New(w.needles())
	if err != nil {
		return "", err
	}
	read := uint64(0)
	for _, pid := range []int{w.pid, w.agent.Process.Pid} {
		r, err := settledScan(scanner, pid)
		if err != nil {
			return "", err
		}
		if r.Total.Unlocked > 0 {
			return "", unexpected("copies of secrets: %s", r)
		}
		read += r.Scanned
	}
	control, err := scanner.Reader(bytes.NewReader([]byte(w.config.Accounts[0].Tokens[0].TokenSecret)), "control")
	if err != nil {
		return "", err
	}
	if control.Total.Unlocked == 0 {
		return "", unexpected("the scanner did not find a secret that was there")
	}
	return fmt.Sprintf("no copy of a secret in %d MiB after 2,000 signatures", read>>20), nil
}

// settledScan scans a process until nothing is found, for a few seconds at most: a
// private key is parsed for each use, and what that leaves on the heap is erased by
// garbage collections that come a moment later.
func settledScan(scanner *memscan.Scanner, pid int) (r memscan.Report, err error) {
	for end := time.Now().Add(8 * time.Second); ; time.Sleep(250 * time.Millisecond) {
		r, err = scanner.Process(pid)
		if err != nil || r.Total.Unlocked == 0 || time.Now().After(end) {
			return r, err
		}
	}
}

func (w *demoWorld) needles() []memscan.Needle {
	all := memscan.Needles("passphrase", []byte(w.passphrase))
	for _, a := range w.config.Accounts {
		cs, ts := a.Integrations[0].ConsumerSecret, a.Tokens[0].TokenSecret
		all = append(all, memscan.Needles("consumer secret", []byte(cs))...)
		all = append(all, memscan.Needles("token secret", []byte(ts))...)
		all = append(all, memscan.Needles("signing key", []byte(cs+"&"+ts))...)
		key := w.keys[a.ID]
		if scalar, err := key.Bytes(); err == nil {
			all = append(all, memscan.Needles("private key", scalar)...)
		}
	}
	return all
}
