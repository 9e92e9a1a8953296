// Package socketpath says where the files and sockets of nsagent are, and
// whether a place is safe to use.
//
// Find follows the XDG base directory specification and the variables of
// nsagent. EnsureDir makes a directory that nobody else can read, write or
// replace. CheckSocket is what a client asks before it connects: that the socket
// is a socket and belongs to a user it trusts. None of them can say who listens:
// after connecting, ask the kernel for the peer (internal/peercred).
package socketpath
