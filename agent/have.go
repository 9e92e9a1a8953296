package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/internal/nearest"
)

// have says which profiles there are, for people who misspelt one, and first of all
// which one they may have meant.
func (s *session) have(wanted string) string {
	const most = 8
	names := make([]string, 0, len(s.profiles))
	for name := range s.profiles {
		names = append(names, name)
	}
	slices.Sort(names)
	if meant := nearest.Name(wanted, names); meant != "" && len(names) > 1 {
		return "did you mean " + meant + "? " + listed(names, most)
	}
	return listed(names, most)
}

// listed names the profiles, at most so many of them.
func listed(names []string, most int) string {
	switch {
	case len(names) == 0:
		return "you have none yet"
	case len(names) > most:
		return fmt.Sprintf("you have %s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	default:
		return "you have " + strings.Join(names, ", ")
	}
}
