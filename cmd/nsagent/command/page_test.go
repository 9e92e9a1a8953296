package command

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The table of docs/cli.md has each document that commands print, and each object within one:
// some row has all of its keys.
func TestPageHasEveryDocument(t *testing.T) {
	page, err := os.ReadFile("../../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| command | keys |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var rows [][]string
	for line := range strings.Lines(table) {
		_, keys, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		var words []string
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(keys, -1) {
			words = append(words, strings.Fields(m[1])...)
		}
		rows = append(rows, words)
	}
	documents := append(documentsIn(t, "."), documentsIn(t, "../../../proto/nsagent/v1")...)
	if len(documents) < 60 || len(rows) < 30 {
		t.Fatalf("%d documents, %d rows", len(documents), len(rows))
	}
	for _, d := range documents {
		if !slices.ContainsFunc(rows, func(words []string) bool { return within(d.keys, words) }) {
			t.Errorf("%s: no row of docs/cli.md has all of %v", d.at, d.keys)
		}
	}
}

// document is a struct type that commands print, and its keys.
type document struct {
	at   token.Position
	keys []string
}

// documentsIn returns the documents of a package: types with a schema, and those that are
// called something JSON.
func documentsIn(t *testing.T, dir string) (all []document) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			named := false
			if def, ok := n.(*ast.TypeSpec); ok {
				n, named = def.Type, strings.HasSuffix(def.Name.Name, "JSON") && !strings.HasPrefix(def.Name.Name, "Error")
			}
			if s, ok := n.(*ast.StructType); ok {
				keys := keysOf(s)
				if named || slices.Contains(keys, "schema") {
					all = append(all, document{files.Position(s.Pos()), slices.DeleteFunc(keys, func(k string) bool { return k == "schema" })})
				}
			}
			return true
		})
	}
	return all
}

// keysOf returns the JSON names of the fields of a struct.
func keysOf(s *ast.StructType) (keys []string) {
	for _, f := range s.Fields.List {
		if f.Tag == nil {
			continue
		}
		tag, _ := strconv.Unquote(f.Tag.Value)
		if name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ","); name != "" && name != "-" {
			keys = append(keys, name)
		}
	}
	return keys
}

// within reports whether all has each of some.
func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}
