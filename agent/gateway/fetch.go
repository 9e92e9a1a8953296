package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxHeaders is the most bytes of headers of an answer.
const maxHeaders = 64 << 10

// maxChallenge is how much of the header WWW-Authenticate is handed on.
const maxChallenge = 1024

// maxTransports is how many CAs of profiles have connections at once.
const maxTransports = 32

// fetcher makes requests.
type fetcher struct {
	roots *x509.CertPool

	mu         sync.Mutex // guards what follows
	transports map[connections]*http.Transport
}

// connections says which requests may share some.
type connections struct {
	ca   [sha256.Size]byte
	once bool // each has one of its own, for its one request
}

// newFetcher reads the roots of the system, so that it needs no file later but those of
// name resolution.
func newFetcher() (*fetcher, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the roots of the system: %w", err)
	}
	return &fetcher{roots: roots, transports: make(map[connections]*http.Transport)}, nil
}

// close ends the connections that are kept for further jobs.
func (f *fetcher) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.transports {
		t.CloseIdleConnections()
	}
}

// do makes the request of a job.
func (f *fetcher) do(ctx context.Context, q request) Answer {
	ctx, cancel := context.WithTimeout(ctx, q.job.Time())
	defer cancel()
	r, err := q.http(ctx)
	if err != nil {
		return Answer{Failure: FailedJob}
	}
	t, err := f.transport(q.job.CA, q.signed())
	if err != nil {
		return Answer{Failure: FailedJob}
	}
	begin := time.Now()
	resp, err := t.RoundTrip(r) // one request: a client would follow redirects
	if err != nil {
		return Answer{Failure: failureOf(ctx, err)}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	defer clear(body)
	if err != nil {
		failure := failureOf(ctx, err)
		if failure == FailedAnswer {
			failure = FailedCut // the answer had begun: a stream that was reset, for example
		}
		return Answer{Failure: failure}
	}
	if len(body) > MaxAnswer {
		return Answer{Failure: FailedSize}
	}
	a := Answer{Status: resp.StatusCode, Verified: resp.TLS != nil, Took: time.Since(begin).Milliseconds()}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.Date = date.Unix()
	}
	a.Challenge = clip(resp.Header.Get("WWW-Authenticate"), maxChallenge)
	if err := a.take(q.job, body); err != nil {
		return Answer{Failure: FailedJob}
	}
	return a
}

// signed reports whether the request carries a signature that is good once.
func (q request) signed() bool {
	const scheme = "OAuth "
	return len(q.authorization) >= len(scheme) && strings.EqualFold(string(q.authorization[:len(scheme)]), scheme)
}

// http returns the request of a job.
func (q request) http(ctx context.Context) (*http.Request, error) {
	u, err := origin(q.job.URL)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, q.job.Method, u.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "nsagent")
	for name, value := range q.job.Header {
		r.Header.Set(name, value)
	}
	if q.job.ContentType != "" {
		r.Header.Set("Content-Type", q.job.ContentType)
	}
	if len(q.authorization) > 0 {
		r.Header.Set("Authorization", string(q.authorization)) // net/http takes nothing else
	}
	return r, nil
}

// port returns the TCP port that the job connects to.
func (j *Job) port() (uint16, error) {
	u, err := origin(j.URL)
	if err != nil {
		return 0, err
	}
	switch {
	case u.Port() != "":
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%w: port", errJob)
		}
		return uint16(n), nil
	case u.Scheme == "http":
		return 80, nil
	default:
		return 443, nil
	}
}

// origin parses a URL that may be asked: https, or http on this machine.
func origin(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%w: URL", errJob)
	}
	if u.Scheme == "https" {
		return u, nil
	}
	if addr, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && err == nil && addr.IsLoopback() {
		return u, nil
	}
	return nil, fmt.Errorf("%w: scheme", errJob)
}

// transport returns the connections of those who trust this CA beside the roots.
//
// With once, each request has a connection of its own, by HTTP/1.1: where a server closes
// one that was kept, or gives up a stream, net/http sends a GET again, and a nonce would be
// sent twice.
//
// Source: RFC 5849 section 3.3.
func (f *fetcher) transport(ca string, once bool) (*http.Transport, error) {
	key := connections{sha256.Sum256([]byte(ca)), once}
	f.mu.Lock()
	defer f.mu.Unlock()
	if t, ok := f.transports[key]; ok {
		return t, nil
	}
	roots := f.roots
	if ca != "" {
		roots = roots.Clone()
		if !roots.AppendCertsFromPEM([]byte(ca)) {
			return nil, fmt.Errorf("%w: CA", errJob)
		}
	}
	for old, t := range f.transports {
		if len(f.transports) < maxTransports {
			break
		}
		t.CloseIdleConnections()
		delete(f.transports, old)
	}
	t := &http.Transport{
		Proxy:                  nil, // the environment has no say
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      !once,
		DisableKeepAlives:      once,
		DisableCompression:     true, // a short answer must not become a long one
		MaxIdleConnsPerHost:    4,
		MaxIdleConns:           64,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeaders,
	}
	f.transports[key] = t
	return t, nil
}

// failureOf says what an error of the network library means.
func failureOf(ctx context.Context, err error) Failure {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		verify  *tls.CertificateVerificationError
		alert   tls.AlertError
		record  tls.RecordHeaderError
		name    *net.DNSError
		op      *net.OpError
		timeout net.Error
	)
	switch {
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return FailedTime
	case errors.As(err, &unknown):
		return FailedUnknownCA
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return FailedExpired
	case errors.As(err, &host):
		return FailedHost
	case errors.As(err, &verify), errors.As(err, &invalid), errors.As(err, &alert), errors.As(err, &record):
		return FailedTLS
	case errors.As(err, &name):
		return FailedName
	case errors.As(err, &op) && op.Op == "dial":
		return FailedConnect
	case errors.As(err, &op) && op.Op == "remote error": // an alert of the other end
		return FailedTLS
	case errors.As(err, &op), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return FailedCut
	default:
		return FailedAnswer
	}
}
