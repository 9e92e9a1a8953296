package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// testPackage is what go list says of a package and is needed here.
type testPackage struct {
	ImportPath, Dir           string
	TestGoFiles, XTestGoFiles []string
}

// files returns the files of p that hold tests.
func (p testPackage) files() []string { return slices.Concat(p.TestGoFiles, p.XTestGoFiles) }

// listPackages returns the packages that the patterns name, with the files that belong to
// them with or without the race detector.
func listPackages(ctx context.Context, patterns []string, race bool) ([]testPackage, error) {
	args := []string{"list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles"}
	if race {
		args = append(args, "-race")
	}
	cmd := command(ctx, "go", append(args, patterns...)...)
	if race {
		cmd.Env = append(os.Environ(), withRace)
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	var all []testPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p testPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the list of packages: %w", err)
		}
		all = append(all, p)
	}
}

// withoutRace returns the tests in files that are left out where the race detector is on,
// and the packages that hold some. Those of the packages but run anyway.
func withoutRace(ctx context.Context, patterns, but []string) (tests, packages []string, err error) {
	plain, err := listPackages(ctx, patterns, false)
	if err != nil {
		return nil, nil, err
	}
	if len(but) > 0 {
		whole, err := listPackages(ctx, but, false)
		if err != nil {
			return nil, nil, err
		}
		plain = slices.DeleteFunc(plain, func(p testPackage) bool {
			return slices.ContainsFunc(whole, func(w testPackage) bool { return w.ImportPath == p.ImportPath })
		})
	}
	raced, err := listPackages(ctx, patterns, true)
	if err != nil {
		return nil, nil, err
	}
	with := map[string][]string{}
	for _, p := range raced {
		with[p.ImportPath] = p.files()
	}
	for _, p := range plain {
		files := slices.DeleteFunc(p.files(), func(f string) bool { return slices.Contains(with[p.ImportPath], f) })
		names, err := testNames(p.Dir, files, "Test")
		if err != nil {
			return nil, nil, err
		}
		seeds, err := testNames(p.Dir, files, "Fuzz")
		if err != nil {
			return nil, nil, err
		}
		names = append(names, seeds...)
		if len(names) > 0 {
			tests, packages = append(tests, names...), append(packages, p.ImportPath)
		}
	}
	return tests, packages, nil
}

// testNames returns the names of the functions in files of dir that begin with prefix:
// Test or Fuzz. They are read from the source, since go test -list would link every test
// binary once more.
func testNames(dir string, files []string, prefix string) ([]string, error) {
	var names []string
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("looking for tests: %w", err)
		}
		for _, d := range f.Decls {
			fn, isFunc := d.(*ast.FuncDecl)
			if isFunc && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, prefix) && fn.Name.Name != "TestMain" {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names, nil
}
