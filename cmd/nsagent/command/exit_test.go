package command

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestEveryCodeHasThreeLines has an error of every code printed for which its maker had
// no more than a message, and looks at the lines that are put below it. It guards against
// a code without what to type next.
func TestEveryCodeHasThreeLines(t *testing.T) {
	whyNewer, _ := linesOf("NSA-OFNEWERAGENT", "")
	for _, name := range codeNames() {
		_, lines := refusedAs(&client.Error{Code: pb.Code(name), Message: "it failed"})
		if len(lines) != 3 || !strings.HasSuffix(lines[2], " ["+name+"]") {
			t.Errorf("%s: got %q, want three lines", name, lines)
			continue
		}
		if why, next := linesOf(pb.Code(name), ""); why == whyNewer {
			t.Errorf("%s has no lines of its own", name)
		} else if why == "" || next == "" || len("  "+next) >= codeColumn {
			t.Errorf("%s: got %q and %q, want both lines, and room for the code", name, why, next)
		}
	}
	if _, lines := refusedAs(&client.Error{Code: "NSA-OFNEWERAGENT", Message: "it failed"}); len(lines) != 3 {
		t.Errorf("a code of a newer agent: got %q, want three lines", lines)
	}
}

// TestCodeLinesNameRealCommands runs the flag parser over what the lines say to type.
func TestCodeLinesNameRealCommands(t *testing.T) {
	var out bytes.Buffer
	for _, name := range codeNames() {
		_, next := linesOf(pb.Code(name), "nsagent sign")
		_, typed, ok := strings.Cut(next, ":  nsagent ")
		if !ok {
			continue
		}
		typed, _, _ = strings.Cut(typed, " && ")
		c, rest, err := newRoot(testEnv(&out)).Find(strings.Fields(typed))
		if err == nil && len(rest) > 0 && rest[0] == "--help" {
			continue
		}
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if err == nil {
			err = c.ValidateArgs(c.Flags().Args())
		}
		if err != nil {
			t.Errorf("%s: nsagent %s: %v", name, typed, err)
		}
	}
}

// TestUsageSaysWhy wants the second line of every command line that is refused to be
// written where it is: no table knows it.
func TestUsageSaysWhy(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range names {
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if why := whyOfUsage(n); why != nil && !strings.HasSuffix(name, "_test.go") {
				seen++
				if b, ok := why.(*ast.BasicLit); ok && b.Value == `""` {
					t.Errorf("%s: usage without a reason", files.Position(why.Pos()))
				}
			}
			return true
		})
	}
	if seen < 100 {
		t.Errorf("found %d calls of usage", seen)
	}
}

// whyOfUsage returns the second argument of a call of usage, or nil.
func whyOfUsage(n ast.Node) ast.Expr {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) != 3 {
		return nil
	}
	if f, ok := call.Fun.(*ast.Ident); !ok || f.Name != "usage" {
		return nil
	}
	return call.Args[1]
}
