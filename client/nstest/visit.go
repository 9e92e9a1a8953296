package nstest

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Decision is what a user does on a page that asks for access.
type Decision struct {
	Allow bool
	// User is which of the page's users agrees, counted from zero.
	User int
}

// ErrPage is a page that asks nothing: an error page, or none at all.
var ErrPage = errors.New("nstest: not a page that asks for access")

// Visit does what a user with a browser does: it opens the page at pageURL, of
// either flow, decides, and returns the URL that the browser is then sent to,
// which it does not open. Where the page redirects at once, that is the URL.
//
// web has to trust the Endpoint's CA. The error wraps ErrPage and has the text of
// the page, or is that of web.
func Visit(ctx context.Context, web *http.Client, pageURL string, d Decision) (*url.URL, error) {
	browser := *web
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	at, text, err := open(ctx, &browser, http.MethodGet, pageURL, "")
	if err != nil || at != nil {
		return at, err
	}
	action, ok := between(text, `<form method="post" action="`)
	id, okID := between(text, `name="consent" value="`)
	if !ok || !okID {
		return nil, fmt.Errorf("%w: %s", ErrPage, clip(text, 2000))
	}
	from, err := url.Parse(pageURL)
	if err != nil {
		return nil, err
	}
	decision := "deny"
	if d.Allow {
		decision = "allow"
	}
	form := url.Values{"consent": {id}, "decision": {decision}, "user": {strconv.Itoa(d.User)}}
	to := url.URL{Scheme: from.Scheme, Host: from.Host, Path: action}
	at, text, err = open(ctx, &browser, http.MethodPost, to.String(), form.Encode())
	if err == nil && at == nil {
		err = fmt.Errorf("%w: %s", ErrPage, clip(text, 2000))
	}
	return at, err
}

// open sends one request: it returns where the answer leads, or its text.
func open(ctx context.Context, web *http.Client, method, to, form string) (*url.URL, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(form))
	if err != nil {
		return nil, "", err
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := web.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusFound {
		at, err := url.Parse(resp.Header.Get("Location"))
		return at, "", err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return nil, string(text), err
}

// between returns the value of an attribute that follows before.
func between(text, before string) (string, bool) {
	_, rest, found := strings.Cut(text, before)
	value, _, closed := strings.Cut(rest, `"`)
	return html.UnescapeString(value), found && closed
}
