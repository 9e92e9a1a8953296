package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// refusal says why the file may not import what it imports; "" if it may.
func (l layout) refusal(file source, imported string) string {
	r := l.packages[file.pkg]
	if r == nil || standard(imported) {
		return "" // TestEveryRowIsAPackage speaks of the missing row
	}
	extra := l.forFile(file.path)
	if inside, is := ours(imported); is {
		if file.test || inside == file.pkg || slices.Contains(r.ours, inside) || slices.Contains(extra, inside) {
			return ""
		}
		return "docs/layout.md does not list it for " + file.pkg
	}
	if within(imported, r.others) || within(imported, extra) {
		return ""
	}
	if file.test {
		for module, places := range l.testOnly {
			if within(imported, []string{module}) && !slices.Contains(places, file.pkg) {
				return fmt.Sprintf("docs/layout.md leaves %s to the tests of %v", module, places)
			}
		}
		return ""
	}
	return "docs/layout.md does not list it for " + file.pkg
}

// TestImports holds every import of every file, for any system and tag, against
// the table. It is the check of style.md's directions: the halves of the program
// meet only at the socket.
func TestImports(t *testing.T) {
	l := readLayout(t)
	for _, file := range sources(t) {
		for _, imported := range file.imports() {
			if why := l.refusal(file, imported); why != "" {
				t.Errorf("%s imports %s: %s", file.path, imported, why)
			}
		}
	}
}

// TestEveryRowIsAPackage keeps the page from naming what is not there.
func TestEveryRowIsAPackage(t *testing.T) {
	l := readLayout(t)
	there := map[string]bool{}
	for _, file := range sources(t) {
		there[file.pkg] = true
		if l.packages[file.pkg] == nil {
			t.Errorf("docs/layout.md has no row for %s; write one, with a sentence", file.pkg)
			l.packages[file.pkg] = &row{}
		}
	}
	for name, r := range l.packages {
		if !there[name] {
			t.Errorf("docs/layout.md has a row for %s, which does not exist", name)
		}
		for _, other := range r.ours {
			if l.packages[other] == nil {
				t.Errorf("the row of %s lists %s, which has no row", name, other)
			}
		}
	}
	for _, rule := range l.files {
		for _, pattern := range rule.patterns {
			if !slices.ContainsFunc(sources(t), func(f source) bool {
				return slices.Equal(layout{files: []fileRule{{patterns: []string{pattern}, allowed: []string{"x"}}}}.forFile(f.path), []string{"x"})
			}) {
				t.Errorf("docs/layout.md gives rights to %s, which fits no file", pattern)
			}
		}
	}
}

// TestNoIdleRights keeps the table tight: what it allows, some file imports.
func TestNoIdleRights(t *testing.T) {
	l := readLayout(t)
	used := map[string][]string{} // by package
	byFile := map[string][]string{}
	for _, file := range sources(t) {
		used[file.pkg] = append(used[file.pkg], file.imports()...)
		byFile[file.path] = file.imports()
	}
	uses := func(imports []string, name string) bool {
		if l.packages[name] != nil {
			return slices.Contains(imports, modulePath+"/"+name)
		}
		return slices.ContainsFunc(imports, func(i string) bool { return within(i, []string{name}) })
	}
	for name, r := range l.packages {
		for _, allowed := range append(append([]string{}, r.ours...), r.others...) {
			if !uses(used[name], allowed) {
				t.Errorf("docs/layout.md lets %s import %s, which it does not", name, allowed)
			}
		}
	}
	for _, rule := range l.files {
		for _, allowed := range rule.allowed {
			found := false
			for file, imports := range byFile {
				found = found || slices.Contains(l.forFile(file), allowed) && uses(imports, allowed)
			}
			if !found {
				t.Errorf("docs/layout.md lets %v import %s, which none does", rule.patterns, allowed)
			}
		}
	}
}

// TestNever holds what each package links in, however deep, against the last
// column. A name there with a dot after the last slash, such as time.Now, is
// looked for in the source of the package itself.
func TestNever(t *testing.T) {
	l := readLayout(t)
	deps := dependencies(t)
	for _, file := range sources(t) {
		r := l.packages[file.pkg]
		if r == nil || file.test {
			continue
		}
		for _, name := range r.never {
			if isSelector(name) && file.uses(name) {
				t.Errorf("%s uses %s, which docs/layout.md forbids", file.path, name)
			}
		}
	}
	for name, r := range l.packages {
		for _, forbidden := range r.never {
			if isSelector(forbidden) {
				continue
			}
			if l.packages[forbidden] != nil {
				forbidden = modulePath + "/" + forbidden
			}
			for _, dep := range deps[name] {
				// A package of ours means itself; a module, all of it.
				_, inside := ours(dep)
				if dep == forbidden || !inside && within(dep, []string{forbidden}) {
					t.Errorf("%s depends on %s, which docs/layout.md forbids", name, dep)
				}
			}
		}
	}
}

// isSelector tells time.Now from net/http and github.com/awnumar/memguard.
func isSelector(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	return dot > strings.LastIndexByte(name, '/') && dot+1 < len(name) && name[dot+1] >= 'A' && name[dot+1] <= 'Z'
}

// dependencies returns all that each package is linked with, on this system.
func dependencies(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Deps", "./...")
	cmd.Dir = "../.."
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.String())
	}
	all := map[string][]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Deps       []string
		}
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		inside, _ := ours(p.ImportPath)
		all[inside] = p.Deps
	}
}
