package gateway

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
)

func newArena(t *testing.T) *secret.Arena {
	t.Helper()
	arena, err := secret.NewArena(secret.ArenaConfig{Mode: secret.ModeAuto, Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	return arena
}

// TestMembersInside reads members of members, which is where NetSuite's REST services put
// the code of an error, and lists, as the certificates of an integration record are.
func TestMembersInside(t *testing.T) {
	tests := map[string]struct {
		read       Read
		body, want string // want: Readable, Kept, List
	}{
		"error details": {ReadObject, `{"title":"Unauthorized","o:errorDetails":[{"detail":"d","o:errorCode":"INVALID_LOGIN"}]}`, "true map[o:errorDetails.0.o:errorCode:INVALID_LOGIN] []"},
		"too few":       {ReadObject, `{"o:errorDetails":[]}`, "true map[] []"},
		"not a list":    {ReadObject, `{"o:errorDetails":{"0":{"o:errorCode":"X"}}}`, "true map[o:errorDetails.0.o:errorCode:X] []"},
		"a text":        {ReadObject, `{"o:errorDetails":"x"}`, "true map[] []"},
		"a list":        {ReadList, `[{"role":{"id":1000},"revoked":false},{"role":null}]`, "true map[] [map[revoked:false role.id:1000] map[]]"},
		"none":          {ReadList, `[]`, "true map[] []"},
		"an object":     {ReadList, `{"role":1}`, "false map[] []"},
		"null":          {ReadList, `null`, "false map[] []"},
		"numbers":       {ReadList, `[1]`, "false map[] []"},
		"too many":      {ReadList, "[" + strings.Repeat("{},", MaxList) + "{}]", "false map[] []"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var a Answer
			if err := a.take(Job{Read: test.read, Keep: []string{"o:errorDetails.0.o:errorCode", "role.id", "revoked"}}, []byte(test.body)); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(a.Readable, a.Kept, a.List); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestFormsAreSealed reads the answer of the three-step flow: the token ID stands there in
// clear, its secret arrives sealed.
func TestFormsAreSealed(t *testing.T) {
	arena := newArena(t)
	receiver, err := arena.NewReceiver()
	if err != nil {
		t.Fatal(err)
	}
	j := Job{Read: ReadForm, Keep: []string{"oauth_token"}, Seal: []Sealing{{Member: "oauth_token_secret", Key: receiver.PublicKey(), Instance: []byte("i"), Profile: "p"}}}
	var a Answer
	if err := a.take(j, []byte("oauth_token=id%2F1&oauth_token_secret=se%2Bcret+1\n")); err != nil {
		t.Fatal(err)
	}
	if !a.Readable || a.Kept["oauth_token"] != "id/1" || len(a.Sealed) != 1 {
		t.Fatalf("got %+v", a)
	}
	got, err := receiver.Open(a.Sealed["oauth_token_secret"], secret.SealContext{Instance: []byte("i"), Method: SealMethod, Profile: "p", Field: "oauth_token_secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Destroy()
	if err := got.Use(func(p []byte) error {
		if string(p) != "se+cret 1" {
			t.Errorf("got %q", p)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "a=1&a=2", "a=%", "a=%zz", "<html>no form</html>", "=x", "a=1&&b=2"} {
		var a Answer
		if err := a.take(j, []byte(bad)); err != nil || a.Readable {
			t.Errorf("%q: got %+v, %v", bad, a, err)
		}
	}
}

// TestPayloadComesFromLockedMemory sends what is secret beside the job, never in it.
func TestPayloadComesFromLockedMemory(t *testing.T) {
	arena := newArena(t)
	take := func(text string) secret.Bytes {
		b, err := arena.Take([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Destroy)
		return b
	}
	url, ca := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, `{"error":%q}`, r.Method+" "+r.Header.Get("Authorization")+" "+r.Header.Get("Content-Type")+" "+r.Header.Get("Prefer")+" "+string(body))
	})
	j := job(url, ca)
	j.Header = map[string]string{"Prefer": "transient"}
	c := gatewayOf(t)
	a, err := c.Do(t.Context(), j, Payload{Authorization: take("Bearer abc"), Body: take("refresh_token=xyz")})
	if err != nil || a.Kept["error"] != "POST Bearer abc "+Form+" transient refresh_token=xyz" {
		t.Errorf("got %+v, %v", a, err)
	}
	j.Method, j.ContentType = http.MethodGet, ""
	if a, err = c.Do(t.Context(), j, Payload{}); err != nil || a.Kept["error"] != "GET   transient " {
		t.Errorf("got %+v, %v", a, err)
	}
	gone := take("x")
	gone.Destroy()
	if _, err := c.Do(t.Context(), j, Payload{Body: gone}); err == nil {
		t.Error("a payload that was wiped was sent")
	}
}

// exchangerOf starts an exchanger, and returns the agent's end of the connection, and what
// it was confined to once it ended.
func exchangerOf(t *testing.T) (*Conn, func() (port uint16, err error)) {
	t.Helper()
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	var confined uint16
	go func() {
		err := ServeOnce(t.Context(), theirs, func(port uint16) error { confined = port; return nil })
		_ = theirs.Close()
		ended <- err
	}()
	c := NewConn(ours)
	t.Cleanup(func() { _ = c.Close() })
	return c, func() (uint16, error) {
		select {
		case err := <-ended:
			return confined, err
		case <-time.After(10 * time.Second):
			t.Fatal("the exchanger lives on")
			return 0, nil
		}
	}
}

// TestExchangerDoesOneJob: it is confined to the port of that job, answers, and ends.
func TestExchangerDoesOneJob(t *testing.T) {
	url, ca := upstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"error":"here"}`) })
	c, end := exchangerOf(t)
	if a := do(t, c, job(url, ca)); a.Kept["error"] != "here" {
		t.Errorf("got %+v", a)
	}
	port, err := end()
	if want := url[strings.LastIndex(url, ":")+1:]; err != nil || fmt.Sprint(port) != want {
		t.Errorf("confined to port %d, %v; want %s", port, err, want)
	}
	if _, err := c.Do(t.Context(), job(url, ca), Payload{}); err == nil {
		t.Error("it did a second job")
	}
}

// TestExchangerEndsWithItsAgent: nobody waits, so nothing is sent any more.
func TestExchangerEndsWithItsAgent(t *testing.T) {
	reached, leave := make(chan struct{}), make(chan struct{})
	defer close(leave)
	url, ca := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(reached)
		select {
		case <-r.Context().Done():
		case <-leave:
		}
	})
	c, end := exchangerOf(t)
	go func() { _, _ = c.Do(t.Context(), job(url, ca), Payload{}) }()
	<-reached
	_ = c.Close()
	_, _ = end() // within its time, of which the job had five seconds
}

// TestPorts are those that an exchanger is confined to.
func TestPorts(t *testing.T) {
	for url, want := range map[string]uint16{"https://1234567.suitetalk.api.netsuite.com/x": 443, "https://127.0.0.1:8443": 8443, "http://127.0.0.1/": 80, "https://h:0": 0} {
		j := Job{URL: url}
		if got, err := j.port(); err != nil || got != want {
			t.Errorf("%s: got %d, %v", url, got, err)
		}
	}
	for _, url := range []string{"https://h:99999", "ftp://h", "http://example.com", "https://h:a"} {
		j := Job{URL: url}
		if got, err := j.port(); err == nil {
			t.Errorf("%s: got %d", url, got)
		}
	}
}
