// Package peercred says who is at the other end of a Unix socket.
//
// Identify asks the kernel, before a byte is read, for the uid, gid and pid of the
// process that connected, and for a pidfd: a handle on that one process, which no
// later process with the same number can be taken for. Alive then says per request
// whether that process still runs. A descriptor that was inherited or passed on is
// worth nothing once the process that connected is gone.
//
// The uid is a boundary. The process and its executable are evidence, not a
// boundary between processes of one user: any of them could have been started, or
// taken over, by another.
//
// A server wraps each accepted connection into a Conn and gives it, under whatever
// buffering it needs, to grpc with NewServerCredentials or to net/http with
// NewContext; handlers find the Peer with FromContext. A client uses
// NewClientCredentials or CheckServer, which refuse a server of another user before
// anything is sent.
package peercred
