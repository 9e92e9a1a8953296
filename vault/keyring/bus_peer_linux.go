package keyring

import "syscall"

// maxDescriptor bounds the search for connections. A helper has about ten
// descriptors, and new ones get the lowest free numbers; a connection above the
// bound is not found, and then not used.
const maxDescriptor = 1024

// peerUID returns the user who called listen on the socket at the other end.
func peerUID(fd int) (uint32, error) {
	cred, err := syscall.GetsockoptUcred(fd, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// unixPeers returns the connected Unix sockets of this process and the user at the
// other end of each. Where that user is not known it is one whom nobody trusts.
func unixPeers() map[int]uint32 {
	peers := map[int]uint32{}
	for fd := range maxDescriptor {
		addr, err := syscall.Getpeername(fd)
		if _, ok := addr.(*syscall.SockaddrUnix); err != nil || !ok {
			continue
		}
		uid, err := peerUID(fd)
		if err != nil {
			uid = ^uint32(0)
		}
		peers[fd] = uid
	}
	return peers
}
