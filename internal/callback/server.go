package callback

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// readTime bounds how long a request may take to come: a browser on this machine
	// needs milliseconds, and a slow one is no browser.
	readTime = 5 * time.Second
	// closeTime bounds how long a page may take to go out at the end.
	closeTime = 10 * time.Second
	// maxHead bounds the head of a request, in bytes. Its first line holds the query.
	maxHead = 2 * maxQuery
)

type connKey struct{}

// server is the HTTP side of a Listener.
type server struct {
	l           *Listener
	http        *http.Server
	crowd       crowd
	fingerprint string
	serving     sync.WaitGroup // Serve, one a socket

	mu      sync.Mutex // guards what follows
	pages   int        // pages on their way
	drained chan struct{}
	closed  bool
}

// serve begins to answer on the sockets, which it closes also where it fails.
func serve(l *Listener, sockets []net.Listener) (*server, error) {
	s := &server{l: l, crowd: crowd{held: make(map[net.Conn]bool)}, drained: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: l.readTime,
		WriteTimeout:      l.answerTime + l.readTime,
		IdleTimeout:       l.readTime,
		MaxHeaderBytes:    maxHead,
		// What net/http would log holds text of the other side.
		ErrorLog:    log.New(io.Discard, "", 0),
		ConnState:   s.crowd.changed,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		// OPTIONS * is refused like the rest.
		DisableGeneralOptionsHandler: true,
	}
	if l.redirect.scheme == "https" {
		pair, fingerprint, err := throwAway(l.redirect.name)
		if err != nil {
			return nil, errors.Join(err, closeAll(sockets))
		}
		s.fingerprint = fingerprint
		config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
		for i := range sockets {
			sockets[i] = tls.NewListener(sockets[i], config)
		}
	}
	for _, socket := range sockets {
		s.serving.Go(func() { _ = s.http.Serve(socket) }) // it ends with close
	}
	return s, nil
}

// close lets the pages that wait go out, and ends every connection.
func (s *server) close() error {
	s.mu.Lock()
	s.closed = true
	if s.pages == 0 {
		close(s.drained)
	}
	s.mu.Unlock()
	limit := time.NewTimer(closeTime)
	defer limit.Stop()
	select {
	case <-s.drained:
	case <-limit.C:
	}
	err := s.http.Close()
	s.serving.Wait()
	return err
}

// begin counts a page that is on its way; it reports false once all is closing.
func (s *server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.pages++
	return true
}

func (s *server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pages--; s.closed && s.pages == 0 {
		close(s.drained)
	}
}

// ServeHTTP answers one request: with the page of the login if it is its callback, else
// with a refusal.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return
	}
	defer s.end()
	a, refusal := s.read(r)
	if refusal == "" {
		var c *Callback
		if c, refusal = s.l.claim(a); refusal == "" {
			s.hold(w, r, c)
			return
		}
		a.Wipe()
	}
	if s.l.refused != nil {
		s.l.refused(refusal)
	}
	// A body that drips in is not waited for.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.l.readTime))
	s.write(w, refusal.page())
}

// hold answers the callback once it is known what became of the login.
func (s *server) hold(w http.ResponseWriter, r *http.Request, c *Callback) {
	if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		s.crowd.hold(conn)
	}
	s.write(w, s.l.await(r.Context(), c).page())
}

// read checks that a request is the visit of a browser to the redirect URI, and reads
// what it brings.
func (s *server) read(r *http.Request) (*Answer, Refusal) {
	// A page of elsewhere whose name resolves to this address sends its own name.
	if !strings.EqualFold(r.Host, s.l.redirect.host()) {
		return nil, WrongHost
	}
	if r.URL.EscapedPath() != s.l.redirect.path || r.URL.Host != "" && !strings.EqualFold(r.URL.Host, r.Host) {
		return nil, WrongPath
	}
	if r.Method != http.MethodGet || r.ContentLength != 0 {
		return nil, WrongMethod
	}
	// Browsers say what a request is for. The callback is a page that a person sees,
	// and nothing that another page loads, frames or fetches in advance.
	for header, want := range map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} {
		if got := r.Header.Values(header); len(got) > 1 || len(got) == 1 && got[0] != want {
			return nil, NoVisit
		}
	}
	if r.Header.Get("Sec-Purpose") != "" {
		return nil, NoVisit
	}
	a, err := parseQuery([]byte(r.URL.RawQuery))
	if err != nil {
		return nil, Malformed
	}
	return a, ""
}

// write sends a page, and waits until the system has it.
func (s *server) write(w http.ResponseWriter, p page) {
	body := p.html()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	// Nothing is loaded, run, framed or sent on: the style is the only part, by its hash.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src '"+styleHash()+"'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // the address of the page holds the code
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Connection", "close")
	if p.status == http.StatusMethodNotAllowed {
		h.Set("Allow", http.MethodGet)
	}
	w.WriteHeader(p.status)
	_, _ = w.Write(body) // #nosec G705 -- page.html has escaped what comes from elsewhere
	_ = http.NewResponseController(w).Flush()
}
