//go:build linux

package harden

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A helper may use files and nothing else.
func TestHelper(t *testing.T) {
	run(t, command(true, "helper", directory(t)))
}

// childHelper confines itself by the filter alone.
func childHelper(args []string) error {
	r, err := Helper()
	if err != nil {
		return err
	}
	if !r.Seccomp || r.LandlockABI != 0 {
		return fmt.Errorf("report: got %+v", r)
	}
	tries := attempts(args[0], args[0])
	errs := expect("exec", tries["exec"](), fs.ErrPermission)
	errs = errors.Join(errs, expect("socket", tries["socket inet"](), fs.ErrPermission))
	for _, name := range []string{"socket unix", "socketpair", "listen inside"} { // the bus is reached by one
		errs = errors.Join(errs, expect(name, tries[name](), nil))
	}
	return errors.Join(errs, expect("read", tries["read outside"](), nil))
}

// The gateway may connect over IP and read what name resolution needs, and nothing else.
func TestNetwork(t *testing.T) {
	needsLandlock(t)
	run(t, command(true, "network", directory(t), directory(t)))
}

func childNetwork(args []string) error {
	inside, outside := args[0], args[1]
	if err := fill(outside); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r, err := Network(NetworkSandbox{ReadOnly: []string{outside, "/no/such/file"}})
	if err != nil {
		return err
	}
	if !r.Seccomp || r.LandlockABI == 0 {
		return fmt.Errorf("report: got %+v", r)
	}
	var errs error
	for network, addr := range map[string]string{"tcp": l.Addr().String(), "udp": udp.LocalAddr().String()} {
		c, err := net.Dial(network, addr)
		errs = errors.Join(errs, expect("dial "+network, err, nil))
		if err == nil {
			_ = c.Close()
		}
	}
	tries := attempts(inside, outside)
	_, err = os.ReadFile(filepath.Join(outside, "kept"))
	errs = errors.Join(errs, expect("read what is allowed", err, nil))
	for name, try := range tries {
		if name == "socket inet" || name == "socket inet6" { // by which NetSuite is reached
			errs = errors.Join(errs, expect(name, try(), nil))
			continue
		}
		errs = errors.Join(errs, expect(name, try(), fs.ErrPermission))
	}
	return errs
}

// A 64-bit process can make 32-bit calls, whose numbers the list does not know: they
// are refused, by the filter, or by a kernel that takes none and sends SIGSEGV, with
// the filter as without.
func TestForeignCalls(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("needs amd64: other architectures cannot change their calls without exec")
	}
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
