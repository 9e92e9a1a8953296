//go:build linux

package harden

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childrenHere are the children that this architecture has beside those of all.
func childrenHere() map[string]func(args []string) error {
	return map[string]func([]string) error{"foreign": childForeign}
}

// A 64-bit process can make 32-bit calls, whose numbers the list does not know: they
// are refused, by the filter, or by a kernel that takes none and sends SIGSEGV, with
// the filter as without.
func TestForeignCalls(t *testing.T) {
	if out, err := command(true, "foreign", "free").CombinedOutput(); err != nil {
		if !strings.Contains(string(out), "SIGSEGV") {
			t.Fatalf("control: %v\n%s", err, out)
		}
		if out, err := command(true, "foreign", "confined").CombinedOutput(); err == nil || !strings.Contains(string(out), "SIGSEGV") {
			t.Errorf("confined: got %v, want SIGSEGV from a kernel that takes no 32-bit calls\n%s", err, out)
		}
		return
	}
	run(t, command(true, "foreign", "confined"))
}

// childForeign calls getpid by int 0x80.
func childForeign(args []string) error {
	code, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	copy(code, []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3}) // mov eax, 20; int 0x80; ret
	entry := &code[0]
	function := &entry // a func value points to a word that holds the entry
	getpid := *(*func() int32)(unsafe.Pointer(&function))
	if args[0] == "free" {
		if got := getpid(); int(got) != os.Getpid() {
			return fmt.Errorf("got %d, want %d", got, os.Getpid())
		}
		return nil
	}
	if _, err := Helper(); err != nil {
		return err
	}
	if got := getpid(); got != -int32(unix.EPERM) {
		return fmt.Errorf("confined: got %d, want %d", got, -int32(unix.EPERM))
	}
	return nil
}
