package socketpath

import (
	"fmt"
	"path/filepath"
)

// MaxSocketPath is the length in bytes of the longest path that fits into a
// socket address on Linux, without its final zero byte.
const MaxSocketPath = 107

// LockName is the file beside the socket for use whose lock a running agent holds.
const LockName = "agent.lock"

// program is the name of the directory under each XDG directory.
const program = "nsagent"

// Options are what Find goes by.
type Options struct {
	// Getenv reads the environment; required (os.Getenv).
	Getenv func(string) string
	// Socket is the --socket flag, relative to the working directory or absolute;
	// empty means that it was not given.
	Socket string
}

// Paths says where everything is. All paths are absolute; none needs to exist.
type Paths struct {
	ConfigDir  string // of config.toml and policy.toml
	DataDir    string // of the vault and what lies beside it
	StateDir   string // of the audit log and of what can be lost
	RuntimeDir string // of the sockets, unless they were named

	Agent string // socket for use: sign, list, status
	Admin string // socket to manage: unlock, add, remove

	ConfigFile string // config.toml, or NSAGENT_CONFIG
	PolicyFile string // the draft of the policy, beside ConfigFile
	Vault      string // vault.nsv
	Ledger     string // vault.nsl, beside Vault
	MachineKey string // machine.key, beside Vault: used where there is no keyring
	AuditDir   string
	LogFile    string // of an agent in the background
	PIDFile    string // lock file of the running agent, beside the socket Agent
	NoteFile   string // where an agent that runs with this StateDir says its sockets

	// ConfigNamed is true where NSAGENT_CONFIG named ConfigFile: it has to be there then.
	ConfigNamed bool
	// SocketNamed is true where --socket or NSAGENT_SOCK named the agent's socket:
	// no agent is started on demand then.
	SocketNamed bool
	// RuntimeFallback is true where XDG_RUNTIME_DIR is not set and RuntimeDir is a
	// directory under StateDir, which survives a logout.
	RuntimeFallback bool
}

// Find returns the paths for an environment.
//
// A relative XDG variable counts as not set, as the XDG base directory
// specification demands. The flag wins over NSAGENT_SOCK, and that over the
// default. Where the agent's socket is named and NSAGENT_ADMIN_SOCK is not, the
// admin socket is admin.sock in the same directory, so that one flag moves both.
//
// Errors: ErrNoHome, ErrRelative, ErrTooLong.
func Find(o Options) (Paths, error) {
	var p Paths
	var err error
	if p.ConfigDir, err = base(o.Getenv, "XDG_CONFIG_HOME", ".config"); err != nil {
		return Paths{}, err
	}
	if p.DataDir, err = base(o.Getenv, "XDG_DATA_HOME", ".local/share"); err != nil {
		return Paths{}, err
	}
	if p.StateDir, err = base(o.Getenv, "XDG_STATE_HOME", ".local/state"); err != nil {
		return Paths{}, err
	}
	if dir := o.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		p.RuntimeDir = filepath.Join(dir, program)
	} else {
		p.RuntimeDir = filepath.Join(p.StateDir, "run")
		p.RuntimeFallback = true
	}

	p.ConfigFile = filepath.Join(p.ConfigDir, "config.toml")
	if name := o.Getenv("NSAGENT_CONFIG"); name != "" {
		p.ConfigNamed = true
		if p.ConfigFile, err = absolute("NSAGENT_CONFIG", name); err != nil {
			return Paths{}, err
		}
	}
	p.PolicyFile = filepath.Join(filepath.Dir(p.ConfigFile), "policy.toml")
	p.Vault = filepath.Join(p.DataDir, "vault.nsv")
	p.Ledger = filepath.Join(p.DataDir, "vault.nsl")
	p.MachineKey = filepath.Join(p.DataDir, "machine.key")
	p.AuditDir = filepath.Join(p.StateDir, "audit")
	p.LogFile = filepath.Join(p.StateDir, "agent.log")
	p.NoteFile = filepath.Join(p.StateDir, "agent.sockets")

	if err := p.sockets(o); err != nil {
		return Paths{}, err
	}
	return p, nil
}

// sockets fills in the two sockets and what lies beside them.
func (p *Paths) sockets(o Options) error {
	p.Agent = filepath.Join(p.RuntimeDir, "agent.sock")
	var err error
	if o.Socket != "" {
		p.SocketNamed = true
		if p.Agent, err = filepath.Abs(o.Socket); err != nil {
			return fmt.Errorf("resolving --socket %q: %w", o.Socket, err)
		}
	} else if name := o.Getenv("NSAGENT_SOCK"); name != "" {
		p.SocketNamed = true
		if p.Agent, err = absolute("NSAGENT_SOCK", name); err != nil {
			return err
		}
	}
	p.Admin = filepath.Join(filepath.Dir(p.Agent), "admin.sock")
	if name := o.Getenv("NSAGENT_ADMIN_SOCK"); name != "" {
		if p.Admin, err = absolute("NSAGENT_ADMIN_SOCK", name); err != nil {
			return err
		}
	}
	p.PIDFile = filepath.Join(filepath.Dir(p.Agent), LockName)
	for _, path := range []string{p.Agent, p.Admin} {
		if err := CheckLength(path); err != nil {
			return err
		}
	}
	return nil
}

// base returns the directory of nsagent under an XDG base directory, or under its
// default in HOME where the variable is not set to an absolute path.
func base(getenv func(string) string, variable, inHome string) (string, error) {
	if dir := getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(dir, program), nil
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", ErrNoHome
	}
	return filepath.Join(home, inHome, program), nil
}

// absolute returns a path that a variable named, cleaned. A relative one is
// refused: the variable is read by processes in several working directories.
func absolute(variable, path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%w: %s is %q", ErrRelative, variable, path)
	}
	return filepath.Clean(path), nil
}

// CheckLength returns ErrTooLong where path does not fit into a socket address.
// The error says by how much and how to get a shorter one.
func CheckLength(path string) error {
	if len(path) <= MaxSocketPath {
		return nil
	}
	return fmt.Errorf("%w: %q is %d bytes, the system takes %d; set XDG_RUNTIME_DIR or NSAGENT_SOCK to a shorter path",
		ErrTooLong, path, len(path), MaxSocketPath)
}
