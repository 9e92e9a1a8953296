package client_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/client"
)

// at returns the URL of q with its query.
func (q compatRequest) at() string {
	var pairs []string
	for _, p := range q.Params {
		pairs = append(pairs, url.QueryEscape(p[0])+"="+url.QueryEscape(p[1]))
	}
	return q.URL + "?" + strings.Join(pairs, "&")
}

// body returns the body of q and its Content-Type.
func (q compatRequest) body(t *testing.T) (body, contentType string) {
	switch {
	case q.Form != nil:
		form := url.Values{}
		for _, p := range q.Form {
			form.Add(p[0], p[1])
		}
		return form.Encode(), "application/x-www-form-urlencoded"
	case q.JSON != nil:
		text, err := json.Marshal(q.JSON)
		if err != nil {
			t.Fatal(err)
		}
		return string(text), "application/json"
	}
	return "", ""
}

// together calls send as often as q says, all at once.
func (q compatRequest) together(send func() outcome) []outcome {
	all := make([]outcome, q.Times)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i] = send() })
	}
	wg.Wait()
	return all
}

// netHTTP is a Go program with an http.Client.
type netHTTP struct {
	client *http.Client
	agent  *client.Client
}

func (s *stage) netHTTP(t *testing.T) program {
	t.Helper()
	text, err := os.ReadFile(s.ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	agent := s.agent.dial(t, client.WithProfile("site"))
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(base.CloseIdleConnections)
	return netHTTP{&http.Client{Transport: &client.Transport{Client: agent, Base: base}}, agent}
}

func (netHTTP) version() string {
	number, _, _ := strings.Cut(strings.TrimPrefix(runtime.Version(), "go"), "-")
	return number
}

func (netHTTP) close() {}

func (p netHTTP) send(t *testing.T, q compatRequest) []outcome {
	text, contentType := q.body(t)
	return q.together(func() outcome {
		req, err := http.NewRequest(q.Method, q.at(), strings.NewReader(text))
		if err != nil {
			t.Error(err)
			return outcome{}
		}
		req.Header.Set("Prefer", q.Headers["Prefer"])
		if contentType != "" {
			req.Header.Set("Content-Type", contentType)
		}
		resp, err := p.client.Do(req)
		var refusal *client.Error
		switch {
		case errors.Is(err, client.ErrLocked):
			return outcome{Error: "client.ErrLocked", Code: "NSA-LOCKED"}
		case errors.As(err, &refusal):
			return outcome{Error: "*client.Error", Code: string(refusal.Code)}
		case err != nil:
			return outcome{Error: err.Error()}
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return outcome{Status: resp.StatusCode}
	})
}

// curl is a shell program: one call of curl asks the agent, another one sends.
type curl struct {
	stage *stage
	is    string
}

func (s *stage) curl(t *testing.T) program {
	t.Helper()
	out, err := exec.Command("curl", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	return curl{s, strings.Fields(string(out))[1]}
}

func (p curl) version() string { return p.is }

func (curl) close() {}

func (p curl) send(t *testing.T, q compatRequest) []outcome {
	text, contentType := q.body(t)
	ask := map[string]string{"profile": "site", "method": q.Method, "url": q.at(), "content_type": contentType}
	send := []string{"-s", "-o", os.DevNull, "-w", "%{http_code}", "--cacert", p.stage.ca, "-X", q.Method, "-H", "Prefer: " + q.Headers["Prefer"]}
	if contentType != "" {
		send = append(send, "-H", "Content-Type: "+contentType, "--data-raw", text)
	}
	if q.Form != nil {
		ask["body"] = text
	}
	question, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	return q.together(func() outcome {
		var signed struct {
			Authorization, URL string
			Error              struct{ Code string }
		}
		answer, err := exec.Command("curl", "-s", "--unix-socket", p.stage.agent.socket(), "http://nsagent/v1/sign", "-d", string(question)).Output() // #nosec G204 -- curl
		if err != nil || json.NewDecoder(bytes.NewReader(answer)).Decode(&signed) != nil {
			return outcome{Error: string(answer)}
		}
		if signed.Error.Code != "" {
			return outcome{Error: "error.code", Code: signed.Error.Code}
		}
		out, err := exec.Command("curl", append([]string{"-H", "Authorization: " + signed.Authorization, signed.URL}, send...)...).Output() // #nosec G204 -- curl
		status, _ := strconv.Atoi(string(out))
		if err != nil {
			return outcome{Error: err.Error()}
		}
		return outcome{Status: status}
	})
}
