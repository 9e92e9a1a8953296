package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// source is one Go file of the module, whatever system it is for.
type source struct {
	path  string // from the root of the module, with slashes
	pkg   string // its directory
	test  bool
	lines int
	set   *token.FileSet
	*ast.File
}

// sources returns all Go files of the module. The separate module in tools, what
// tests read and what starts with a dot are left out.
func sources(t *testing.T) []source {
	t.Helper()
	all, err := allSources()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("found %d Go files; the walk goes wrong", len(all))
	}
	return all
}

var allSources = sync.OnceValues(func() ([]source, error) {
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			if name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "bin" || name == filepath.Join(root, "tools")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		file, err := parse(filepath.ToSlash(rel), name)
		if err == nil {
			all = append(all, file)
		}
		return err
	})
	return all, err
})

// parse reads one file.
func parse(rel, name string) (source, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return source{}, err
	}
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	return source{
		path: rel, pkg: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"),
		lines: strings.Count(string(text), "\n"), set: set, File: f,
	}, nil
}

// imports returns the import paths of the file.
func (s source) imports() []string {
	var out []string
	for _, spec := range s.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// functions returns the functions and methods of the file.
func (s source) functions() []*ast.FuncDecl {
	var out []*ast.FuncDecl
	for _, d := range s.Decls {
		if fn, is := d.(*ast.FuncDecl); is {
			out = append(out, fn)
		}
	}
	return out
}

// uses reports whether the file names pkg.Name of the standard library, such as
// time.Now or math/rand.Int, under whatever name it imports the package.
func (s source) uses(qualified string) bool {
	dot := strings.LastIndexByte(qualified, '.')
	from, name := qualified[:dot], qualified[dot+1:]
	local := ""
	for _, spec := range s.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil && p == from {
			local = path.Base(p)
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	if local == "" {
		return false
	}
	found := false
	ast.Inspect(s.File, func(n ast.Node) bool {
		if sel, is := n.(*ast.SelectorExpr); is && sel.Sel.Name == name {
			if id, is := sel.X.(*ast.Ident); is && id.Name == local {
				found = true
			}
		}
		return !found
	})
	return found
}
