package command

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestEveryCodeHasAPage walks the table, and all code and documents of the tree, for
// codes.
func TestEveryCodeHasAPage(t *testing.T) {
	var paged []string
	for _, page := range codePages() {
		if slices.Contains(paged, string(page.code)) {
			t.Errorf("%s has two pages", page.code)
		}
		paged = append(paged, string(page.code))
	}
	for _, name := range codeNames() {
		if !slices.Contains(paged, name) {
			t.Errorf("nsagent explain has no page on %s", name)
		}
	}
	found := 0
	for file, codes := range codesOfTree(t) {
		for _, code := range codes {
			found++
			if !slices.Contains(paged, code) {
				t.Errorf("%s speaks of %s, on which nsagent explain has no page", file, code)
			}
		}
	}
	if found < 60 {
		t.Errorf("found %d codes in the tree: the walk goes wrong", found)
	}
}

// codesOfTree returns the codes in every file that is not a test.
func codesOfTree(t *testing.T) map[string][]string {
	t.Helper()
	code := regexp.MustCompile(`NSA-[A-Z]+(?:-[A-Z]+)*\b`)
	out := map[string][]string{}
	err := filepath.WalkDir("../../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") && name != "..") {
			return filepath.SkipDir
		}
		if !slices.Contains([]string{".go", ".md", ".proto", ".py", ".js", ".ts"}, filepath.Ext(name)) || strings.Contains(name, "test") {
			return nil
		}
		text, err := os.ReadFile(path)
		if found := code.FindAllString(string(text), -1); len(found) > 0 {
			out[path] = found
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPagesHaveOneShape wants whole sentences, causes, and things to do of which at
// least one can be typed or looked up.
func TestPagesHaveOneShape(t *testing.T) {
	for _, page := range codePages() {
		if !strings.HasSuffix(page.means, ".") || len(strings.Fields(page.means)) < 8 {
			t.Errorf("%s: %q is no sentence", page.code, page.means)
		}
		if len(page.causes) == 0 || len(page.do) == 0 {
			t.Errorf("%s has no causes, or nothing to do", page.code)
		}
		for _, line := range append(slices.Clone(page.causes), page.do...) {
			if line == "" || strings.HasSuffix(line, ".") {
				t.Errorf("%s: %q is empty or ends with a dot", page.code, line)
			}
		}
	}
}

// TestPagesNameRealCommands runs the flag parser over what the pages say to type.
func TestPagesNameRealCommands(t *testing.T) {
	commandText := regexp.MustCompile(`nsagent ([a-z][^;&)]*)`)
	var out bytes.Buffer
	seen := 0
	for _, page := range codePages() {
		for _, text := range append(slices.Clone(page.do), page.causes...) {
			_, typed, ok := strings.Cut(text, ":  ")
			if !ok {
				_, typed, ok = strings.Cut(text, "  ")
			}
			if !ok {
				continue
			}
			for _, m := range commandText.FindAllStringSubmatch(typed, -1) {
				seen++
				words := strings.Fields(m[1])
				if words[0] == "COMMAND" {
					continue
				}
				c, rest, err := newRoot(testEnv(&out)).Find(words)
				if err == nil && !c.HasSubCommands() {
					err = c.ParseFlags(rest)
				} else if err == nil && len(rest) > 0 {
					t.Errorf("%s: there is no nsagent %s", page.code, m[1])
				}
				if err != nil {
					t.Errorf("%s: nsagent %s: %v", page.code, m[1], err)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("found %d commands in the pages", seen)
	}
}

func TestExplainKnowsCodesHoweverTheyAreWritten(t *testing.T) {
	for _, word := range []string{"NSA-LOCKED", "nsa-locked", "locked", "[NSA-LOCKED]"} {
		if page, known := findPage(word); !known || page.code != pb.CodeLocked {
			t.Errorf("%s is not found", word)
		}
	}
	if _, known := findPage("NSA-"); known {
		t.Error("a code without a name is found")
	}
}
