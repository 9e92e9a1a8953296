package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dghubble/oauth1"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/signer"
)

var benchRequest = client.Request{Profile: profile, URL: signURL}

const (
	consumerKey    = "ef40afdd8abaac111b13825dd5e5e2ddddb44f86d5a0dd6dcf38c20aae6b67e4"
	consumerSecret = "d26ad321a4b2f23b0741c8d38392ce01c3e23e109df6c96eac6d099e9ab9e8b5" // #nosec G101 -- a sample of Oracle's
	tokenID        = "2b0ce516420110bcbd36b69e99196d1b7f6de3c6234c5afb799b73d87569f5cc"
	tokenSecret    = "c29a677df7d5439a458c063654187e3d678d73aca8e3c9d8bea1478a3eb0d295" // #nosec G101 -- a sample of Oracle's
)

// ownSign signs with the agent's own parts, in this process.
func ownSign() (testing.BenchmarkResult, error) {
	arena, err := secret.NewArena(secret.ArenaConfig{Mode: secret.ModeAuto})
	if err != nil {
		return testing.BenchmarkResult{}, err
	}
	defer func() { _ = arena.Close() }()
	raw, err := arena.Take([]byte(consumerSecret + "&" + tokenSecret))
	if err != nil {
		return testing.BenchmarkResult{}, err
	}
	key, err := arena.NewHMACKey(raw)
	if err != nil {
		return testing.BenchmarkResult{}, err
	}
	account, err := signer.ParseAccount("1234567_SB1")
	if err != nil {
		return testing.BenchmarkResult{}, err
	}
	id := signer.Identity{Account: account, ConsumerKey: consumerKey, TokenID: tokenID}
	var failed error
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			target, err := signer.ParseTarget(signURL)
			if err == nil {
				_, err = signer.Sign(id, signer.Request{Method: "GET", Target: target}, "fjaLirsIcCGVZWzBX0pg", time.Now().Unix(), key)
			}
			if err != nil {
				failed = err
				return
			}
		}
	})
	return r, failed
}

// recorder is a transport that sends nothing.
type recorder struct{}

func (recorder) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// dghubbleSign signs the same request with dghubble/oauth1.
func dghubbleSign() (testing.BenchmarkResult, error) {
	cfg := oauth1.NewConfig(consumerKey, consumerSecret)
	cfg.Realm = "1234567_SB1"
	cfg.Signer = &oauth1.HMAC256Signer{ConsumerSecret: consumerSecret}
	ctx := context.WithValue(oauth1.NoContext, oauth1.HTTPClient, &http.Client{Transport: recorder{}})
	c := cfg.Client(ctx, oauth1.NewToken(tokenID, tokenSecret))
	var failed error
	r := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			resp, err := c.Get(signURL)
			if err != nil {
				failed = err
				return
			}
			_ = resp.Body.Close()
		}
	})
	return r, failed
}

const oauthlibLoop = `
import time
from oauthlib.oauth1 import Client
c = Client(%q, client_secret=%q, resource_owner_key=%q, resource_owner_secret=%q, signature_method="HMAC-SHA256", realm="1234567_SB1")
n = 3000
for _ in range(200): c.sign(%q)
t = time.perf_counter_ns()
for _ in range(n): c.sign(%q)
print((time.perf_counter_ns() - t) // n)
`

// oauthlibSign returns nanoseconds a signature of Debian's python3-oauthlib.
func oauthlibSign(ctx context.Context) (int64, error) {
	script := fmt.Sprintf(oauthlibLoop, consumerKey, consumerSecret, tokenID, tokenSecret, signURL, signURL)
	c := exec.CommandContext(ctx, "/usr/bin/python3", "-c", script) // #nosec G204 -- the peer to measure
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

const nodeLoop = `
const crypto = require("crypto"), OAuth = require("oauth-1.0a");
const oauth = OAuth({
  consumer: { key: %q, secret: %q }, signature_method: "HMAC-SHA256", realm: "1234567_SB1",
  hash_function: (base, key) => crypto.createHmac("sha256", key).update(base).digest("base64"),
});
const token = { key: %q, secret: %q }, request = { url: %q, method: "GET" };
const sign = () => oauth.toHeader(oauth.authorize(request, token));
for (let i = 0; i < 2000; i++) sign();
const n = 10000, begin = process.hrtime.bigint();
for (let i = 0; i < n; i++) sign();
console.log(Number((process.hrtime.bigint() - begin) / BigInt(n)));
`

// nodeSign returns nanoseconds a signature of npm's oauth-1.0a, which is installed into
// dir.
func nodeSign(ctx context.Context, dir string) (int64, error) {
	if _, err := os.Stat(filepath.Join(dir, "node_modules/oauth-1.0a")); err != nil {
		npm := exec.CommandContext(ctx, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "oauth-1.0a@2.2.6") // #nosec G204 -- the peer to measure
		npm.Stderr = os.Stderr
		if err := npm.Run(); err != nil {
			return 0, fmt.Errorf("installing oauth-1.0a: %w", err)
		}
	}
	c := exec.CommandContext(ctx, "node", "-e", fmt.Sprintf(nodeLoop, consumerKey, consumerSecret, tokenID, tokenSecret, signURL)) // #nosec G204 -- the peer to measure
	c.Dir, c.Stderr = dir, os.Stderr
	out, err := c.Output()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

func inProcessRows(ctx context.Context, w *world) ([]row, error) {
	var ns []int64
	var toDghubble, toOauthlib, toNode []float64
	var allocs int64
	for range w.rounds {
		own, err := ownSign()
		if err != nil {
			return nil, err
		}
		other, err := dghubbleSign()
		if err != nil {
			return nil, err
		}
		python, err := oauthlibSign(ctx)
		if err != nil {
			return nil, err
		}
		node, err := nodeSign(ctx, filepath.Join(w.dir, "npm"))
		if err != nil {
			return nil, err
		}
		toNode = append(toNode, float64(node)/float64(own.NsPerOp()))
		ns, allocs = append(ns, own.NsPerOp()), own.AllocsPerOp()
		toDghubble = append(toDghubble, float64(other.NsPerOp())/float64(own.NsPerOp()))
		toOauthlib = append(toOauthlib, float64(python)/float64(own.NsPerOp()))
	}
	return []row{
		{"header built and signed in process", "≤ 3 µs, ≤ 3 allocations", fmt.Sprintf("%.2f µs, %d", float64(median(ns))/1000, allocs), "URL check and MAC included", median(ns) <= 3000 && allocs <= 3},
		{"… against dghubble/oauth1", "≥ 8x", fmt.Sprintf("%.1fx", median(toDghubble)), spread(toDghubble), median(toDghubble) >= 8},
		{"… against python3-oauthlib", "≥ 80x", fmt.Sprintf("%.0fx", median(toOauthlib)), spread(toOauthlib), median(toOauthlib) >= 80},
		{"… against npm oauth-1.0a", noTarget, fmt.Sprintf("%.1fx", median(toNode)), spread(toNode), false},
	}, nil
}
