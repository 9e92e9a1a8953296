package readmetest

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/realagent"
)

// TestCommandPage compares docs/cli.md with the program: every command and flag
// that one knows, the other knows.
func TestCommandPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	all, err := blocks(string(page))
	if err != nil {
		t.Fatal(err)
	}
	program, err := realagent.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	help := func(command string) string {
		out, err := exec.Command(program, append(strings.Fields(command), "--help")...).Output()
		if err != nil {
			t.Fatalf("nsagent %s --help: %v", command, err)
		}
		return string(out)
	}

	var documented []string
	for line := range strings.Lines(all[0].text) {
		m := synopsis.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		command := strings.TrimSpace(m[1])
		documented = append(documented, command)
		if command == "help" {
			continue
		}
		text := help(command)
		own, _, _ := strings.Cut(text, "Global Flags:")
		if command == "" {
			own = text
		}
		want, got := flagsIn(line), flagsIn(own)
		got = slices.DeleteFunc(got, func(f string) bool {
			return f == "--help" || slices.Contains(long, f) && !slices.Contains(want, f)
		})
		if !slices.Equal(got, want) {
			t.Errorf("nsagent %s has the flags %v, docs/cli.md lists %v", command, got, want)
		}
	}
	for _, command := range leaves(help, "") {
		if !slices.Contains(documented, command) {
			t.Errorf("docs/cli.md does not list nsagent %s", command)
		}
	}
}

var (
	synopsis = regexp.MustCompile(`^nsagent((?: [a-z-]+)*)`)
	flag     = regexp.MustCompile(`--[a-z-]+`)
	listed   = regexp.MustCompile(`(?m)^  ([a-z-]+) +[A-Z]`)
	// long are the flags that the synopsis writes in their short form.
	long = []string{"--profile", "--output", "--quiet", "--verbose", "--request", "--number"}
)

// flagsIn returns the long flags that a text defines, in order, once each.
func flagsIn(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		found := flag.FindAllString(line, -1)
		// In help a line defines one flag and may mention others.
		if strings.HasPrefix(strings.TrimSpace(line), "-") && len(found) > 1 {
			found = found[:1]
		} else if !strings.HasPrefix(strings.TrimSpace(line), "-") && !strings.HasPrefix(line, "nsagent") {
			continue
		}
		out = append(out, found...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// leaves returns the commands below one that have no commands of their own.
func leaves(help func(string) string, command string) []string {
	_, list, has := strings.Cut(help(command), "Available Commands:\n")
	if !has {
		return []string{command}
	}
	list, _, _ = strings.Cut(list, "\n\n")
	var out []string
	for _, m := range listed.FindAllStringSubmatch(list, -1) {
		if below := strings.TrimSpace(command + " " + m[1]); m[1] == "help" {
			out = append(out, below)
		} else {
			out = append(out, leaves(help, below)...)
		}
	}
	return out
}
