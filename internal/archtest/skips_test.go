package archtest

import (
	"go/ast"
	"strings"
	"testing"
)

// TestSkipsGoThroughNeeds: a test that cannot run says so by internal/needs, which fails where
// the part is required. What is not a part of the machine is told by itself: the race
// detector, and root, whom permissions do not stop; both are run in another way as well. An
// input of a fuzz target may be none.
func TestSkipsGoThroughNeeds(t *testing.T) {
	found := 0
	for _, file := range sources(t) {
		if !file.test || file.pkg == "internal/needs" {
			continue
		}
		for _, d := range file.Decls {
			function, ok := d.(*ast.FuncDecl)
			if !ok || strings.HasPrefix(function.Name.Name, "Fuzz") {
				continue
			}
			ast.Inspect(function, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				s, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || s.Sel.Name != "Skip" && s.Sel.Name != "Skipf" && s.Sel.Name != "SkipNow" {
					return true
				}
				found++
				if len(call.Args) > 0 {
					if reason, ok := call.Args[0].(*ast.BasicLit); ok && (strings.Contains(reason.Value, "not as root:") || strings.Contains(reason.Value, "race detector")) {
						return true
					}
				}
				t.Errorf("%s:%d skips a test by itself: use internal/needs", file.path, file.set.Position(call.Pos()).Line)
				return true
			})
		}
	}
	if found == 0 {
		t.Error("no test skips at all; the search goes wrong")
	}
}
