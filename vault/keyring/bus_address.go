//go:build linux || freebsd || netbsd || openbsd || dragonfly

package keyring

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/godbus/dbus/v5"
)

// busSocket is a Unix socket that a bus may listen on.
type busSocket struct {
	abstract bool   // name is not in the file system
	name     string // an absolute path, unless abstract; no NUL, not empty
}

// String returns the address of the socket, as D-Bus writes it.
func (s busSocket) String() string {
	if s.abstract {
		return "unix:abstract=" + dbus.EscapeBusAddressValue(s.name)
	}
	return "unix:path=" + dbus.EscapeBusAddressValue(s.name)
}

// dialName returns what package net calls the socket.
func (s busSocket) dialName() string {
	if s.abstract {
		return "@" + s.name
	}
	return s.name
}

// parseAddresses returns the Unix sockets of a list of bus addresses, in its order.
// Other transports are left out: nobody can tell who is at their other end, and
// values are not encrypted on the way. A guid is checked for its form only, since
// godbus does not compare it.
//
// The error says what is wrong with the list; it is one too if a part that is left
// out is malformed.
//
// Source: D-Bus Specification, "Server Addresses".
func parseAddresses(list string) ([]busSocket, error) {
	var sockets []busSocket
	for part := range strings.SplitSeq(list, ";") {
		if part == "" { // as after a last semicolon
			continue
		}
		transport, pairs, ok := strings.Cut(part, ":")
		if !ok || transport == "" {
			return nil, fmt.Errorf("%q has no transport", part)
		}
		if transport != "unix" {
			continue
		}
		s, err := parseSocket(pairs)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

// parseSocket reads the key=value pairs of a unix address.
func parseSocket(pairs string) (busSocket, error) {
	values := map[string]string{}
	for pair := range strings.SplitSeq(pairs, ",") {
		key, escaped, ok := strings.Cut(pair, "=")
		if !ok {
			return busSocket{}, fmt.Errorf("%q is not a key and a value", pair)
		}
		if key != "path" && key != "abstract" && key != "guid" {
			return busSocket{}, fmt.Errorf("key %q is not one that a client can use", key)
		}
		if _, twice := values[key]; twice {
			return busSocket{}, fmt.Errorf("key %q is there twice", key)
		}
		value, err := dbus.UnescapeBusAddressValue(escaped)
		if err != nil {
			return busSocket{}, err
		}
		if value == "" || strings.ContainsRune(value, 0) {
			return busSocket{}, fmt.Errorf("key %q has no usable value", key)
		}
		values[key] = value
	}
	path, abstract := values["path"], values["abstract"]
	switch {
	case (path == "") == (abstract == ""):
		return busSocket{}, fmt.Errorf("it needs either a path or an abstract name")
	case abstract != "":
		return busSocket{abstract: true, name: abstract}, nil
	case !filepath.IsAbs(path): // also @name, which package net takes for abstract
		return busSocket{}, fmt.Errorf("the path is not absolute")
	}
	return busSocket{name: path}, nil
}
