package archtest

import (
	"go/build"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestClientIsForEverySystem: package client, and what it uses of ours, takes nothing of Unix
// where it is built for a system that is none. A program that uses it can be built there, and
// is refused when it runs.
func TestClientIsForEverySystem(t *testing.T) {
	windows := build.Default
	windows.GOOS, windows.GOARCH, windows.CgoEnabled, windows.BuildTags = "windows", "amd64", false, nil
	seen := make(map[string]bool)
	var look func(dir string)
	look = func(dir string) {
		if seen[dir] {
			return
		}
		seen[dir] = true
		p, err := windows.ImportDir(filepath.Join("..", "..", filepath.FromSlash(dir)), 0)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(p.Imports, "golang.org/x/sys/unix") {
			t.Errorf("package %s imports golang.org/x/sys/unix on Windows", dir)
		}
		for _, name := range p.Imports {
			if inside, ours := strings.CutPrefix(name, modulePath+"/"); ours {
				look(inside)
			}
		}
	}
	look("client")
	if !seen["internal/tokenenv"] || !seen["internal/peercred"] {
		t.Errorf("looked at %d packages only", len(seen))
	}
}
