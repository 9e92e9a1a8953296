package agent

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestJSONRequests guards I-06 for the JSON API: a request is one object with known
// keys of the right type, each once, and nothing else.
func TestJSONRequests(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	h := overUnix(f.paths.Agent)
	const u = `"url":"` + sandboxURL + `"`
	good := []struct{ path, body string }{
		{"sign", `{` + u + `}`},
		{"sign", " \r\n\t{ " + u + " , \"method\" : \"GET\" } \n"},
		{"sign", `{"profile":null,"method":null,"content_type":null,"body":null,` + u + `}`}, // as if left out
		{"sign", `{"profile":"","method":"",` + u + `}`},
		{"sign", `{"profil\u0065":"acme",` + u + `}`},
		{"passport", `{}`}, {"passport", `{"profile":"acme","version":"2025_2"}`},
		{"connect-password", `{}`},
	}
	for _, c := range good {
		if code, said := post(t, h, c.path, c.body); code != http.StatusOK || said != "ok" {
			t.Errorf("%s %s: got %d %s, want 200", c.path, c.body, code, said)
		}
	}
	bad := []struct{ path, body string }{
		{"sign", ``}, {"sign", ` `}, {"sign", `null`}, {"sign", `[]`}, {"sign", `"x"`}, {"sign", `1`}, {"sign", `true`},
		{"sign", `[{` + u + `}]`},
		{"sign", `{` + u}, {"sign", `{` + u + `,}`}, {"sign", `{,` + u + `}`}, {"sign", `{url:"x"}`}, {"sign", `{'url':'x'}`},
		{"sign", `{` + u + `}{}`}, {"sign", `{` + u + `} x`}, {"sign", `{` + u + "}\x00"}, {"sign", "\xef\xbb\xbf{" + u + `}`},
		{"sign", `{` + u + `,` + u + `}`}, {"sign", `{"profile":"acme","profile":"acme",` + u + `}`},
		{"sign", `{"profile":"acme","profil\u0065":"evil",` + u + `}`},
		{"sign", `{"URL":"` + sandboxURL + `"}`}, {"sign", `{"Url":"` + sandboxURL + `"}`}, {"sign", `{` + u + `,"Profile":"acme"}`},
		{"sign", `{` + u + `,"METHOD":"DELETE"}`}, {"sign", `{` + u + `,"contentType":"x"}`}, {"sign", `{` + u + `,"content-type":"x"}`},
		{"sign", `{` + u + `,"extra":1}`}, {"sign", `{` + u + `,"":""}`}, {"sign", `{` + u + `,"profile ":"acme"}`},
		{"sign", `{"url":1}`}, {"sign", `{"url":["` + sandboxURL + `"]}`}, {"sign", `{"url":{}}`}, {"sign", `{"url":true}`},
		{"sign", `{` + u + `,"body":{"a":1}}`}, {"sign", `{` + u + `,"profile":0}`},
		{"sign", `{"url":"` + "\xff\xfe" + `"}`}, {"sign", `{"url":"\ud800"}`}, {"sign", "{\"url\":\"a\nb\"}"}, {"sign", `{"url":"\x41"}`},
		{"sign", `{` + u + `}` + "\n" + `{` + u + `}`}, {"sign", `{` + u + ` /* x */}`}, {"sign", `{` + u + `} // x`},
		{"sign", strings.Repeat(`{"url":`, 20000)}, {"sign", strings.Repeat(`[`, 200000)},
		{"passport", `{"profile":"acme","url":"x"}`}, {"passport", `{"version":2025}`},
		{"connect-password", `{"version":"2025_2"}`},
		{"assertion", `{"scope":"restlets"}`}, {"assertion", `{"scopes":["restlets"]}`}, {"assertion", `{"scope":[1]}`}, {"assertion", `{"scope":{}}`},
		{"assertion", `{"audience":"x"}`},
	}
	before := len(f.entries())
	for _, c := range bad {
		if code, said := post(t, h, c.path, c.body); code != http.StatusBadRequest || said != string(pb.CodeRequest) {
			t.Errorf("%s %.60q: got %d %s, want 400 %s", c.path, c.body, code, said, pb.CodeRequest)
		}
	}
	if n := len(f.entries()) - before; n != 0 {
		t.Errorf("%d of these were taken for requests", n)
	}
}

func post(t *testing.T, h *http.Client, path, body string) (status int, code string) {
	t.Helper()
	r, err := h.Post("http://nsagent/v1/"+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, jsonCode(b)
}

// TestJSONRoutes: each path has one method, is compared byte by byte and takes no
// query; everything else is refused with an error object, never with a redirect or
// another page.
func TestJSONRoutes(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	for _, c := range []struct {
		line, body string
		status     int
		code       pb.Code
	}{
		{"POST /v1/sign", `{"url":"` + sandboxURL + `"}`, 200, ""},
		{"GET /v1/status", "", 200, ""},
		{"GET /v1/profiles", "", 200, ""},
		{"GET /v1/sign", "", 400, pb.CodeRequest},
		{"PUT /v1/sign", "{}", 400, pb.CodeRequest},
		{"DELETE /v1/profiles", "", 400, pb.CodeRequest},
		{"POST /v1/status", "{}", 400, pb.CodeRequest},
		{"HEAD /v1/sign", "", 400, pb.CodeRequest},
		{"OPTIONS /v1/sign", "", 400, pb.CodeRequest},
		{"TRACE /v1/sign", "", 400, pb.CodeRequest},
		{"post /v1/sign", "{}", 400, pb.CodeRequest},
		{"POST /v1/sign?profile=acme", "{}", 400, pb.CodeRequest},
		{"GET /v1/status?", "", 200, ""}, // an empty query is none
		{"OPTIONS *", "", 404, pb.CodeNotFound},
		{"POST /", "{}", 404, pb.CodeNotFound},
		{"POST /v1", "{}", 404, pb.CodeNotFound},
		{"POST /v1/", "{}", 404, pb.CodeNotFound},
		{"POST /v1/sign/", "{}", 404, pb.CodeNotFound},
		{"POST //v1/sign", "{}", 404, pb.CodeNotFound},
		{"POST /v1/./sign", "{}", 404, pb.CodeNotFound},
		{"POST /v1/x/../sign", "{}", 404, pb.CodeNotFound},
		{"POST /v1%2Fsign", "{}", 404, pb.CodeNotFound},
		{"POST /v1/s%69gn", "{}", 404, pb.CodeNotFound},
		{"POST /V1/sign", "{}", 404, pb.CodeNotFound},
		{"POST /v1/Sign", "{}", 404, pb.CodeNotFound},
		{"POST /v2/sign", "{}", 404, pb.CodeNotFound},
		{"POST /v1/unlock", "{}", 404, pb.CodeNotFound},
		{"POST /v1/lock", "{}", 404, pb.CodeNotFound},
		{"POST /nsagent.v1.Signer/Sign", "{}", 404, pb.CodeNotFound},
		{"GET /debug/pprof/", "", 404, pb.CodeNotFound},
	} {
		conn := rawDial(t, f.paths.Agent)
		if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: nsagent\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", c.line, len(c.body), c.body); err != nil {
			t.Fatal(err)
		}
		method, _, _ := strings.Cut(c.line, " ")
		r, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
		}
		if r.StatusCode != c.status || c.code != "" && method != http.MethodHead && jsonCode(b) != string(c.code) {
			t.Errorf("%s: got %d %.80q, want %d %s", c.line, r.StatusCode, b, c.status, c.code)
		}
		if got := r.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: content type %q", c.line, got)
		}
		if got := r.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: cache control %q", c.line, got)
		}
		for name := range r.Header {
			if strings.HasPrefix(name, "Access-Control") || name == "Location" || name == "Server" {
				t.Errorf("%s: answered with %s", c.line, name)
			}
		}
	}
}

// TestJSONErrorsRepeatNoValue guards L-03: what is wrong is told by its place; a
// value that somebody put there by mistake does not come back or reach the log.
func TestJSONErrorsRepeatNoValue(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	h := overUnix(f.paths.Agent)
	const canary = "4f1c9a7e55d2b803c6aa10f3"
	for _, body := range []string{
		`{"url":{"x":"` + canary + `"}}`, `{"url":["` + canary + `"]}`, `{"consumer_secret":"` + canary + `"}`, `{"url":"x"}` + canary,
		`{"url":"` + canary + `","url":"` + canary + `"}`, canary, `"` + canary + `"`, `{"url":` + canary + `}`,
	} {
		r, err := h.Post("http://nsagent/v1/sign", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil || strings.Contains(string(b), canary[:8]) || r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %d %s, %v", body, r.StatusCode, b, err)
		}
	}
	for _, e := range f.entries() {
		if line := string(e.AppendLine(nil)); strings.Contains(line, canary[:8]) {
			t.Errorf("in the log: %s", line)
		}
	}
}
