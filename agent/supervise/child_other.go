//go:build unix && !linux

package supervise

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// errSystem says that children cannot be tied to their parent's life here.
var errSystem = errors.New("supervise: not available on this system")

// deathSignal has nothing to set: this system tells a child nothing.
func deathSignal(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// socketpair refuses, so that no child is started.
func socketpair(int) (*net.UnixConn, *os.File, error) { return nil, nil, errSystem }

// KeepDescriptors does nothing: no child is started here.
func KeepDescriptors() {}
