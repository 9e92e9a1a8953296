package agent

import (
	"context"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/vault/keyring"
)

// Config is what New needs. The zero value of a field means what its comment
// says.
type Config struct {
	Paths socketpath.Paths
	// Sockets are agent.sock and admin.sock, in this order, where a service manager has
	// bound them and listens already; nil means to bind them. Run takes them over.
	Sockets []*os.File
	// Version is shown by status.
	Version string
	// Memory says where secrets are kept; empty means secret.ModeAuto.
	Memory secret.Mode
	// IdleLock and HardLock are the lives of an unlocked session, unused and in
	// all; zero means 1 h and 12 h.
	IdleLock, HardLock time.Duration
	// Strict has every use fsynced in the audit log before its answer.
	Strict bool
	// Bundle is served in the place of a vault; nil means that there is none.
	Bundle *BundleConfig
	// Keyring starts a keyring helper; nil means that there is no OS keyring.
	Keyring keyring.Launch
	// Gateway starts a process that talks to NetSuite; nil means that there is none.
	Gateway func(ctx context.Context) (*net.UnixConn, error)
	// Exchanger starts a process that makes one request to NetSuite and ends; nil means
	// that there is none.
	Exchanger func(ctx context.Context) (*net.UnixConn, error)
	// Prompter starts a process that asks somebody for the approvals that callers wait for,
	// and ends when none does or the connection ends; what it writes there is for the log.
	// nil means that there is none.
	Prompter func(ctx context.Context) (*net.UnixConn, error)
	// Exe tells which program a process runs, for the audit log: Landlock hides that
	// from the agent itself. nil means to look in /proc.
	Exe func(ctx context.Context, pid int32) (string, error)
	// Evidence tells what a policy asks about a process, for an agent whose sandbox hides
	// it, and returns once ctx ends, at the latest; nil: only its executable is known.
	Evidence func(ctx context.Context, pid int32, asked policy.Facts) (policy.Evidence, error)
	// Listen makes a socket that listens at a path, which this process cannot do once it is
	// confined, and Unlisten removes the path; nil means that no socket of a grant can be made.
	Listen   func(ctx context.Context, path string) (*os.File, error)
	Unlisten func(ctx context.Context, path string) error
	// Sandbox puts up seccomp and Landlock once the sockets are open.
	Sandbox bool
	// Boottime is the clock of every time limit; nil means CLOCK_BOOTTIME.
	Boottime func() time.Duration
	// Clock is the one that may be set: of timestamps, of entries in the log and of
	// dates. nil means time.Now.
	Clock func() time.Time
	// Log takes operational messages; nil means none. No message has a secret.
	Log *slog.Logger
	// Ready is called once both sockets listen, before anybody is answered; nil means nothing.
	Ready func()
}
