package command

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// newKey has the agent make a key and a certificate for a new profile; NetSuite takes it
// once somebody has uploaded the certificate, here with the certificate that is there.
func (w *demoWorld) newKey(ctx context.Context) (string, error) {
	const name = "demo-made"
	out, err := w.nsagent(ctx, nil, "cert", "new", name, "--account", demoSandbox, "--client-id", w.config.Accounts[0].Certificates[0].ClientID,
		"--scopes", "rest_webservices", "--access", "write", "--endpoint", w.endpoint.URL, "--ca-file", w.caFile(), "-o", "json")
	if err != nil {
		return "", err
	}
	var made pb.CertificateJSON
	if err := json.Unmarshal(out, &made); err != nil {
		return "", err
	}
	body, err := json.Marshal(struct {
		File   string `json:"fileContent"`
		Role   int    `json:"role"`
		Entity string `json:"entity"`
	}{made.Certificate, demoRole, demoEntity})
	if err != nil {
		return "", err
	}
	path := "/services/rest/auth/oauth2/v1/clients/" + w.config.Accounts[0].Certificates[0].ClientID + "/certificates"
	if _, err := accepted(w.withToken(ctx, "demo-sb1-m2m", http.MethodPost, path, string(body))); err != nil {
		return "", err
	}
	result, err := accepted(w.withToken(ctx, name, http.MethodGet, demoCustomer, ""))
	return "the key never leaves the agent; " + result, err
}

// rotate puts a new key and certificate into the place of the first.
func (w *demoWorld) rotate(ctx context.Context) (string, error) {
	out, err := w.nsagent(ctx, nil, "cert", "rotate", "-p", "demo-sb1-m2m", "-o", "json")
	if err != nil {
		return "", err
	}
	var r pb.RotationJSON
	if err := json.Unmarshal(out, &r); err != nil {
		return "", err
	}
	if r.RevokedAfter == nil || r.PreviousCertificate == r.Certificate.CertificateID {
		return "", unexpected("not rotated: %s", out)
	}
	result, err := accepted(w.withToken(ctx, "demo-sb1-m2m", http.MethodGet, demoCustomer, ""))
	return fmt.Sprintf("uploaded, tried, switched; %s; the old one goes in an hour", result), err
}

// withToken sends a request with an access token of a profile.
func (w *demoWorld) withToken(ctx context.Context, profile, method, path, body string) (v nstest.Verdict, err error) {
	r, err := w.client.AccessToken(ctx, client.AccessTokenRequest{Profile: profile})
	if err != nil {
		return v, err
	}
	contentType := ""
	if body != "" {
		contentType = "application/json"
	}
	return w.do(ctx, w.web, method, path, contentType, body, http.Header{"Authorization": {"Bearer " + r.GetAccessToken()}})
}
