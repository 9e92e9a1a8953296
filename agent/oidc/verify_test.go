package oidc

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/agent/oidc/oidctest"
	"github.com/nsagent/nsagent/internal/secret"
)

var (
	now      = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	audience = Audience([16]byte{1, 2, 3})
)

// world is an issuer, and a verifier that knows it.
type world struct {
	*oidctest.Issuer
	verifier *Verifier
	arena    *secret.Arena
	boot     time.Duration
}

// newWorld returns a verifier that fetches keys through a gateway, unless change pins
// them.
func newWorld(t testing.TB, change func(*Issuer)) *world {
	t.Helper()
	w := &world{Issuer: oidctest.New(t)}
	var err error
	if w.arena, err = secret.NewArena(secret.ArenaConfig{Size: 128 << 10}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.arena.Close() })
	i := Issuer{URL: w.URL, CA: w.CA}
	if change != nil {
		change(&i)
	}
	if w.verifier, err = New(Config{Issuers: []Issuer{i}, Do: gatewayOf(t).Do, Boottime: func() time.Duration { return w.boot }}); err != nil {
		t.Fatal(err)
	}
	return w
}

// gatewayOf returns the agent's end of a gateway that runs in this process.
func gatewayOf(t testing.TB) *gateway.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- gateway.Serve(context.Background(), theirs, nil) }()
	c := gateway.NewConn(ours)
	t.Cleanup(func() {
		_ = c.Close()
		if err := <-served; err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Serve: %v", err)
		}
	})
	return c
}

// verify verifies text. An error must not repeat what makes the token one.
func (w *world) verify(t testing.TB, text []byte) (*Identity, error) {
	t.Helper()
	token, err := w.arena.Take(bytes.Clone(text))
	if err != nil {
		t.Fatal(err)
	}
	defer token.Destroy()
	id, err := w.verifier.Verify(context.Background(), token, audience, now)
	if (id == nil) == (err == nil) {
		t.Fatalf("got %v and %v", id, err)
	}
	if parts := bytes.Split(text, []byte(".")); err != nil && len(parts) == 3 && len(parts[2]) > 8 && strings.Contains(err.Error(), string(parts[2][:8])) {
		t.Errorf("the error shows the signature: %v", err)
	}
	return id, err
}

func TestIdentityOfAJob(t *testing.T) {
	w := newWorld(t, nil)
	c := w.GitHub(audience, now).With("nested", map[string]any{"a": map[string]any{"b": 7}, "list": []int{1}}).
		With("half", 0.5).With("yes", true).With("long", strings.Repeat("x", maxValue+1)).With("none", "")
	for name, token := range map[string][]byte{"ES256": w.Sign(t, c), "RS256": w.SignRSA(t, c)} {
		id, err := w.verify(t, token)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := map[string]string{
			"aud": audience, "iss": w.URL, "jti": c["jti"].(string), "sub": "repo:acme/erp-sync:ref:refs/heads/main",
			"iat": fmt.Sprint(now.Unix()), "nbf": fmt.Sprint(now.Unix() - 600), "exp": fmt.Sprint(now.Unix() + 300),
			"repository": "acme/erp-sync", "repository_id": "74", "repository_owner_id": "65", "repository_owner": "acme",
			"ref": "refs/heads/main", "event_name": "push", "run_attempt": "1", "runner_environment": "github-hosted",
			"nested.a.b": "7", "yes": "true", "none": "",
		}
		if id.Issuer != w.URL || !maps.Equal(id.Claims, want) {
			t.Errorf("%s: got %s %v, want %v", name, id.Issuer, id.Claims, want)
		}
		if got := id.Expires.Unix(); got != now.Unix()+360 {
			t.Errorf("expires: got %d", got)
		}
	}
	a, _ := w.verify(t, w.Sign(t, c))
	b, _ := w.verify(t, w.SignRSA(t, c))
	other, _ := w.verify(t, w.Sign(t, c.With("jti", "another")))
	if a.ID != b.ID || a.ID == other.ID {
		t.Error("the id does not go by the jti")
	}
	if n := w.Fetched(); n != 1 {
		t.Errorf("keys were fetched %d times, want once", n)
	}
}

// The one audience may stand in a list.
func TestAudienceInAList(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.verify(t, w.Sign(t, w.GitLab(audience, now).With("aud", []string{audience}))); err != nil {
		t.Error(err)
	}
}

// A program that writes a token to a file may end it with a line end. Nothing else may be
// around a token.
func TestLineEndsBehindAToken(t *testing.T) {
	w := newWorld(t, nil)
	text := w.Sign(t, w.GitHub(audience, now))
	for _, end := range []string{"\n", "\r\n"} {
		if _, err := w.verify(t, append(bytes.Clone(text), end...)); err != nil {
			t.Errorf("%q behind it: %v", end, err)
		}
	}
	for name, other := range map[string][]byte{"a blank": append(bytes.Clone(text), ' '), "a line end before it": append([]byte("\n"), text...), "line ends alone": []byte("\n\n")} {
		if _, err := w.verify(t, other); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
	}
}

func TestHostileTokens(t *testing.T) {
	w := newWorld(t, nil)
	stranger := oidctest.New(t)
	good := w.GitHub(audience, now)
	b64 := base64.RawURLEncoding.EncodeToString
	signed := w.SignRSA(t, good)
	parts := strings.Split(string(signed), ".")
	der, err := x509.MarshalPKIXPublicKey(w.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	// hs256 signs with what is public, as HMAC.
	hs256 := func(key []byte) []byte {
		head := b64([]byte(`{"alg":"HS256","kid":"rsa"}`)) + "." + parts[1]
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(head))
		return []byte(head + "." + b64(mac.Sum(nil)))
	}
	text := func(claims string) []byte { return w.SignText(t, "RS256", "rsa", []byte(claims)) }
	raw := func(add string) []byte {
		return text(fmt.Sprintf(`{"iss":%q,"aud":%q,"jti":"j","iat":%d,"exp":%d%s}`, w.URL, audience, now.Unix(), now.Unix()+300, add))
	}
	if _, err := w.verify(t, raw("")); err != nil {
		t.Fatalf("control: %v", err)
	}
	many := make([]string, maxClaims)
	for i := range many {
		many[i] = fmt.Sprintf(`"c%d":"x"`, i)
	}
	for name, c := range map[string]struct {
		token []byte
		want  error
	}{
		"empty":                        {nil, ErrFormat},
		"too long":                     {bytes.Repeat([]byte("a"), MaxToken+1), ErrFormat},
		"huge claims":                  {w.Sign(t, good.With("x", strings.Repeat("x", MaxToken))), ErrFormat},
		"no token":                     {[]byte("hello"), ErrFormat},
		"dots alone":                   {[]byte(".."), ErrFormat},
		"NUL":                          {[]byte("a\x00.b.c"), ErrFormat},
		"four parts":                   {append(bytes.Clone(signed), ".x"...), ErrFormat},
		"JSON serialization":           {fmt.Appendf(nil, `{"payload":%q,"protected":%q,"signature":%q}`, parts[1], parts[0], parts[2]), ErrFormat},
		"alg none":                     {[]byte(b64([]byte(`{"alg":"none","kid":"rsa"}`)) + "." + parts[1] + "."), ErrFormat},
		"alg none, signed":             {[]byte(b64([]byte(`{"alg":"none","kid":"rsa"}`)) + "." + parts[1] + "." + parts[2]), ErrFormat},
		"HS256 by the public key":      {hs256(der), ErrFormat},
		"HS256 by the key as PEM":      {hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), ErrFormat},
		"PS256":                        {w.SignText(t, "PS256", "rsa", []byte("{}")), ErrFormat},
		"ES256 under the RSA key":      {w.SignText(t, "ES256", "rsa", mustClaims(t, parts[1])), ErrKey},
		"RS256 under the EC key":       {w.SignText(t, "RS256", "ec-1", mustClaims(t, parts[1])), ErrKey},
		"no kid":                       {w.SignText(t, "RS256", "", mustClaims(t, parts[1])), ErrFormat},
		"unknown kid":                  {w.SignText(t, "RS256", "rsa2", mustClaims(t, parts[1])), ErrKey},
		"crit":                         {[]byte(b64([]byte(`{"alg":"RS256","kid":"rsa","crit":["x"],"x":1}`)) + "." + parts[1] + "." + parts[2]), ErrFormat},
		"b64 false":                    {[]byte(b64([]byte(`{"alg":"RS256","kid":"rsa","b64":false}`)) + "." + parts[1] + "." + parts[2]), ErrFormat},
		"alg twice":                    {[]byte(b64([]byte(`{"alg":"RS256","kid":"rsa","alg":"none"}`)) + "." + parts[1] + "." + parts[2]), ErrFormat},
		"key of its own in the header": {[]byte(b64([]byte(`{"alg":"RS256","kid":"rsa","jwk":{"kty":"oct","k":"AA"}}`)) + "." + parts[1] + "." + parts[2]), ErrSignature},
		"no signature":                 {[]byte(parts[0] + "." + parts[1] + "."), ErrFormat},
		"a line end inside":            {append(append(bytes.Clone(signed[:90]), '\n'), signed[90:]...), ErrFormat},
		"odd bits at the end":          {append(bytes.Clone(signed[:len(signed)-1]), signed[len(signed)-1]+1), ErrFormat},
		"signature cut":                {signed[:len(signed)-6], ErrSignature},
		"signature of another token":   {[]byte(parts[0] + "." + parts[1] + "." + strings.Split(string(w.SignRSA(t, w.GitHub(audience, now))), ".")[2]), ErrSignature},
		"another issuer":               {stranger.Sign(t, stranger.GitHub(audience, now)), ErrIssuer},
		"a stranger in its name":       {stranger.SignText(t, "RS256", "rsa", mustClaims(t, parts[1])), ErrSignature},
		"iss with a slash":             {w.Sign(t, good.With("iss", w.URL+"/")), ErrIssuer},
		"iss in upper case":            {w.Sign(t, good.With("iss", strings.ToUpper(w.URL))), ErrIssuer},
		"no iss":                       {w.Sign(t, good.With("iss", nil)), ErrIssuer},
		"iss twice":                    {raw(fmt.Sprintf(`,"iss":%q`, w.URL)), ErrFormat},
		"iss once more as ISS":         {raw(`,"ISS":"https://evil.example"`), ErrSignature}, // go-oidc reads it so
		"a claim twice":                {raw(`,"ref":"a","ref":"b"`), ErrFormat},
		"a claim twice, inside":        {raw(`,"a":{"ref":"a","ref":"b"}`), ErrFormat},
		"a claim twice, flattened":     {raw(`,"a.b":"1","a":{"b":"2"}`), ErrClaims},
		"bytes behind":                 {raw(`} {"a":1`), ErrFormat},
		"not UTF-8":                    {raw(",\"a\":\"\xff\""), ErrFormat},
		"too many claims":              {raw("," + strings.Join(many, ",")), ErrClaims},
		"too deep":                     {raw(`,"a":{"a":{"a":{"a":{"a":1}}}}`), ErrClaims},
		"deeper than parsers go":       {raw(`,"a":` + strings.Repeat("[", 8000)), ErrFormat},
		"wrong aud":                    {w.Sign(t, good.With("aud", Audience([16]byte{9}))), ErrAudience},
		"aud of GitHub's default":      {w.Sign(t, good.With("aud", "https://github.com/acme")), ErrAudience},
		"several aud":                  {w.Sign(t, good.With("aud", []string{audience, "sts.amazonaws.com"})), ErrAudience},
		"aud twice in a list":          {w.Sign(t, good.With("aud", []string{audience, audience})), ErrAudience},
		"no aud":                       {w.Sign(t, good.With("aud", nil)), ErrAudience},
		"empty aud":                    {w.Sign(t, good.With("aud", []string{})), ErrAudience},
		"no jti":                       {w.Sign(t, good.With("jti", nil)), ErrClaims},
		"jti that is a number":         {w.Sign(t, good.With("jti", 7)), ErrClaims},
		"long jti":                     {w.Sign(t, good.With("jti", strings.Repeat("j", maxJTI+1))), ErrClaims},
		"expired":                      {w.Sign(t, good.With("iat", now.Unix()-400).With("exp", now.Unix()-61)), ErrTime},
		"from the future":              {w.Sign(t, good.With("iat", now.Unix()+61)), ErrTime},
		"not valid yet":                {w.Sign(t, good.With("nbf", now.Unix()+61)), ErrTime},
		"no exp":                       {w.Sign(t, good.With("exp", nil)), ErrTime},
		"no iat":                       {w.Sign(t, good.With("iat", nil)), ErrTime},
		"exp that is a fraction":       {w.Sign(t, good.With("exp", float64(now.Unix())+300.5)), ErrTime},
		"exp in text":                  {w.Sign(t, good.With("exp", fmt.Sprint(now.Unix()+300))), ErrTime},
		"nbf that is none":             {w.Sign(t, good.With("nbf", true)), ErrSignature},
		"good for long":                {w.Sign(t, good.With("exp", now.Add(25*time.Hour).Unix())), ErrTime},
		"ends before it begins":        {w.Sign(t, good.With("exp", now.Unix()-30).With("iat", now.Unix()-20)), ErrTime},
		"for ever":                     {text(fmt.Sprintf(`{"iss":%q,"aud":%q,"jti":"j","iat":%d,"exp":99999999999999999999}`, w.URL, audience, now.Unix())), ErrTime},
		"repository_id as a name":      {w.Sign(t, good.With("repository_id", "erp-sync")), ErrClaims},
		"repository_id of none":        {w.Sign(t, good.With("repository_id", nil)), ErrClaims},
		"repository_id with a zero":    {w.Sign(t, good.With("repository_id", "074")), ErrClaims},
		"project_id as a name":         {w.Sign(t, w.GitLab(audience, now).With("project_id", "erp")), ErrClaims},
		"owner id negative":            {w.Sign(t, good.With("repository_owner_id", -65)), ErrClaims},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.verify(t, c.token); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	for n := range signed {
		changed := bytes.Clone(signed)
		changed[n] ^= 1
		if _, err := w.verify(t, changed); err == nil {
			t.Fatalf("byte %d changed, and it verifies", n)
		}
	}
}

// Clocks may be apart by a minute.
func TestLeeway(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]oidctest.Claims{
		"just over":  w.GitHub(audience, now).With("iat", now.Unix()-400).With("exp", now.Unix()-60),
		"just early": w.GitHub(audience, now).With("iat", now.Unix()+60).With("nbf", now.Unix()+60),
		"no nbf":     w.GitHub(audience, now).With("nbf", nil),
	} {
		if _, err := w.verify(t, w.Sign(t, c)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func mustClaims(t *testing.T, part string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
