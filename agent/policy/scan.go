package policy

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nsagent/nsagent/internal/tomlnest"
)

// maxText is the most bytes of a policy.
const maxText = 1 << 20

var errTooLarge = errors.New("it is larger than 1 MiB")

// places are the lines of the tables and keys of a text, by their path: "rule#2.who.uid"
// is the key uid of the table who in the third table of the array rule.
type places map[string]int

// line returns the line of a path, or of the closest path above it that has one.
func (p places) line(path string) int {
	for {
		if n, ok := p[path]; ok || path == "" {
			return max(n, 1)
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
}

// scanner goes over TOML before the parser does, and finds the places.
type scanner struct {
	places places
	arrays map[string]int // how often [[name]] came
	table  string         // the path of the current table
}

// scan returns the places of text, and refuses one of which the parser would not come to an
// end.
func scan(text string) (places, error) {
	if len(text) > maxText {
		return nil, &SyntaxError{Line: 1, Why: errTooLarge.Error()}
	}
	s := &scanner{places: make(places), arrays: make(map[string]int)}
	var nest tomlnest.Counter
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		if !nest.Inside() {
			s.statement(strings.TrimSpace(line), n)
		}
		if !nest.Line(line) {
			return nil, &SyntaxError{Line: n, Why: "it nests too deeply"}
		}
	}
	return s.places, nil
}

// statement notes what begins on the line.
func (s *scanner) statement(line string, n int) {
	name, array := strings.CutPrefix(line, "[[")
	if !array {
		name, _ = strings.CutPrefix(line, "[")
	}
	switch {
	case array:
		name, _, _ = strings.Cut(name, "]")
		name = strings.TrimSpace(name)
		s.table = name + "#" + strconv.Itoa(s.arrays[name])
		s.arrays[name]++
		s.note(s.table, n)
	case name != line:
		name, _, _ = strings.Cut(name, "]")
		s.table = s.within(strings.TrimSpace(name))
		s.note(s.table, n)
	default:
		key, _, ok := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		if ok && !strings.HasPrefix(line, "#") {
			s.note(strings.TrimPrefix(s.table+"."+strings.Trim(key, `"'`), "."), n)
		}
	}
}

// within puts the table name below the last element of an array, if it names one.
func (s *scanner) within(name string) string {
	first, rest, _ := strings.Cut(name, ".")
	if n := s.arrays[first]; n > 0 {
		return first + "#" + strconv.Itoa(n-1) + "." + rest
	}
	return name
}

func (s *scanner) note(path string, line int) {
	if _, twice := s.places[path]; !twice {
		s.places[path] = line
	}
}
