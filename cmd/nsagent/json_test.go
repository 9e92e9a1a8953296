package main

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdJSONKeys checks that every JSON document of a file, or every member of a
// list, has exactly these keys:
//
//	jsonkeys FILE key...
func cmdJSONKeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: jsonkeys FILE key...")
	}
	want := slices.Sorted(slices.Values(args[1:]))
	objects := documents(ts, args[0])
	if len(objects) == 0 {
		ts.Fatalf("%s has no object", args[0])
	}
	for _, o := range objects {
		var got []string
		for key := range o {
			got = append(got, key)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			ts.Fatalf("got the keys %v, want %v", got, want)
		}
	}
}

// cmdJSONIs checks a value, which stands in the script as JSON; a dot leads into
// an object:
//
//	jsonis FILE key value
func cmdJSONIs(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: jsonis FILE key value")
	}
	objects := documents(ts, args[0])
	if len(objects) == 0 {
		ts.Fatalf("%s has no object", args[0])
	}
	for _, o := range objects {
		var at any = o
		for _, key := range strings.Split(args[1], ".") {
			m, _ := at.(map[string]any)
			at = m[key]
		}
		got, err := json.Marshal(at)
		ts.Check(err)
		if equal := string(got) == args[2]; equal == neg {
			ts.Fatalf("%s: got %s, want it to be %s: %v", args[1], got, args[2], !neg)
		}
	}
}

// documents returns the objects of a file: those that stand there one after the
// other, and those in lists.
func documents(ts *testscript.TestScript, file string) []map[string]any {
	var out []map[string]any
	for dec := json.NewDecoder(strings.NewReader(ts.ReadFile(file))); dec.More(); {
		var v any
		ts.Check(dec.Decode(&v))
		all := []any{v}
		if list, ok := v.([]any); ok {
			all = list
		}
		for _, v := range all {
			o, ok := v.(map[string]any)
			if !ok {
				ts.Fatalf("%s holds %T", file, v)
			}
			out = append(out, o)
		}
	}
	return out
}
