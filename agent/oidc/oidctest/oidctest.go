// Package oidctest is a CI service for tests: an issuer of ID tokens on the loopback
// interface, over TLS, with keys of its own.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// RequestToken is the bearer that the endpoint for jobs wants, as GitHub's
// ACTIONS_ID_TOKEN_REQUEST_TOKEN is.
const RequestToken = "request-token-of-a-job" // #nosec G101 -- of a service for tests

// Claims are what a token says.
type Claims map[string]any

// Issuer signs tokens. It is safe for concurrent use.
type Issuer struct {
	// URL is its name.
	URL string
	// CA is the certificate of its server, as PEM.
	CA string

	server *httptest.Server
	rsa    *rsa.PrivateKey

	mu      sync.Mutex // guards what follows
	ec      *ecdsa.PrivateKey
	turn    int
	fetched int
	// job are the claims of the tokens that the endpoint for jobs gives out.
	job Claims
}

// New starts an issuer that ends with the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{}
	var err error
	if i.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	i.Rotate(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.configuration)
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("GET /job", i.jobToken)
	i.server = httptest.NewTLSServer(mux)
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	i.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw}))
	return i
}

// Rotate gives the issuer a new EC key under a new name. Its RSA key stays.
func (i *Issuer) Rotate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ec = key
	i.turn++
}

// Fetched returns how often somebody asked for the keys.
func (i *Issuer) Fetched() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetched
}

// GitHub returns the claims of a job of GitHub Actions for audience, good for five
// minutes; each call gives another jti.
func (i *Issuer) GitHub(audience string, now time.Time) Claims {
	return Claims{
		"iss": i.URL, "aud": audience, "jti": rand.Text(), "sub": "repo:acme/erp-sync:ref:refs/heads/main",
		"iat": now.Unix(), "nbf": now.Unix() - 600, "exp": now.Unix() + 300,
		"repository": "acme/erp-sync", "repository_id": "74", "repository_owner_id": "65", "repository_owner": "acme",
		"ref": "refs/heads/main", "event_name": "push", "run_attempt": "1", "runner_environment": "github-hosted",
	}
}

// GitLab returns the claims of a job of GitLab CI, as GitHub does of Actions.
func (i *Issuer) GitLab(audience string, now time.Time) Claims {
	return Claims{
		"iss": i.URL, "aud": audience, "jti": rand.Text(), "sub": "project_path:acme/erp-sync:ref_type:branch:ref:main",
		"iat": now.Unix(), "nbf": now.Unix() - 5, "exp": now.Unix() + 300,
		"project_path": "acme/erp-sync", "project_id": "22", "namespace_id": "72", "namespace_path": "acme",
		"ref": "main", "ref_protected": "true", "pipeline_source": "push", "job_id": "302",
	}
}

// With returns c with a claim changed; a nil value takes it out.
func (c Claims) With(name string, value any) Claims {
	c = maps.Clone(c)
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

// Sign returns a token, signed with ES256.
func (i *Issuer) Sign(t testing.TB, c Claims) []byte {
	t.Helper()
	i.mu.Lock()
	key, kid := i.ec, i.ecName()
	i.mu.Unlock()
	return assemble(t, "ES256", kid, encode(t, c), func(digest []byte) []byte { return signEC(t, key, digest) })
}

// SignRSA returns a token, signed with RS256.
func (i *Issuer) SignRSA(t testing.TB, c Claims) []byte {
	t.Helper()
	return i.SignText(t, "RS256", "rsa", encode(t, c))
}

// SignText returns a token with any header and any text for claims, signed with the RSA
// key as RS256 does.
func (i *Issuer) SignText(t testing.TB, alg, kid string, claims []byte) []byte {
	t.Helper()
	return assemble(t, alg, kid, claims, func(digest []byte) []byte {
		signature, err := rsa.SignPKCS1v15(rand.Reader, i.rsa, crypto.SHA256, digest)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	})
}

// PublicKey returns the RSA key in the forms that somebody may take for a shared secret.
func (i *Issuer) PublicKey() *rsa.PublicKey { return &i.rsa.PublicKey }

// JWKS returns the key set.
func (i *Issuer) JWKS(t testing.TB) []byte {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	return encode(t, i.keysLocked())
}

// Job sets the claims of the tokens that the endpoint for jobs gives out; the audience is
// what is asked for.
func (i *Issuer) Job(c Claims) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.job = c
}

// JobURL is the endpoint for jobs, as GitHub's ACTIONS_ID_TOKEN_REQUEST_URL is.
func (i *Issuer) JobURL() string { return i.URL + "/job?api-version=2.0" }

func (i *Issuer) configuration(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256", "ES256"}})
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetched++
	answer(w, i.keysLocked())
}

func (i *Issuer) jobToken(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Authorization"), "bearer "+RequestToken) {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.job.With("aud", r.URL.Query().Get("audience")).With("jti", rand.Text())
	b, err := json.Marshal(map[string]any(c))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	head := compact("ES256", i.ecName(), b)
	digest := sha256.Sum256([]byte(head))
	signature, err := ecSignature(i.ec, digest[:])
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, map[string]any{"count": 1, "value": head + "." + base64.RawURLEncoding.EncodeToString(signature)})
}

func (i *Issuer) ecName() string { return fmt.Sprintf("ec-%d", i.turn) }

func (i *Issuer) keysLocked() map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	point, err := i.ec.PublicKey.Bytes()
	if err != nil {
		panic("oidctest: a key of its own: " + err.Error()) // made by Rotate
	}
	return map[string]any{"keys": []any{
		map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "rsa", "n": b64(i.rsa.N.Bytes()), "e": b64(big.NewInt(int64(i.rsa.E)).Bytes()), "x5c": []string{"MIIB"}},
		map[string]any{"kty": "EC", "crv": "P-256", "use": "sig", "kid": i.ecName(), "x": b64(point[1:33]), "y": b64(point[33:])},
		map[string]any{"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "other", "x": "AAAA"},
	}}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.MarshalWrite(w, v) // a client that is gone needs no answer
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compact returns header and claims, as they are signed.
func compact(alg, kid string, claims []byte) string {
	header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"JWT"}`, alg, kid)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(claims)
}

func assemble(t testing.TB, alg, kid string, claims []byte, sign func(digest []byte) []byte) []byte {
	t.Helper()
	head := compact(alg, kid, claims)
	digest := sha256.Sum256([]byte(head))
	return []byte(head + "." + base64.RawURLEncoding.EncodeToString(sign(digest[:])))
}

func signEC(t testing.TB, key *ecdsa.PrivateKey, digest []byte) []byte {
	t.Helper()
	signature, err := ecSignature(key, digest)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// ecSignature returns r and s, 32 bytes each (RFC 7518 section 3.4).
func ecSignature(key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), nil
}
