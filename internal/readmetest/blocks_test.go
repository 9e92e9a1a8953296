package readmetest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// block is one fenced block of the README.
type block struct {
	language, home string
	line           int // of its first line, from 1
	text           string
}

// runnable are the languages of blocks that must be run.
var runnable = []string{"sh", "console", "python"}

// blocks returns the fenced blocks of a page.
func blocks(page string) ([]block, error) {
	var all []block
	var open *block
	for i, line := range strings.Split(page, "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			words := append(strings.Fields(info), "", "")
			open = &block{language: words[0], home: words[1], line: i + 2}
		case fence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		return nil, fmt.Errorf("the block at line %d does not end", open.line)
	}
	return all, nil
}

// readme returns the blocks of README.md.
func readme(t *testing.T) []block {
	t.Helper()
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	all, err := blocks(string(page))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEveryCommandHasAHome fails for a block that no test would run.
func TestEveryCommandHasAHome(t *testing.T) {
	for _, b := range readme(t) {
		run := slices.Contains(runnable, b.language)
		if run && !slices.Contains([]string{"developer", "ci", "build"}, b.home) {
			t.Errorf("README.md:%d: the %s block names no home to run in", b.line, b.language)
		}
		if !run && b.language != "json" {
			t.Errorf("README.md:%d: nothing runs a block of %q", b.line, b.language)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)`)

// TestLinksLeadSomewhere follows the links between the pages of the repository.
func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"../../docs/*/*.md", "../../*.md"} {
		found, err := filepath.Glob(more)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", filepath.Base(page), m[1])
			}
		}
	}
}

// TestPagesAreListed fails for a page that docs/README.md does not lead to.
func TestPagesAreListed(t *testing.T) {
	index, err := os.ReadFile("../../docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"*.md", "*/*.md"} {
		pages, err := filepath.Glob("../../docs/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			page, _ = strings.CutPrefix(page, "../../docs/")
			if page != "README.md" && !strings.Contains(string(index), "]("+page+")") {
				t.Errorf("docs/README.md does not list %s", page)
			}
		}
	}
}

func TestTranscriptIsShort(t *testing.T) {
	for _, b := range readme(t) {
		if n := strings.Count(b.text, "\n"); b.language == "console" && n > 8 {
			t.Errorf("README.md:%d: the transcript has %d lines, more than 8", b.line, n)
		}
	}
}
