package nstest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"
)

// ErrNotLoopback is the refusal to listen where other machines could connect.
var ErrNotLoopback = errors.New("nstest: not a loopback address")

const certificateLife = 30 * 24 * time.Hour

// Endpoint is a listener of a Server.
type Endpoint struct {
	// URL is the origin, such as https://127.0.0.1:8443.
	URL string
	// CAPEM is the certificate of the throw-away authority that signed the
	// server's certificate; empty over plain http. It is good for names of
	// netsuite.com, localhost and the listening address only, and its key is gone.
	CAPEM []byte

	server *http.Server
	done   chan error
}

// Listen serves s over plain http at addr, such as 127.0.0.1:0. Unless the Config
// allows remote addresses, one that is not of the loopback is refused with
// ErrNotLoopback. The caller closes the Endpoint.
func (s *Server) Listen(addr string) (*Endpoint, error) {
	return s.listen(addr, nil, nil)
}

// ListenTLS is Listen over https with a throw-away certificate. It is good for
// the address, localhost, and the host names of NetSuite, so that a client that
// resolves those to this address needs nothing but the CA.
func (s *Server) ListenTLS(addr string) (*Endpoint, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("reading the address %q: %w", addr, err)
	}
	certificate, caPEM, err := throwAway(net.ParseIP(host))
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return s.listen(addr, &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}, caPEM)
}

func (s *Server) listen(addr string, config *tls.Config, caPEM []byte) (*Endpoint, error) {
	if !s.allowRemote {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, fmt.Errorf("reading the address %q: %w", addr, err)
		}
		// Only what is loopback by its own text: a name may resolve to anything.
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("%w: %q; set allow_remote to listen there", ErrNotLoopback, addr)
		}
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	bound, ok := listener.Addr().(*net.TCPAddr)
	if !s.allowRemote && (!ok || !bound.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("%w: %q became %s", ErrNotLoopback, addr, listener.Addr()), listener.Close())
	}
	e := &Endpoint{
		URL:   "http://" + listener.Addr().String(),
		CAPEM: caPEM,
		server: &http.Server{
			Handler:           s,
			ReadHeaderTimeout: 10 * time.Second,
			ReadTimeout:       time.Minute,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			// OPTIONS * is for the Server too.
			DisableGeneralOptionsHandler: true,
			TLSConfig:                    config,
			// What net/http would log holds text of the client.
			ErrorLog: log.New(io.Discard, "", 0),
		},
		done: make(chan error, 1),
	}
	if config == nil {
		go func() { e.done <- e.server.Serve(listener) }()
		return e, nil
	}
	e.URL = "https://" + strings.TrimPrefix(e.URL, "http://")
	go func() { e.done <- e.server.ServeTLS(listener, "", "") }()
	return e, nil
}

// Close stops listening, gives running requests a second, and then ends them.
func (e *Endpoint) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := e.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = e.server.Close()
	}
	if served := <-e.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	e.done <- http.ErrServerClosed // for a second Close
	return err
}

// throwAway makes an authority, signs one server certificate with it and forgets
// the authority's key.
func throwAway(ip net.IP) (tls.Certificate, []byte, error) {
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if ip != nil && !ip.IsLoopback() {
		ips = append(ips, ip)
	} else if ip != nil && !ip.Equal(ips[0]) && !ip.Equal(ips[1]) {
		ips = append(ips, ip)
	}
	var ranges []*net.IPNet
	for _, one := range ips {
		bits := 128
		if four := one.To4(); four != nil {
			one, bits = four, 32
		}
		ranges = append(ranges, &net.IPNet{IP: one, Mask: net.CIDRMask(bits, bits)})
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	// TLS clients look at the real clock, whatever Config.Now says.
	from := time.Now().Add(-time.Hour)
	ca := &x509.Certificate{
		SerialNumber:                big.NewInt(1),
		Subject:                     pkix.Name{CommonName: "nsagent mock, throw-away authority"},
		NotBefore:                   from,
		NotAfter:                    from.Add(certificateLife),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true,
		KeyUsage:                    x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{"localhost", "netsuite.com"},
		PermittedIPRanges:           ranges,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "nsagent mock"},
		NotBefore:    from,
		NotAfter:     from.Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{
			"localhost", "*.suitetalk.api.netsuite.com", "*.restlets.api.netsuite.com", "*.app.netsuite.com",
			"rest.netsuite.com", "system.netsuite.com", "webservices.netsuite.com",
		},
		IPAddresses: ips,
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}, caPEM, nil
}
