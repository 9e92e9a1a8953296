package agent

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// Each key of a profile's metadata is in the table of docs/vault-format.md.
func TestMetadataIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/vault-format.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "## 15. What nsagent keeps")
	if !ok {
		t.Fatal("docs/vault-format.md has no section on metadata")
	}
	documented := make(map[string]bool)
	for _, row := range regexp.MustCompile(`(?m)^\| ([0-9, ]+) \|`).FindAllStringSubmatch(section, -1) {
		for key := range strings.SplitSeq(row[1], ",") {
			documented[strings.TrimSpace(key)] = true
		}
	}
	var walk func(reflect.Type)
	seen := 0
	walk = func(s reflect.Type) {
		for i := range s.NumField() {
			f := s.Field(i)
			tag, _, _ := strings.Cut(f.Tag.Get("cbor"), ",")
			switch {
			case f.Anonymous:
				walk(f.Type)
			case f.Tag.Get("cbor") == "":
			case !documented[tag]:
				t.Errorf("key %s (%s.%s) is not in the table of docs/vault-format.md", tag, s.Name(), f.Name)
			default:
				seen++
			}
		}
	}
	walk(reflect.TypeFor[profile]())
	walk(reflect.TypeFor[previous]())
	if seen < 30 {
		t.Errorf("%d keys were seen: the test looks at something else", seen)
	}
}
