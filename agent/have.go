package agent

import (
	"fmt"
	"slices"
	"strings"
)

// have says which profiles there are, for people who misspelt one.
func (s *session) have() string {
	const most = 8
	names := make([]string, 0, len(s.profiles))
	for name := range s.profiles {
		names = append(names, name)
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return "you have none yet"
	case len(names) > most:
		return fmt.Sprintf("you have %s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	default:
		return "you have " + strings.Join(names, ", ")
	}
}
