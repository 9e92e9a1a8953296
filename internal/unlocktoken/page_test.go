package unlocktoken

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// The table of docs/unlock-tokens.md has every caveat under its key and its name, and the
// list of kinds there has every kind.
func TestPageHasEachCaveat(t *testing.T) {
	page, err := os.ReadFile("../../docs/unlock-tokens.md")
	if err != nil {
		t.Fatal(err)
	}
	got, values := make(map[string]string), make(map[string]string)
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| ([a-z ]+) \| (.+?) \|`).FindAllSubmatch(page, -1) {
		key := string(row[1])
		if got[key] != "" {
			t.Errorf("key %s is there twice", key)
		}
		got[key], values[key] = string(row[2]), string(row[3])
	}
	want := make(map[string]string)
	for f := range reflect.TypeFor[Caveats]().Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("cbor"), ",")
		name := regexp.MustCompile("([a-z])([A-Z])").ReplaceAllString(f.Name, "$1 $2")
		want[key] = strings.ToLower(name)
	}
	if !maps.Equal(got, want) {
		t.Errorf("the page has %v, want %v", got, want)
	}
	if list := "list of texts: `" + strings.Join(kinds, "`, `") + "`"; values["2"] != list {
		t.Errorf("kinds: the page has %s, want %s", values["2"], list)
	}
	for _, limit := range []string{fmt.Sprintf("at most %d entries", MaxList), "1 to 1,024 printable ASCII", fmt.Sprintf("[1*%d block]", MaxBlocks), "at most 32,768 bytes", "at most 65,536 characters", fmt.Sprintf("%d shares", MaxShares)} {
		if !strings.Contains(string(page), limit) {
			t.Errorf("the page does not say %q", limit)
		}
	}
}
