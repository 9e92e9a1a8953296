package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/BurntSushi/toml"
)

// row is one row of tools/mutation.toml, which says what its keys mean.
type row struct {
	Name     string
	Package  string
	Files    []string
	Run      string
	Skip     string
	Gremlins bool
}

// readRows returns the rows of a file that are named, in its order; all, if none is.
func readRows(file string, names []string) ([]row, error) {
	var all struct{ Row []row }
	meta, err := toml.DecodeFile(file, &all)
	if err != nil {
		return nil, err
	}
	if odd := meta.Undecoded(); len(odd) > 0 {
		return nil, fmt.Errorf("%s: there is no key %s", file, odd[0])
	}
	known := map[string]bool{}
	for _, r := range all.Row {
		if r.Name == "" || r.Package == "" || known[r.Name] {
			return nil, fmt.Errorf("%s: row %q needs a package, and a name of its own", file, cmp.Or(r.Name, r.Package))
		}
		if r.Gremlins && len(r.Files)+len(r.Run)+len(r.Skip) > 0 {
			return nil, fmt.Errorf("%s: row %q: gremlins changes a whole package, and runs all its tests", file, r.Name)
		}
		known[r.Name] = true
	}
	for _, name := range names {
		if !known[name] {
			return nil, fmt.Errorf("%s has no row %q", file, name)
		}
	}
	if len(names) == 0 {
		return all.Row, nil
	}
	return slices.DeleteFunc(all.Row, func(r row) bool { return !slices.Contains(names, r.Name) }), nil
}

// dir returns the directory of the package, as the go command wants it.
func (r row) dir() string { return "./" + r.Package }

// check returns an error for a file that is not there: it would be left out unnoticed.
func (r row) check() error {
	for _, name := range r.Files {
		if _, err := os.Stat(filepath.Join(r.Package, name)); err != nil {
			return fmt.Errorf("row %q: %w", r.Name, err)
		}
	}
	return nil
}

// try makes the changes of the row.
func (r row) try(ctx context.Context, workers int, progress io.Writer) (report, error) {
	if err := r.check(); err != nil {
		return report{}, err
	}
	if r.Gremlins {
		return unleash(ctx, r.dir(), workers, progress)
	}
	return trial{pkg: r.dir(), files: r.Files, tests: r.Run, skip: r.Skip, workers: workers}.leaveOut(ctx, progress)
}
