package client_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// TestNode runs the tests of the Node package with the real axios, and the
// compiler over its types. They see a copy with what the lock file names.
func TestNode(t *testing.T) {
	t.Parallel()
	dir := nodePackage(t)
	s := newStage(t)
	for _, name := range []string{"agent", "fetch", "axios"} {
		t.Run(name, func(t *testing.T) { // one after the other: they lock and stop the agent
			c := exec.Command("node", filepath.Join("test", name+".test.mjs")) // #nosec G204 -- a test of this repository
			c.Dir = dir
			s.run(t, c, "CODES="+codes(t), "NODE_EXTRA_CA_CERTS="+s.ca)
		})
	}
	t.Run("types", func(t *testing.T) {
		c := exec.Command("node", "node_modules/typescript/bin/tsc", "--noEmit", "-p", "test")
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestNodePackage lists what npm would publish: the program, its types, and no more.
func TestNodePackage(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := exec.Command("npm", "pack", "--dry-run", "--json", "--ignore-scripts", "--offline")
	c.Dir = "node"
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	var packs []struct {
		Files []struct {
			Path string `json:"path"`
		} `json:"files"`
	}
	if err := json.Unmarshal(out, &packs); err != nil || len(packs) != 1 {
		t.Fatalf("got %s, %v", out, err)
	}
	var got []string
	for _, f := range packs[0].Files {
		got = append(got, f.Path)
	}
	slices.Sort(got)
	want := []string{
		"README.md", "index.cjs", "index.d.cts", "index.d.mts", "index.mjs", "lib/agent.cjs", "lib/axios.cjs",
		"lib/codes.cjs", "lib/errors.cjs", "lib/fetch.cjs", "lib/got.cjs", "lib/header.cjs", "lib/socket.cjs", "lib/undici.cjs", "package.json",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	lock, err := os.ReadFile("node/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(lock), `"resolved"`) {
		t.Error("package-lock.json names where packages were downloaded")
	}
}

func needNode(t *testing.T) {
	t.Helper()
	needs.Program(t, "node")
	needs.Program(t, "npm")
}

// nodePackage returns a copy of the package with its development dependencies, in
// which it can be imported by its name.
func nodePackage(t *testing.T) string {
	t.Helper()
	needNode(t)
	dir := copyNode(t)
	npmCI(t, dir)
	return dir
}

// copyNode returns a copy of the package, without what it depends on.
func copyNode(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "node")
	if err := os.CopyFS(dir, os.DirFS("node")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// npmCI installs what the lock file in dir names.
func npmCI(t *testing.T, dir string) {
	t.Helper()
	c := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}
