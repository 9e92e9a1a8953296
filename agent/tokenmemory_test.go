//go:build !race

// These tests look at the product from outside, which has no race detector: one run
// of them is enough.

package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// gatewayPID returns the process that the agent has asked its supervisor for.
func (d *daemon) gatewayPID() int {
	d.t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", d.supervisor.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for _, text := range strings.Fields(string(b)) {
			line, _ := os.ReadFile("/proc/" + text + "/cmdline")
			if strings.HasPrefix(string(line), "nsagent\x00gateway\x00") {
				pid, _ := strconv.Atoi(text)
				return pid
			}
		}
	}
	d.t.Fatal("there is no gateway")
	return 0
}

// TestMemoryAfterExchanges: access tokens are in the agent's locked memory alone, and
// nowhere after a lock, also those that callers got; the private key never is in the
// gateway.
func TestMemoryAfterExchanges(t *testing.T) {
	needs.Root(t, "scans the memory of another process")
	rounds := 4 // of seven exchanges
	if needs.Long() {
		rounds = 29
	}
	var mu sync.Mutex // guards tokens
	var tokens []memscan.Needle
	upstream := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		token := fmt.Sprintf("canary-%03d-%d-canary", len(tokens), time.Now().UnixNano())
		tokens = append(tokens, memscan.Needle{Name: "access token", Form: "raw", Bytes: []byte(token)})
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600,"token_type":"bearer"}`, token)
	}))
	defer upstream.Close()
	d := startDaemon(t, "memory = \"mlock\"\n") // the other mode, root cannot read at all
	admin := d.dialAdmin()
	unlock := func() {
		if _, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
			t.Fatal(err)
		}
	}
	unlock()
	d.needsErasing()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	keys := memscan.Needles("private key", scalar)
	key, cert := keyText(t, k, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	p := &pb.Profile{
		Name: "m2m", Account: "1234567_SB1", Auth: "m2m", Access: "write", ClientId: sample(9), Certificate: cert, Endpoint: upstream.URL,
		Ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: upstream.Certificate().Raw})), Scopes: []string{"rest_webservices", "restlets", "suite_analytics"},
	}
	if _, err := admin.AddProfile(t.Context(), p, map[string]client.Sealer{"private_key": sealWith(d.arena, key)}); err != nil {
		t.Fatal(err)
	}
	c := d.dial()
	for range rounds {
		for set := 1; set < 8; set++ {
			var scopes []string
			for i, s := range p.Scopes {
				if set&(1<<i) != 0 {
					scopes = append(scopes, s)
				}
			}
			if _, err := c.AccessToken(t.Context(), client.AccessTokenRequest{Scopes: scopes}); err != nil {
				t.Fatal(err)
			}
		}
		if err := admin.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		unlock()
	}
	if _, err := c.AccessToken(t.Context(), client.AccessTokenRequest{}); err != nil {
		t.Fatal(err)
	}
	if len(tokens) != 7*rounds+1 {
		t.Fatalf("%d exchanges, want %d", len(tokens), 7*rounds+1)
	}
	if r := d.atRest("after the exchanges", keys, noneUnlocked); r.Total.Locked == 0 {
		t.Errorf("control: locked memory does not hold the private key:\n%s", r)
	}
	if r, err := memscan.Scan(d.gatewayPID(), keys); err != nil || r.Total.Locked+r.Total.Unlocked != 0 {
		t.Errorf("the gateway holds a private key: %v\n%s", err, r)
	}
	last := tokens[len(tokens)-1:]
	if agent, _ := d.scan(last); agent.Total.Locked == 0 {
		t.Errorf("control: locked memory does not hold the access token that is kept:\n%s", agent)
	}
	if err := admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.atRest("after lock", append(tokens, keys...), none)
}
