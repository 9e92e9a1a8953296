package agent

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// recorder stands between clients and a socket and keeps every byte of both
// directions.
type recorder struct {
	path string // to connect to

	mu   sync.Mutex // guards seen
	seen bytes.Buffer
	wg   sync.WaitGroup
}

// record starts a recorder before the socket at path, until the test ends.
func record(t *testing.T, path string) *recorder {
	t.Helper()
	dir, err := os.MkdirTemp("", "nsr")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{path: filepath.Join(dir, filepath.Base(path))}
	l, err := bind(r.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		r.wg.Wait()
		_ = os.RemoveAll(dir)
	})
	r.wg.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", path)
			if err != nil {
				_ = from.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				r.wg.Go(func() {
					_, _ = io.Copy(io.MultiWriter(pair[1], r), pair[0])
					_, _ = from.Close(), to.Close()
				})
			}
		}
	})
	return r
}

// Write keeps bytes that went by.
func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.Write(p)
}

// bytes returns what went by so far. The two directions are mixed, in pieces as they
// were read.
func (r *recorder) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.seen.Bytes())
}
