package agent

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
)

// shown returns what locked memory holds, and wipes it.
func shown(t *testing.T, b secret.Bytes, err error) (text string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Destroy()
	if err := b.Use(func(p []byte) error { text = string(p); return nil }); err != nil {
		t.Fatal(err)
	}
	return text
}

// TestForm writes bodies that every decoder of forms reads back, whatever is in a secret.
func TestForm(t *testing.T) {
	f := start(t)
	take := func(text string) secret.Bytes {
		b, err := f.arena.Take([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Destroy)
		return b
	}
	for _, value := range []string{"abc", "a&b=c", "%41+ /ü\x00", strings.Repeat("&", 600)} {
		b, err := f.agent.form(formField{name: "grant_type", plain: "refresh_token"}, formField{name: "left_out"}, formField{name: "refresh_token", secret: take(value)})
		got, perr := url.ParseQuery(shown(t, b, err))
		if perr != nil || len(got) != 2 || got.Get("grant_type") != "refresh_token" || got.Get("refresh_token") != value {
			t.Errorf("%q: got %v, %v", value, got, perr)
		}
	}
	// The header of RFC 7617 section 2, its example, and a public client's empty password.
	b, err := f.agent.basic("Aladdin", take("open sesame"))
	if got := shown(t, b, err); got != "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" {
		t.Errorf("got %q", got)
	}
	b, err = f.agent.basic("Aladdin", secret.Bytes{})
	if got := shown(t, b, err); got != "Basic QWxhZGRpbjo=" {
		t.Errorf("got %q", got)
	}
}

// TestAuthorization is the agent's own use of an access token: one exchange serves both
// it and callers.
func TestAuthorization(t *testing.T) {
	w := startTokens(t, func(rw http.ResponseWriter, _ *http.Request) { grant(rw, 1, 3600) })
	w.agent.mu.RLock()
	s := w.agent.session
	p := s.profiles["m2m"]
	w.agent.mu.RUnlock()
	for range 3 {
		b, err := w.agent.authorization(t.Context(), s, p, p.Scopes)
		if got := shown(t, b, err); got != "Bearer token-1" {
			t.Errorf("got %q", got)
		}
	}
	if r, err := w.token(); err != nil || r.GetAccessToken() != "token-1" || w.exchanges.Load() != 1 {
		t.Errorf("got %v, %v after %d exchanges", r, err, w.exchanges.Load())
	}
}
