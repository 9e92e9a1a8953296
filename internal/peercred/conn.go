package peercred

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/peer"
)

// Identified is a connection that knows its peer: a *Conn, or anything that embeds
// one.
type Identified interface {
	// Identity returns the peer, which belongs to the connection.
	Identity() *Peer
}

// Conn is a connection with the process that opened it.
type Conn struct {
	net.Conn
	Peer *Peer
}

// NewConn returns conn with its peer; closing it closes both.
func NewConn(conn net.Conn, p *Peer) *Conn { return &Conn{Conn: conn, Peer: p} }

// Identity returns the peer, so that types which embed a *Conn are Identified.
func (c *Conn) Identity() *Peer { return c.Peer }

// Close closes the connection and gives the pidfd back.
func (c *Conn) Close() error { return errors.Join(c.Conn.Close(), c.Peer.Close()) }

// contextKey is the key of a Peer in a context.
type contextKey struct{}

// NewContext returns a context that carries p, for servers other than grpc
// (net/http: Server.ConnContext).
func NewContext(ctx context.Context, p *Peer) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext returns the peer of a request: from grpc with the credentials of this
// package, or from NewContext.
func FromContext(ctx context.Context) (*Peer, bool) {
	if p, ok := ctx.Value(contextKey{}).(*Peer); ok {
		return p, true
	}
	if info, ok := peer.FromContext(ctx); ok {
		if auth, ok := info.AuthInfo.(AuthInfo); ok && auth.Peer != nil {
			return auth.Peer, true
		}
	}
	return nil, false
}
