package systemd

import (
	"fmt"
	"net"
	"strings"
)

// Manager is who started the service and waits to hear of it; the zero value is
// nobody.
type Manager struct{ socket string }

// Ready says that the service serves, and in a line how.
func (m Manager) Ready(status string) error {
	return m.notify("READY=1\nSTATUS=" + strings.ReplaceAll(status, "\n", " "))
}

// Stopping says that the service is about to end.
func (m Manager) Stopping() error { return m.notify("STOPPING=1") }

// notify sends one datagram to the manager, if there is one.
func (m Manager) notify(state string) error {
	if m.socket == "" {
		return nil
	}
	// An @ stands for an abstract address, for package net too.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	return nil
}
