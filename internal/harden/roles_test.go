//go:build linux

package harden

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
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
