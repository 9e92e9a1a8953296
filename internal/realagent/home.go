// Package realagent runs the product as users run it, supervisor and sandboxed
// agent process, in a home of its own, for programs that attack it or load it for
// long.
//
// The home has a vault that Passphrase opens. It lives in a temporary directory
// until Remove.
package realagent

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/nsagent/nsagent/internal/socketpath"
)

// Passphrase opens the vault of every home.
const Passphrase = "correct horse battery staple"

// Profile is a profile document whose two secrets are numbered by n.
func Profile(n int) string {
	return fmt.Sprintf(`{"account":"1234567_SB1","auth":"tba","consumer_key":"%064d","consumer_secret":"%064d","token_id":"%064d","token_secret":"%064d"}`, 1, 100+n, 3, 200+n)
}

// URL is a URL that such a profile signs for.
const URL = "https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer/1"

// Home is the home directory of a user who has nothing but nsagent.
type Home struct {
	Paths socketpath.Paths
	bin   string
	dir   string
	env   []string
}

// NewHome makes a home and a vault in it with the program bin. The caller must
// Remove it.
func NewHome(ctx context.Context, bin string) (*Home, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "nsh") // short: it ends up in socket addresses
	if err != nil {
		return nil, err
	}
	run := filepath.Join(dir, "run")
	h := &Home{bin: bin, dir: dir, env: []string{"HOME=" + dir, "XDG_RUNTIME_DIR=" + run, "NSAGENT_NO_INPUT=1"}}
	variables := map[string]string{"HOME": dir, "XDG_RUNTIME_DIR": run}
	h.Paths, err = socketpath.Find(socketpath.Options{Getenv: func(k string) string { return variables[k] }})
	if err == nil {
		err = os.Mkdir(run, 0o700)
	}
	if err == nil { // what is killed here stays dead
		err = os.MkdirAll(filepath.Dir(h.Paths.ConfigFile), 0o700)
	}
	if err == nil {
		err = os.WriteFile(h.Paths.ConfigFile, []byte("start_on_demand = false\n"), 0o600)
	}
	if err == nil {
		_, err = h.Run(ctx, Passphrase, "init", "--unlock", "passphrase", "--passphrase-fd", "0", "--kdf", "low")
	}
	if err != nil {
		h.Remove()
		return nil, fmt.Errorf("making a home: %w", err)
	}
	return h, nil
}

// Dir is the home directory.
func (h *Home) Dir() string { return h.dir }

// Remove removes the home. No agent may run in it.
func (h *Home) Remove() { _ = os.RemoveAll(h.dir) }

// Command is nsagent with arguments in this home.
func (h *Home) Command(ctx context.Context, args ...string) *exec.Cmd {
	return h.Program(ctx, h.bin, args...)
}

// Program is another program with the environment of this home.
func (h *Home) Program(ctx context.Context, path string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, path, args...) // #nosec G204 -- a program of the caller's
	c.Dir, c.Env = h.dir, h.env
	return c
}

// Run runs a command that reads input, and returns its standard output. The error
// has what it said.
func (h *Home) Run(ctx context.Context, input string, args ...string) ([]byte, error) {
	c := h.Command(ctx, args...)
	c.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return out, fmt.Errorf("nsagent %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
