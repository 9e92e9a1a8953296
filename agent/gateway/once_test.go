package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// TestSignatureIsSentOnce: net/http sends a GET again where a server closes a connection that
// was kept, after it has read the request; what is signed with a nonce is not sent again,
// with whatever letters the scheme is written. The control is a bearer, which may be.
func TestSignatureIsSentOnce(t *testing.T) {
	var mu sync.Mutex // guards seen
	seen := make(map[string]int)
	addr := serve(t, func(conn net.Conn) { // answers one request of each connection, and reads one more
		r := bufio.NewReader(conn)
		for n := range 2 {
			q, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			mu.Lock()
			seen[q.Header.Get("Authorization")]++
			mu.Unlock()
			if n == 0 {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			}
		}
	})
	c := gatewayOf(t)
	j := job("http://"+addr, "")
	j.Method, j.ContentType = http.MethodGet, ""
	times := func(authorization string) int {
		mu.Lock()
		defer mu.Unlock()
		return seen[authorization]
	}
	get := func(authorization string) {
		t.Helper()
		if a, err := c.Do(t.Context(), j, Payload{Authorization: Plain(authorization)}); err != nil || a.Status != http.StatusOK {
			t.Errorf("%s: got %+v, %v", authorization, a, err)
		}
	}
	get("Bearer first")
	get("Bearer second") // on the connection that was kept, and again
	for _, signed := range []string{`OAuth oauth_nonce="1"`, `oauth oauth_nonce="2"`, `OAuth oauth_nonce="3"`} {
		get("Bearer kept")
		get(signed)
		if n := times(signed); n != 1 {
			t.Errorf("%s was sent %d times", signed, n)
		}
	}
	if n := times("Bearer second"); n != 2 {
		t.Errorf("control: net/http sent a bearer %d times", n)
	}
}

// TestSignatureHasItsConnection is that over TLS, where HTTP/2 would have streams given up
// and sent again.
func TestSignatureHasItsConnection(t *testing.T) {
	from := make(map[string]bool)
	url, ca := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if from[r.RemoteAddr] || r.ProtoMajor != 1 {
			t.Errorf("by HTTP/%d, on a connection that was used: %t", r.ProtoMajor, from[r.RemoteAddr])
		}
		from[r.RemoteAddr] = true
		_, _ = io.WriteString(w, "{}")
	})
	c, j := gatewayOf(t), job(url, ca)
	for range 3 {
		if a, err := c.Do(t.Context(), j, Payload{Authorization: Plain("OAuth x")}); err != nil || a.Status != http.StatusOK {
			t.Errorf("got %+v, %v", a, err)
		}
	}
}
