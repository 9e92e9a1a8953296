package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/internal/nearest"
)

const (
	maxList   = 64   // entries of a list
	maxString = 1024 // bytes of a text
)

// table is one table of the text that is being read. The first error stays, and what is
// read after it is void.
type table struct {
	places places
	path   string // where it is
	title  string // what messages call it; empty: the top
	values map[string]any
	read   []string // the keys asked for so far
	needed []string // the keys that have to be there
	hint   string   // what to do where one of them is not
	err    *error
}

// fail notes that a key does not hold what it should.
func (t *table) fail(key, why string, args ...any) {
	if *t.err != nil {
		return
	}
	path := t.path
	if key != "" {
		path = t.below(key)
	}
	*t.err = &SyntaxError{Line: t.line(path), Where: t.title, Key: key, Why: fmt.Sprintf(why, args...)}
}

// get returns the value of a key, and whether there is one.
func (t *table) get(key string) (any, bool) {
	t.read = append(t.read, key)
	v, ok := t.values[key]
	return v, ok
}

// end refuses the keys that nobody asked for, of several the first, and a table without a key
// that has to be there: one that is misspelt is named before it is missed.
func (t *table) end() {
	var unknown []string // of which one may be empty
	for key := range t.values {
		if !slices.Contains(t.read, key) {
			unknown = append(unknown, key)
		}
	}
	if unknown != nil {
		first := slices.MinFunc(unknown, t.compare)
		t.fail(first, "unknown key; %s", t.meant(first))
	}
	for _, key := range t.needed {
		if _, ok := t.values[key]; !ok {
			t.fail("", "it has no %s%s", key, t.hint)
		}
	}
}

// meant says which key an unknown one is likely to be, or which there are.
func (t *table) meant(unknown string) string {
	near := nearest.Name(unknown, t.read)
	switch {
	case near == "":
		return "there are " + strings.Join(t.read, ", ")
	case strings.EqualFold(near, unknown):
		return "write it " + near
	}
	return "did you mean " + near + "?"
}

// compare orders keys as they stand in the text, those of a line by name.
func (t *table) compare(a, b string) int {
	return cmp.Or(t.line(t.below(a))-t.line(t.below(b)), strings.Compare(a, b))
}

// line returns the line of a path; of an array of tables, that of the first.
func (t *table) line(path string) int {
	if n, ok := t.places[path+"#0"]; ok {
		return n
	}
	return t.places.line(path)
}

// below returns the path of a key.
func (t *table) below(key string) string { return strings.TrimPrefix(t.path+"."+key, ".") }

// must has end refuse a table without the key.
func (t *table) must(key string) { t.needed = append(t.needed, key) }

func (t *table) text(key string) string {
	v, ok := t.get(key)
	if !ok {
		return ""
	}
	return t.textOf(key, v)
}

func (t *table) textOf(key string, v any) string {
	s, _ := v.(string)
	if s == "" || len(s) > maxString || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.fail(key, "it is a text of 1 to %d printable ASCII characters", maxString)
	}
	return s
}

// word reads a text that is one of allowed.
func (t *table) word(key string, allowed ...string) string {
	s := t.text(key)
	if s != "" && !slices.Contains(allowed, s) {
		t.fail(key, "it is one of %s", strings.Join(allowed, ", "))
	}
	return s
}

// boolean reads true or false; "" where the key is not there.
func (t *table) boolean(key string) string {
	v, ok := t.get(key)
	b, is := v.(bool)
	switch {
	case !ok:
		return ""
	case !is:
		t.fail(key, "it is true or false")
	case b:
		return "yes"
	}
	return "no"
}

// number reads a whole number from 1 to most; 0 where the key is not there.
func (t *table) number(key string, most int64) int64 {
	v, ok := t.get(key)
	if !ok {
		return 0
	}
	n, _ := v.(int64)
	if n < 1 || n > most {
		t.fail(key, "it is a whole number from 1 to %d", most)
	}
	return n
}

// list reads a list of values, none twice, or one value for a list of one; nil where the
// key is not there.
func (t *table) list(key string) []any {
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	l, many := v.([]any)
	if !many {
		return []any{v}
	}
	if len(l) == 0 || len(l) > maxList {
		t.fail(key, "the list has 1 to %d entries", maxList)
	}
	return l
}

func (t *table) texts(key string) []string {
	var out []string
	for _, v := range t.list(key) {
		s := t.textOf(key, v)
		if slices.Contains(out, s) {
			t.fail(key, "%.40q stands there twice", s)
		}
		out = append(out, s)
	}
	return out
}

// parsed reads texts, each of which parse understands.
func parsed[T any](t *table, key string, parse func(string) (T, error)) []T {
	var out []T
	for _, s := range t.texts(key) {
		v, err := parse(s)
		if err != nil {
			t.fail(key, "%.60q: %v", s, err)
		}
		out = append(out, v)
	}
	return out
}

// uids reads user IDs.
func (t *table) uids(key string) []uint32 {
	var out []uint32
	for _, v := range t.list(key) {
		n, ok := v.(int64)
		if !ok || n < 0 || n > math.MaxUint32 || slices.Contains(out, uint32(n)) { // #nosec G115 -- checked before
			t.fail(key, "user IDs are whole numbers, none twice")
			return nil
		}
		out = append(out, uint32(n)) // #nosec G115 -- checked
	}
	return out
}

// duration reads a time such as "2m".
func (t *table) duration(key string, most time.Duration) time.Duration {
	s := t.text(key)
	if s == "" {
		return 0
	}
	d, _ := time.ParseDuration(s) // 0 with an error
	if d < time.Second || d > most {
		t.fail(key, `it is a time such as "2m", at most %v`, most)
	}
	return d
}

// sub returns a table within t; nil where there is none.
func (t *table) sub(key string) *table {
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	m, is := v.(map[string]any)
	if !is {
		t.fail(key, "it is a table")
		return nil
	}
	return t.at(t.below(key), m)
}

// subs returns the tables of an array within t.
func (t *table) subs(key string, most int) []*table {
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	all, is := v.([]map[string]any)
	if !is || len(all) > most {
		t.fail(key, "write each as [[%s]]; at most %d", key, most)
		return nil
	}
	out := make([]*table, len(all))
	for i, m := range all {
		out[i] = t.at(fmt.Sprintf("%s#%d", key, i), m)
	}
	return out
}

func (t *table) at(path string, values map[string]any) *table {
	return &table{places: t.places, path: path, title: t.title, values: values, err: t.err}
}
