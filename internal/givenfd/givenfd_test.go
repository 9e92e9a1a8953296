//go:build unix

package givenfd_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/givenfd"
)

// What a program opens itself is closed on exec, and what it was given is not.
func TestCheck(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := givenfd.Check(int(f.Fd())); !errors.Is(err, givenfd.ErrOwn) { // #nosec G115 -- a descriptor
		t.Errorf("one of ours: got %v", err)
	}
	given, err := unix.Dup(int(f.Fd())) // #nosec G115 -- a descriptor
	if err != nil {
		t.Fatal(err)
	}
	if err := givenfd.Check(given); err != nil {
		t.Errorf("one as it is inherited: got %v", err)
	}
	if err := unix.Close(given); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{given, -1} {
		if err := givenfd.Check(n); !errors.Is(err, unix.EBADF) {
			t.Errorf("nothing at %d: got %v", n, err)
		}
	}
}
