package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// removal is a change that leaves out one check: what it demands is taken as met.
type removal struct {
	mutant
	start, end int  // of the check in its file
	met        bool // what it is taken for
}

// switchFile gives a package the switch that leaves out one of its checks.
const switchFile = `package %s

import "os"

var leftOut = os.Getenv("` + switchVariable + `")

func isLeftOut(check string) bool { return leftOut == check }
`

// switchVariable is the environment variable that says which check is left out, by its
// number.
const switchVariable = "NSAGENT_MUTATE_LEAVE_OUT"

// withSwitches returns source with a switch for each of its checks, so that a package is
// compiled once. The numbers of the checks are those of all.
func withSwitches(file, source string, all []removal) string {
	type insertion struct {
		at, span int
		text     string
	}
	var ins []insertion
	for i, r := range all {
		if r.file != file {
			continue
		}
		text := "(!isLeftOut(%q) && ("
		if r.met {
			text = "(isLeftOut(%q) || ("
		}
		// The outer of two opens first, and closes last.
		ins = append(ins, insertion{r.start, r.start - r.end, fmt.Sprintf(text, strconv.Itoa(i))}, insertion{r.end, r.end - r.start, "))"})
	}
	slices.SortStableFunc(ins, func(a, b insertion) int { return cmp.Or(a.at-b.at, a.span-b.span) })
	var out strings.Builder
	from := 0
	for _, in := range ins {
		out.WriteString(source[from:in.at] + in.text)
		from = in.at
	}
	out.WriteString(source[from:])
	return out.String()
}

// removals returns the checks of the sources of a directory such as ./agent, or of those
// of its files that are named.
func removals(dir string, files []string) ([]removal, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var all []removal
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || len(files) > 0 && !slices.Contains(files, filepath.Base(name)) {
			continue
		}
		source, err := os.ReadFile(name) // #nosec G304 -- a source of this module
		if err != nil {
			return nil, err
		}
		found, err := checksOf(path.Clean(filepath.ToSlash(name)), string(source))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no check in %s", dir)
	}
	return all, nil
}

// checksOf returns the checks of one file: a condition that leaves the way, an operand of
// && or ||, and a case that is a condition.
func checksOf(file, source string) (found []removal, err error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	add := func(e ast.Expr, met bool) {
		at := set.Position(e.Pos())
		line, _ := nthLine(source, at.Line) // a line of the source itself
		r := removal{start: at.Offset, end: set.Position(e.End()).Offset, met: met}
		text := strings.Join(strings.Fields(source[r.start:r.end]), " ")
		r.mutant = mutant{file: file, kind: "without " + text, line: line, tried: true, number: at.Line}
		found = append(found, r)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			if leaves(n.Body) && operator(n.Cond) != token.LOR { // whose operands are checks of their own
				add(n.Cond, false)
			}
		case *ast.SwitchStmt:
			if n.Tag != nil {
				return true
			}
			for _, s := range n.Body.List {
				for _, e := range s.(*ast.CaseClause).List {
					if operator(e) != token.LOR {
						add(e, false)
					}
				}
			}
		case *ast.BinaryExpr:
			if n.Op != token.LAND && n.Op != token.LOR {
				return true
			}
			for _, e := range []ast.Expr{n.X, n.Y} {
				if operator(e) != n.Op {
					add(e, n.Op == token.LAND)
				}
			}
		}
		return true
	})
	return found, nil
}

// operator returns the operator of e, which may stand in parentheses.
func operator(e ast.Expr) token.Token {
	if b, ok := ast.Unparen(e).(*ast.BinaryExpr); ok {
		return b.Op
	}
	return token.ILLEGAL
}

// leaves reports whether what follows the block is not reached through it.
func leaves(b *ast.BlockStmt) bool {
	if len(b.List) == 0 {
		return false
	}
	switch b.List[len(b.List)-1].(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		return true
	}
	return false
}
