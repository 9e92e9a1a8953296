package agent

import (
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// adopt takes over the socket that a service manager has bound to path. It has to be
// what bind makes: a stream that listens, under this very path, which belongs to us
// and lets nobody else in. The path stays when the agent ends; it is the manager's.
func (a *Agent) adopt(path string) (*net.UnixListener, error) {
	i := slices.Index([]string{a.cfg.Paths.Agent, a.cfg.Paths.Admin}, path)
	if i < 0 || i >= len(a.cfg.Sockets) {
		return nil, unsafeSocket(path, "is none")
	}
	f := a.cfg.Sockets[i]
	if fault := notOurs(f, path); fault != "" {
		_ = f.Close()
		return nil, unsafeSocket(path, fault)
	}
	return listenerOf(f)
}

func unsafeSocket(path, fault string) error {
	return refuse(socketpath.ErrUnsafe, pb.CodeUnsafe, "a socket is not safe to use", "what was passed for "+path+" "+fault, "look at the unit:  systemctl --user cat nsagent.socket")
}

// notOurs says why a socket is not one that the agent would have made at path; "" if
// it is.
func notOurs(f *os.File, path string) string {
	fd := int(f.Fd())               // #nosec G115 -- a descriptor fits
	addr, _ := unix.Getsockname(fd) // what is no socket has none
	switch u, ok := addr.(*unix.SockaddrUnix); {
	case !ok:
		return "is no Unix socket"
	case u.Name != path:
		return "is bound to another path"
	}
	for _, want := range []struct {
		option, value int
		otherwise     string
	}{
		{unix.SO_TYPE, unix.SOCK_STREAM, "is no stream socket"},
		{unix.SO_ACCEPTCONN, 1, "does not listen"},
	} {
		// What cannot be asked is 0, and none of these.
		if got, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, want.option); got != want.value {
			return want.otherwise
		}
	}
	var st unix.Stat_t
	switch err := unix.Lstat(path, &st); {
	case err != nil:
		return "is gone from there"
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return "was replaced there"
	case st.Uid != uint32(os.Geteuid()): // #nosec G115 -- a uid fits
		return fmt.Sprintf("belongs to uid %d", st.Uid)
	case st.Mode&0o077 != 0:
		return fmt.Sprintf("has mode %04o, and others may use it: SocketMode=0600 is missing", st.Mode&0o777)
	}
	return ""
}
