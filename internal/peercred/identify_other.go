//go:build !linux

package peercred

import "net"

// Identify refuses: this system has no handle on the process that connected.
func Identify(*net.UnixConn) (*Peer, error) { return nil, ErrUnsupported }

// ServerUID refuses, so that a client never takes an unknown server for its own.
func ServerUID(*net.UnixConn) (uint32, error) { return 0, ErrUnsupported }

func alive(int) error             { return ErrUnsupported }
func exeOf(int32) (string, error) { return "", ErrUnsupported }
func closePidfd(int) error        { return nil }
