package agent

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/peercred"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// face is one way to the agent. Requests have the keys of the JSON API whatever
// the way; the answer is the JSON form of it, or the code of the refusal.
type face interface {
	ask(ctx context.Context, call string, q map[string]any) (answer []byte, code string)
}

// inProcess calls the functions behind both protocols.
type inProcess struct {
	a *Agent
	c *caller
}

func (f inProcess) ask(ctx context.Context, call string, q map[string]any) ([]byte, string) {
	var out any
	var err error
	switch call {
	case "sign":
		r, e := f.a.sign(ctx, f.c, signMessage(q))
		out, err = r.JSON(), e
	case "passport":
		r, e := f.a.passport(ctx, f.c, &pb.PassportRequest{Profile: text1(q, "profile"), Version: text1(q, "version")})
		out, err = r.JSON(), e
	case "connect-password":
		r, e := f.a.connectPassword(ctx, f.c, &pb.ConnectPasswordRequest{Profile: text1(q, "profile")})
		out, err = r.JSON(), e
	case "assertion":
		r, e := f.a.assertion(ctx, f.c, &pb.AssertionRequest{Profile: text1(q, "profile"), Scopes: list(q, "scope"), Audience: text1(q, "aud")})
		out, err = r.JSON(), e
	case "profiles":
		r, e := f.a.listProfiles(f.c)
		out, err = r.JSON(), e
	case "status":
		r, e := f.a.statusFor(f.c)
		out, err = r.JSON(), e
	}
	if err != nil {
		return nil, string(refusalOf(err).Code)
	}
	return marshal(out), ""
}

// overGRPC goes through the client library.
type overGRPC struct{ c *client.Client }

func (f overGRPC) ask(ctx context.Context, call string, q map[string]any) ([]byte, string) {
	var out any
	var err error
	switch call {
	case "sign":
		r, e := f.c.Sign(ctx, clientRequest(q))
		out, err = r.JSON(), e
	case "passport":
		r, e := f.c.Passport(ctx, text1(q, "profile"), text1(q, "version"))
		out, err = r.JSON(), e
	case "connect-password":
		r, e := f.c.ConnectPassword(ctx, text1(q, "profile"))
		out, err = r.JSON(), e
	case "assertion":
		r, e := f.c.Assertion(ctx, client.AssertionRequest{Profile: text1(q, "profile"), Scopes: list(q, "scope"), Audience: text1(q, "aud")})
		out, err = r.JSON(), e
	case "profiles":
		r, e := f.c.Profiles(ctx)
		out, err = r.JSON(), e
	case "status":
		r, e := f.c.Status(ctx)
		out, err = r.JSON(), e
	}
	if err != nil {
		return nil, errorCode(err)
	}
	return marshal(out), ""
}

// overStream is overGRPC with signatures made in bulk.
type overStream struct {
	overGRPC
	s *client.Stream
}

func (f overStream) ask(ctx context.Context, call string, q map[string]any) ([]byte, string) {
	if call != "sign" {
		return f.overGRPC.ask(ctx, call, q)
	}
	r, err := f.s.Sign(ctx, clientRequest(q))
	if err != nil {
		return nil, errorCode(err)
	}
	return marshal(r.JSON()), ""
}

// overJSON is what curl does.
type overJSON struct{ h *http.Client }

func (f overJSON) ask(ctx context.Context, call string, q map[string]any) ([]byte, string) {
	method, body := http.MethodPost, io.Reader(bytes.NewReader(marshal(q)))
	if call == "profiles" || call == "status" {
		method, body = http.MethodGet, nil
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://nsagent/v1/"+call, body)
	if err != nil {
		return nil, err.Error()
	}
	answer, err := f.h.Do(r)
	if err != nil {
		return nil, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err.Error()
	}
	if answer.StatusCode != http.StatusOK {
		code := jsonCode(b)
		if want := pb.Lookup(pb.Code(code)).HTTP; want != answer.StatusCode {
			return nil, code + " with status " + answer.Status
		}
		return nil, code
	}
	return b, ""
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

func text1(q map[string]any, key string) string { s, _ := q[key].(string); return s }
func list(q map[string]any, key string) []string {
	s, _ := q[key].([]string)
	return s
}

func signMessage(q map[string]any) *pb.SignRequest {
	return &pb.SignRequest{Profile: text1(q, "profile"), Method: text1(q, "method"), Url: text1(q, "url"), ContentType: text1(q, "content_type"), Body: []byte(text1(q, "body"))}
}

func clientRequest(q map[string]any) client.Request {
	m := signMessage(q)
	return client.Request{Profile: m.GetProfile(), Method: m.GetMethod(), URL: m.GetUrl(), ContentType: m.GetContentType(), Body: m.GetBody()}
}

// TestConformance holds every way to the agent to the same suite: in process, over
// gRPC, in bulk and over JSON. A NetSuite that checks signatures by code of its own
// judges what comes out.
func TestConformance(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("prod", func(p *pb.Profile) { p.Account = "1234567" }) // read only
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	m2m := &pb.Profile{Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(1), Certificate: cert, Scopes: []string{"restlets", "rest_webservices"}}
	if _, err := f.admin.AddProfile(t.Context(), m2m, map[string]client.Sealer{"private_key": f.sealer(key)}); err != nil {
		t.Fatal(err)
	}
	netsuite := nstest.New(nstest.Config{Accounts: []nstest.Account{{
		ID:           "1234567_SB1",
		Integrations: []nstest.Integration{{Name: "test", ConsumerKey: sample(1), ConsumerSecret: sample(2)}},
		Tokens:       []nstest.Token{{TokenID: sample(3), TokenSecret: sample(4), ConsumerKey: sample(1), Name: "test", User: "u", Role: "r"}},
		Certificates: []nstest.Certificate{{ClientID: sample(1), PEM: cert}},
	}}})
	stream, err := f.signer.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	faces := map[string]face{
		"in process": inProcess{f.agent, &caller{peer: livePeer(t, f), has: ofOwner()}},
		"gRPC":       overGRPC{f.signer},
		"stream":     overStream{overGRPC{f.signer}, stream},
		"JSON":       overJSON{overUnix(f.paths.Agent)},
	}
	shapes := make(map[string]map[string]string) // call -> face -> keys
	for _, name := range slices.Sorted(maps.Keys(faces)) {
		t.Run(name, func(t *testing.T) {
			s := suite{t, faces[name], netsuite}
			for call, keys := range s.answers() {
				if shapes[call] == nil {
					shapes[call] = make(map[string]string)
				}
				shapes[call][name] = keys
			}
			s.refusals(f)
		})
	}
	for call, byFace := range shapes {
		for name, keys := range byFace {
			if keys != byFace["JSON"] {
				t.Errorf("%s: %s has the keys %s, JSON has %s", call, name, keys, byFace["JSON"])
			}
		}
	}
}

// livePeer returns this very process as a peer.
func livePeer(t *testing.T, f *fixture) *peercred.Peer {
	t.Helper()
	conn := rawDial(t, f.paths.Agent) // its other end is ours as well
	p, err := peercred.Identify(unixConn(t, conn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if p.PID != int32(os.Getpid()) { // #nosec G115 -- a pid
		t.Fatalf("the agent runs as pid %d", p.PID)
	}
	return p
}

// suite is what every face has to do.
type suite struct {
	t        *testing.T
	face     face
	netsuite *nstest.Server
}

// answers makes every call that goes well, and returns the keys of each answer.
func (s suite) answers() map[string]string {
	shapes := make(map[string]string)
	get := func(call string, q map[string]any) map[string]any {
		s.t.Helper()
		b, code := s.face.ask(s.t.Context(), call, q)
		if code != "" {
			s.t.Errorf("%s %v: got %s", call, q, code)
			return nil
		}
		var m map[string]any
		if call == "profiles" {
			var all []map[string]any
			if err := json.Unmarshal(b, &all); err != nil || len(all) != 3 {
				s.t.Errorf("profiles: got %.200s, %v", b, err)
				return nil
			}
			m = all[0]
		} else if err := json.Unmarshal(b, &m); err != nil {
			s.t.Errorf("%s: %v", call, err)
		}
		if m["schema"] != "nsagent."+call+"/v1" && call != "profiles" {
			s.t.Errorf("%s: schema %v", call, m["schema"])
		}
		shapes[call] = strings.Join(slices.Sorted(maps.Keys(m)), " ")
		return m
	}
	const base = "https://1234567-sb1.suitetalk.api.netsuite.com"
	const restlet = "https://1234567-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=1&deploy=1&a=2&a=1&b=%20%2B&c="
	for _, q := range []map[string]any{
		{"profile": "acme", "url": base + "/services/rest/record/v1/customer/1"},
		{"profile": "acme", "method": "get", "url": base + "/services/rest/record/v1/customer?limit=1&offset=0"},
		{"profile": "acme", "method": "POST", "url": base + "/services/rest/query/v1/suiteql", "content_type": "application/json", "body": `{"q":"select 1"}`},
		{"profile": "acme", "method": "GET", "url": restlet},
		{"profile": "acme", "method": "POST", "url": restlet, "content_type": "application/x-www-form-urlencoded", "body": "x=1&x=%C3%A9&y="},
	} {
		if m := get("sign", q); m != nil {
			s.judge(q, m)
		}
	}
	if m := get("passport", map[string]any{"profile": "acme", "version": "2025_1"}); m != nil {
		parts := []string{"account", "consumerKey", "token", "nonce", "timestamp", "signature", "algorithm"}
		for i, key := range parts {
			parts[i] = strings.Trim(string(marshal(m[key])), `"`)
		}
		// The same five fields are signed in a Connect password.
		s.accepted("passport", s.netsuite.CheckConnect("TBA", strings.Join(parts, "&")))
		if xml, _ := m["xml"].(string); !strings.Contains(xml, "2025_1") {
			s.t.Errorf("passport: no version in %q", xml)
		}
	}
	if m := get("connect-password", map[string]any{"profile": "acme"}); m != nil {
		s.accepted("connect-password", s.netsuite.CheckConnect(text1(m, "user"), text1(m, "password")))
	}
	if m := get("assertion", map[string]any{"profile": "m2m", "scope": []string{"restlets"}}); m != nil {
		form := url.Values{
			"grant_type": {"client_credentials"}, "client_assertion": {text1(m, "assertion")},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}.Encode()
		r := httptest.NewRequest(http.MethodPost, text1(m, "token_endpoint"), strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		s.send("assertion", r)
	}
	get("profiles", nil)
	get("status", nil)
	return shapes
}

// judge sends what was signed to NetSuite.
func (s suite) judge(q, m map[string]any) {
	s.t.Helper()
	r := httptest.NewRequest(text1(m, "method"), text1(m, "url"), strings.NewReader(text1(q, "body")))
	r.Header.Set("Authorization", text1(m, "authorization"))
	if ct := text1(q, "content_type"); ct != "" {
		r.Header.Set("Content-Type", ct)
	}
	if strings.Contains(text1(m, "url"), "suiteql") {
		r.Header.Set("Prefer", "transient")
	}
	s.send("sign "+text1(m, "url"), r)
}

func (s suite) send(what string, r *http.Request) {
	s.t.Helper()
	s.netsuite.ServeHTTP(httptest.NewRecorder(), r)
	all := s.netsuite.Verdicts()
	s.accepted(what, all[len(all)-1])
}

func (s suite) accepted(what string, v nstest.Verdict) {
	s.t.Helper()
	if !v.OK {
		s.t.Errorf("%s: %v", what, v)
	}
}

// refusals makes calls that are refused, each with its code.
func (s suite) refusals(f *fixture) {
	for _, c := range []struct {
		call string
		q    map[string]any
		want pb.Code
	}{
		{"sign", map[string]any{"profile": "nobody", "url": sandboxURL}, pb.CodeNoProfile},
		{"sign", map[string]any{"url": sandboxURL}, pb.CodeNoProfile}, // which of three?
		{"sign", map[string]any{"profile": "acme"}, pb.CodeURL},
		{"sign", map[string]any{"profile": "acme", "url": "https://user@1234567-sb1.suitetalk.api.netsuite.com/"}, pb.CodeURL},
		{"sign", map[string]any{"profile": "acme", "url": "https://evil.example/"}, pb.CodeHost},
		{"sign", map[string]any{"profile": "acme", "url": "https://1234567.suitetalk.api.netsuite.com/"}, pb.CodeHost},
		{"sign", map[string]any{"profile": "acme", "url": sandboxURL, "method": "GET\r\nX: y"}, pb.CodeRequest},
		{"sign", map[string]any{"profile": "prod", "url": "https://1234567.suitetalk.api.netsuite.com/", "method": "DELETE"}, pb.CodeReadOnly},
		{"sign", map[string]any{"profile": "m2m", "url": sandboxURL}, pb.CodeRequest},
		{"passport", map[string]any{"profile": "prod"}, pb.CodeReadOnly},
		{"passport", map[string]any{"profile": "acme", "version": "2025_2'/><x"}, pb.CodeRequest},
		{"connect-password", map[string]any{"profile": "m2m"}, pb.CodeRequest},
		{"assertion", map[string]any{"profile": "acme"}, pb.CodeRequest},
		{"assertion", map[string]any{"profile": "m2m", "scope": []string{"suite_analytics"}}, pb.CodeDenied},
		{"assertion", map[string]any{"profile": "m2m", "aud": "https://evil.example/token"}, pb.CodeHost},
		{"assertion", map[string]any{"profile": "m2m", "aud": "ftp:token"}, pb.CodeURL},
	} {
		if _, code := s.face.ask(s.t.Context(), c.call, c.q); code != string(c.want) {
			s.t.Errorf("%s %v: got %q, want %s", c.call, c.q, code, c.want)
		}
	}
	if err := f.admin.Lock(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	for _, call := range []string{"sign", "passport", "connect-password", "assertion", "profiles"} {
		if _, code := s.face.ask(s.t.Context(), call, map[string]any{}); code != string(pb.CodeLocked) {
			s.t.Errorf("%s while locked: got %q, want %s", call, code, pb.CodeLocked)
		}
	}
	b, code := s.face.ask(s.t.Context(), "status", nil)
	if code != "" || !strings.Contains(string(b), `"locked":true,"profiles":null`) {
		s.t.Errorf("status while locked: got %s%s", code, b)
	}
	f.unlock()
}
