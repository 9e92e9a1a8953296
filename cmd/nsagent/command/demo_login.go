package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
)

// login makes a profile by the three-step flow: the command waits for a browser, whose
// part this process plays. The new token is in the vault and nowhere else; it signs.
func (w *demoWorld) login(ctx context.Context) (string, error) {
	i := w.config.Accounts[0].Integrations[0]
	client, err := json.Marshal(sampleProfile{
		Account: demoSandbox, Auth: "tba", ConsumerKey: i.ConsumerKey, ConsumerSecret: i.ConsumerSecret, Endpoint: w.endpoint.URL, CAFile: w.caFile(),
	})
	if err != nil {
		return "", err
	}
	c := w.command(ctx, "login", "-p", "demo-login", "--flow", "3sa", "--from", "-", "--no-browser", "-o", "jsonl")
	c.Stdin = bytes.NewReader(client)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := c.Start(); err != nil {
		return "", err
	}
	page, visitErr := w.visit(ctx, out)
	_, _ = io.Copy(io.Discard, out)
	if err := errors.Join(visitErr, c.Wait()); err != nil {
		return "", unexpected("%v: %s", err, oneLine(said.String()))
	}
	if !strings.Contains(page, "<h1>You are logged in</h1>") {
		return "", unexpected("the browser shows another page")
	}
	signed, err := accepted(w.send(ctx, "demo-login", http.MethodGet, demoCustomer, "", ""))
	return "allowed in the browser; its token signs: " + signed, err
}

// visit goes to the page that the first line of a login names, allows it there, and
// returns what the browser shows in the end.
func (w *demoWorld) visit(ctx context.Context, stdout io.Reader) (page string, err error) {
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		return "", unexpected("the login names no page")
	}
	var begun struct {
		URL string `json:"authorize_url"`
	}
	if err := json.Unmarshal(line, &begun); err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, begun.URL+"&nstest_allow=1", nil)
	if err != nil {
		return "", err
	}
	answer, err := w.web.Do(r)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return string(text), errors.Join(err, answer.Body.Close())
}
