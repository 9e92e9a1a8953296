package archtest

import (
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// networks are the names of package net that open IP sockets, as literals.
var networks = []string{`"tcp"`, `"tcp4"`, `"tcp6"`, `"udp"`, `"udp4"`, `"udp6"`}

// reaching are names of the standard library that make connections by themselves.
var reaching = []string{"net/http.Transport", "net/http.DefaultTransport", "crypto/tls.Dial", "crypto/tls.Dialer", "crypto/tls.DialWithDialer"}

// opensIP says by what the file can open an IP socket; "" if by nothing. Unix sockets
// are named as such where they are made.
func (s source) opensIP() string {
	found := ""
	ast.Inspect(s.File, func(n ast.Node) bool {
		if lit, is := n.(*ast.BasicLit); is && lit.Kind == token.STRING && slices.Contains(networks, lit.Value) {
			found = lit.Value
		}
		return found == ""
	})
	for _, name := range reaching {
		if found == "" && s.uses(name) {
			found = name
		}
	}
	return found
}

// TestWhoOpensIPSockets holds the code against the table of docs/layout.md: nothing
// else of the product listens on a port, or connects to one.
func TestWhoOpensIPSockets(t *testing.T) {
	l := readLayout(t)
	opening := map[string]bool{}
	for _, s := range sources(t) {
		by := s.opensIP()
		if by == "" || s.test {
			continue
		}
		if opening[s.pkg] = true; l.sockets[s.pkg] == "" {
			t.Errorf("%s can open IP sockets by %s: docs/layout.md does not list %s", s.path, by, s.pkg)
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(l.sockets)) {
		if !opening[pkg] {
			t.Errorf("docs/layout.md says that %s opens IP sockets, which it does not", pkg)
		}
	}
	if len(opening) < 3 {
		t.Errorf("found %v only: the search goes wrong", opening)
	}
}

// TestOpensIP shows that the search finds what it looks for, and no Unix socket.
func TestOpensIP(t *testing.T) {
	for text, want := range map[string]string{
		`import "net"; var _, _ = net.Listen("tcp", "127.0.0.1:0")`:     `"tcp"`,
		`import "net"; var _, _ = net.ListenPacket("udp6", "[::1]:0")`:  `"udp6"`,
		`import "net"; var _, _ = net.Dial("unix", "/run/agent.sock")`:  "",
		`import web "net/http"; var _ = web.Transport{}`:                "net/http.Transport",
		`import "net/http"; var _ = http.Client{}`:                      "",
		`import "crypto/tls"; var _, _ = tls.Dial("", "", nil)`:         "crypto/tls.Dial",
		`import "example.com/http"; var _ = http.Transport{Tcp: "TCP"}`: "",
	} {
		name := filepath.Join(t.TempDir(), "a.go")
		if err := os.WriteFile(name, []byte("package a\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := parse("a/a.go", name)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.opensIP(); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
