package peercred

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"
)

// protocol names these credentials in grpc.
const protocol = "unix-peer"

// AuthInfo is what grpc keeps of a connection.
type AuthInfo struct {
	credentials.CommonAuthInfo
	// Peer is who connected; nil on the client's side.
	Peer *Peer
	// Conn is the connection, as the listener gave it.
	Conn net.Conn
}

// AuthType names the way of authentication.
func (AuthInfo) AuthType() string { return protocol }

// newAuthInfo returns the AuthInfo of a connection. A Unix socket stays within the
// kernel, hence private and unaltered.
func newAuthInfo(conn net.Conn, p *Peer) AuthInfo {
	return AuthInfo{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		Peer:           p,
		Conn:           conn,
	}
}

// NewServerCredentials returns grpc credentials for connections that Identify has
// seen: Conn, or what embeds one. Any other connection is refused with
// ErrUnidentified.
func NewServerCredentials() credentials.TransportCredentials {
	return transport{}
}

// NewClientCredentials returns grpc credentials that refuse, with ErrWrongServer and
// before a byte is sent, a server whose uid is not allowed.
func NewClientCredentials(allowedUID func(uint32) bool) credentials.TransportCredentials {
	return transport{allowed: allowedUID}
}

// CheckServer returns ErrWrongServer where the other end of conn is served by a
// user that is not allowed. Ask it before the first byte is sent.
func CheckServer(conn net.Conn, allowedUID func(uint32) bool) error {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return ErrNotUnix
	}
	uid, err := ServerUID(unixConn)
	if err != nil {
		return fmt.Errorf("checking the server: %w", err)
	}
	if allowedUID == nil || !allowedUID(uid) {
		return fmt.Errorf("%w: uid %d", ErrWrongServer, uid)
	}
	return nil
}

// transport is the grpc side of this package, for both ends. It exchanges no bytes.
type transport struct {
	allowed func(uint32) bool // nil: no server is
}

// ServerHandshake takes the peer from the connection.
func (transport) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	known, ok := conn.(Identified)
	if !ok || known.Identity() == nil {
		return nil, nil, ErrUnidentified
	}
	return conn, newAuthInfo(conn, known.Identity()), nil
}

// ClientHandshake checks whose server it is.
func (t transport) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if err := CheckServer(conn, t.allowed); err != nil {
		return nil, nil, err
	}
	return conn, newAuthInfo(conn, nil), nil
}

// Info says how connections are protected.
func (transport) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: protocol}
}

// Clone returns a copy.
func (t transport) Clone() credentials.TransportCredentials { return t }

// OverrideServerName does nothing: no name is checked, the uid is.
func (transport) OverrideServerName(string) error { return nil }
