package socketpath_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/socketpath"
)

// env returns a Getenv over the given variables.
func env(kv map[string]string) func(string) string {
	return func(name string) string { return kv[name] }
}

func TestFindPaths(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		flag string
		want func(*socketpath.Paths) (got, want string)
	}{
		{"config from HOME", map[string]string{"HOME": "/h"}, "", func(p *socketpath.Paths) (string, string) {
			return p.ConfigFile, "/h/.config/nsagent/config.toml"
		}},
		{"policy beside it", map[string]string{"HOME": "/h"}, "", func(p *socketpath.Paths) (string, string) {
			return p.PolicyFile, "/h/.config/nsagent/policy.toml"
		}},
		{"vault from HOME", map[string]string{"HOME": "/h"}, "", func(p *socketpath.Paths) (string, string) {
			return p.Vault, "/h/.local/share/nsagent/vault.nsv"
		}},
		{"audit from HOME", map[string]string{"HOME": "/h"}, "", func(p *socketpath.Paths) (string, string) {
			return p.AuditDir, "/h/.local/state/nsagent/audit"
		}},
		{"sockets without a runtime directory", map[string]string{"HOME": "/h"}, "", func(p *socketpath.Paths) (string, string) {
			return p.Agent, "/h/.local/state/nsagent/run/agent.sock"
		}},
		{"runtime directory", map[string]string{"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/7"}, "", func(p *socketpath.Paths) (string, string) {
			return p.Agent + " " + p.Admin, "/run/user/7/nsagent/agent.sock /run/user/7/nsagent/admin.sock"
		}},
		{"XDG variables win", map[string]string{"HOME": "/h", "XDG_DATA_HOME": "/d"}, "", func(p *socketpath.Paths) (string, string) {
			return p.Vault + " " + p.ConfigDir, "/d/nsagent/vault.nsv /h/.config/nsagent"
		}},
		{"relative XDG variable counts as not set", map[string]string{"HOME": "/h", "XDG_DATA_HOME": "d", "XDG_RUNTIME_DIR": "run"}, "", func(p *socketpath.Paths) (string, string) {
			return p.Vault + " " + p.RuntimeDir, "/h/.local/share/nsagent/vault.nsv /h/.local/state/nsagent/run"
		}},
		{"no HOME needed", map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d", "XDG_STATE_HOME": "/s"}, "", func(p *socketpath.Paths) (string, string) {
			return p.RuntimeDir, "/s/nsagent/run"
		}},
		{"NSAGENT_SOCK moves both", map[string]string{"HOME": "/h", "NSAGENT_SOCK": "/x/y.sock"}, "", func(p *socketpath.Paths) (string, string) {
			return p.Agent + " " + p.Admin, "/x/y.sock /x/admin.sock"
		}},
		{"NSAGENT_ADMIN_SOCK", map[string]string{"HOME": "/h", "NSAGENT_SOCK": "/x/y.sock", "NSAGENT_ADMIN_SOCK": "/z/a.sock"}, "", func(p *socketpath.Paths) (string, string) {
			return p.Agent + " " + p.Admin, "/x/y.sock /z/a.sock"
		}},
		{"flag wins", map[string]string{"HOME": "/h", "NSAGENT_SOCK": "/x/y.sock"}, "/f/g.sock", func(p *socketpath.Paths) (string, string) {
			return p.Agent + " " + p.Admin, "/f/g.sock /f/admin.sock"
		}},
		{"config file named", map[string]string{"HOME": "/h", "NSAGENT_CONFIG": "/e/c.toml"}, "", func(p *socketpath.Paths) (string, string) {
			return p.ConfigFile + " " + p.PolicyFile, "/e/c.toml /e/policy.toml"
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := socketpath.Find(socketpath.Options{Getenv: env(test.env), Socket: test.flag})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := test.want(&p); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			named := test.flag != "" || test.env["NSAGENT_SOCK"] != ""
			if p.SocketNamed != named {
				t.Errorf("SocketNamed: got %v, want %v", p.SocketNamed, named)
			}
			fallback := !filepath.IsAbs(test.env["XDG_RUNTIME_DIR"])
			if p.RuntimeFallback != fallback {
				t.Errorf("RuntimeFallback: got %v, want %v", p.RuntimeFallback, fallback)
			}
		})
	}
}

func TestFindRefuses(t *testing.T) {
	long := "/" + strings.Repeat("x", socketpath.MaxSocketPath-len("/agent.sock")) // one byte too many with agent.sock
	tests := []struct {
		name string
		env  map[string]string
		flag string
		want error
	}{
		{"nothing set", nil, "", socketpath.ErrNoHome},
		{"relative HOME", map[string]string{"HOME": "h"}, "", socketpath.ErrNoHome},
		{"relative NSAGENT_SOCK", map[string]string{"HOME": "/h", "NSAGENT_SOCK": "a.sock"}, "", socketpath.ErrRelative},
		{"relative NSAGENT_ADMIN_SOCK", map[string]string{"HOME": "/h", "NSAGENT_ADMIN_SOCK": "a.sock"}, "", socketpath.ErrRelative},
		{"relative NSAGENT_CONFIG", map[string]string{"HOME": "/h", "NSAGENT_CONFIG": "c.toml"}, "", socketpath.ErrRelative},
		{"long NSAGENT_SOCK", map[string]string{"HOME": "/h", "NSAGENT_SOCK": long + "/agent.sock"}, "", socketpath.ErrTooLong},
		{"long NSAGENT_ADMIN_SOCK", map[string]string{"HOME": "/h", "NSAGENT_ADMIN_SOCK": long + "/agent.sock"}, "", socketpath.ErrTooLong},
		{"long runtime directory", map[string]string{"HOME": "/h", "XDG_RUNTIME_DIR": long}, "", socketpath.ErrTooLong},
		{"long flag", map[string]string{"HOME": "/h"}, long + "/agent.sock", socketpath.ErrTooLong},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := socketpath.Find(socketpath.Options{Getenv: env(test.env), Socket: test.flag})
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestFlagIsRelativeToWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	p, err := socketpath.Find(socketpath.Options{Getenv: env(map[string]string{"HOME": "/h"}), Socket: "a.sock"})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "a.sock"); p.Agent != want {
		t.Errorf("got %s, want %s", p.Agent, want)
	}
}

func TestLongestPathFits(t *testing.T) {
	path := "/" + strings.Repeat("x", socketpath.MaxSocketPath-1)
	if err := socketpath.CheckLength(path); err != nil {
		t.Errorf("%d bytes: %v", len(path), err)
	}
	if err := socketpath.CheckLength(path + "x"); !errors.Is(err, socketpath.ErrTooLong) {
		t.Errorf("%d bytes: got %v, want %v", len(path)+1, err, socketpath.ErrTooLong)
	}
}
