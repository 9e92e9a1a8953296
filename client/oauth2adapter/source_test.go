package oauth2adapter_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/oauth2"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/client/oauth2adapter"
	"github.com/nsagent/nsagent/internal/realagent"
)

const account = "1234567_SB1"

// newAgent returns a client of a real agent with the M2M profile "m2m" for netsuite.
func newAgent(t *testing.T, netsuite *nstest.Endpoint, certificate nstest.Certificate) *client.Client {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	bin, err := realagent.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home, err := realagent.NewHome(ctx, bin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(home.Remove)
	agent, err := home.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := agent.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := home.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(home.Dir(), "ca.pem")
	if err := os.WriteFile(ca, netsuite.CAPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	draft, err := json.Marshal(map[string]any{
		"account": account, "auth": "m2m", "access": "write", "client_id": certificate.ClientID, "certificate": certificate.PEM,
		"private_key": string(nstest.DemoPrivateKey(account)), "scopes": []string{"rest_webservices"}, "endpoint": netsuite.URL, "ca_file": ca,
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := home.Run(ctx, string(draft), "profile", "add", "m2m", "--from", "-"); err != nil {
		t.Fatalf("adding the profile: %v\n%s", err, out)
	}
	c, err := client.Dial(ctx, client.WithSocket(home.Paths.Agent))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A program with x/oauth2 calls NetSuite with tokens of the agent, which gets one.
func TestTokenSource(t *testing.T) {
	config := nstest.DemoConfig()
	server := nstest.New(config)
	netsuite, err := server.ListenTLS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netsuite.Close() })
	var certificate nstest.Certificate
	for _, a := range config.Accounts {
		if a.ID == account {
			certificate = a.Certificates[0]
		}
	}
	c := newAgent(t, netsuite, certificate)

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(netsuite.CAPEM)
	web := &http.Client{Transport: &oauth2.Transport{
		Source: oauth2adapter.TokenSource(t.Context(), c, client.AccessTokenRequest{Profile: "m2m"}),
		Base:   &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	}}
	for range 3 {
		resp, err := web.Get(netsuite.URL + "/services/rest/record/v1/customer/1")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("got %s", resp.Status)
		}
	}
	exchanges := 0
	for _, v := range server.Verdicts() {
		if v.Channel == nstest.ChannelToken {
			exchanges++
		}
	}
	if exchanges != 1 {
		t.Errorf("%d exchanges, want 1", exchanges)
	}
	_, err = oauth2adapter.TokenSource(t.Context(), c, client.AccessTokenRequest{Profile: "m2m", Scopes: []string{"restlets"}}).Token()
	if !errors.Is(err, client.ErrDenied) {
		t.Errorf("a scope that is not the profile's: got %v", err)
	}
}
