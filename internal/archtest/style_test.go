package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// maxLines is the longest that a file written by hand may be.
const maxLines = 420

// mains are the packages that may end the process.
var mains = []string{"cmd/nsagent", "internal/bench", "internal/clientcodes", "internal/mutate", "internal/nsabuse", "internal/soak", "internal/testrun"}

// forbidden are names of the standard library that no code of the product uses,
// with what to do instead.
var forbidden = map[string]string{
	"net/http.DefaultClient":   "make a client that follows no redirect",
	"net/http.DefaultServeMux": "make a mux",
	"net/http.Get":             "make a client that follows no redirect",
	"net/http.Post":            "make a client that follows no redirect",
	"net/http.ListenAndServe":  "set the timeouts of a server",
	"net/http.Serve":           "set the timeouts of a server",
	"log.Fatal":                "return the error",
	"log.Fatalf":               "return the error",
	"log.Panic":                "return the error",
	"log.Panicf":               "return the error",
}

// generated reports whether a program wrote the file.
func generated(s source) bool { return ast.IsGenerated(s.File) }

func TestFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > maxLines && !generated(s) {
			t.Errorf("%s has %d lines, more than %d: is there a second idea in it?", s.path, s.lines, maxLines)
		}
	}
}

func TestNoInitFunctions(t *testing.T) {
	for _, s := range sources(t) {
		for _, fn := range s.functions() {
			if fn.Recv == nil && fn.Name.Name == "init" && !generated(s) {
				t.Errorf("%s has an init function", s.path)
			}
		}
	}
}

// TestPackagesAreDocumented wants one package comment a package, which begins as
// godoc wants it.
func TestPackagesAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if _, seen := documented[s.pkg]; !seen {
			documented[s.pkg] = false
		}
		if s.Doc == nil || generated(s) {
			continue
		}
		want := "Package " + s.Name.Name + " "
		if s.Name.Name == "main" {
			want = "Command "
		}
		if !strings.HasPrefix(s.Doc.Text(), want) {
			t.Errorf("the package comment in %s does not start with %q", s.path, want)
		}
		if documented[s.pkg] {
			t.Errorf("%s holds a second package comment of %s", s.path, s.pkg)
		}
		documented[s.pkg] = true
	}
	for pkg, yes := range documented {
		if !yes {
			t.Errorf("%s has no package comment", pkg)
		}
	}
}

// TestOnlyMainEndsTheProcess keeps errors returned, and the network calls away
// that follow redirects or have no timeout.
func TestOnlyMainEndsTheProcess(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || generated(s) || slices.Contains(mains, s.pkg) {
			continue
		}
		if s.uses("os.Exit") {
			t.Errorf("%s calls os.Exit: return the error", s.path)
		}
		for name, instead := range forbidden {
			if s.uses(name) {
				t.Errorf("%s uses %s: %s", s.path, name, instead)
			}
		}
	}
}

// TestPackageVariablesAreConstant looks for package variables that some function
// assigns: state that belongs in a value.
func TestPackageVariablesAreConstant(t *testing.T) {
	variables := map[string]map[string]bool{} // package -> names
	for _, s := range sources(t) {
		if variables[s.pkg] == nil {
			variables[s.pkg] = map[string]bool{}
		}
		if !s.test && !generated(s) {
			for _, name := range packageVariables(s.File) {
				variables[s.pkg][name] = true
			}
		}
	}
	for _, s := range sources(t) {
		if s.test || generated(s) {
			continue
		}
		for _, fn := range s.functions() {
			for _, name := range assignedOutside(fn) {
				if variables[s.pkg][name] {
					t.Errorf("%s: %s assigns the package variable %s", s.path, fn.Name.Name, name)
				}
			}
		}
	}
}

// packageVariables returns the names that var declares at the top of the file.
func packageVariables(f *ast.File) []string {
	var out []string
	for _, d := range f.Decls {
		gen, is := d.(*ast.GenDecl)
		if !is || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if name.Name != "_" {
					out = append(out, name.Name)
				}
			}
		}
	}
	return out
}

// assignedOutside returns the names that fn assigns without declaring them. Names
// are taken for the whole function, so one that is declared in any block counts
// as its own.
func assignedOutside(fn *ast.FuncDecl) []string {
	local := map[string]bool{}
	assigned := map[string]bool{}
	declare := func(exprs ...ast.Expr) {
		for _, e := range exprs {
			if id, is := e.(*ast.Ident); is {
				local[id.Name] = true
			}
		}
	}
	assign := func(exprs ...ast.Expr) {
		for _, e := range exprs {
			if name := root(e); name != "" {
				assigned[name] = true
			}
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				local[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				local[name.Name] = true
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				declare(n.Lhs...)
			} else {
				assign(n.Lhs...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				declare(n.Key, n.Value)
			} else if n.Tok == token.ASSIGN {
				assign(n.Key, n.Value)
			}
		case *ast.IncDecStmt:
			assign(n.X)
		}
		return true
	})
	var out []string
	for name := range assigned {
		if !local[name] {
			out = append(out, name)
		}
	}
	return out
}

// root returns the variable that an assignment to e changes: x of x, x.f, x[i].
func root(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x.Name
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		default:
			return ""
		}
	}
}
