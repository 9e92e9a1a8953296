package tomlnest

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"
)

// depth returns how many tables and arrays of a value are within each other, as the parser
// has it.
func depth(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			n = max(n, depth(e))
		}
	case []map[string]any:
		for _, e := range v {
			n = max(n, depth(e))
		}
	case []any:
		for _, e := range v {
			n = max(n, depth(e))
		}
	default:
		return 0
	}
	return n + 1
}

// decoded returns how deep the values of a text are, the text itself not counted; false
// where it is no TOML.
func decoded(text string) (int, bool) {
	var values map[string]any
	_, err := toml.Decode(text, &values)
	return depth(values) - 1, err == nil
}

// Strings end where the parser ends them: what is behind one counts, what is in it does not.
// One or two quotes may stand right before the three that end a long string.
func TestStringsEndAsForTheParser(t *testing.T) {
	const deep = Max + 1
	nested := strings.Repeat("[", deep) + strings.Repeat("]", deep)
	for _, s := range []string{
		`""`, `''`, `"a"`, `'a'`, `"\""`, `"\\"`, `'\'`, `"'"`, `'"'`, `"[#"`, `'[#'`,
		`""""""`, `''''''`, `"""a"""`, `'''a'''`, `"""a""""`, `'''a''''`, `"""a"""""`, `'''a'''''`,
		`""""a"""`, `''''a'''`, `"""""a"""`, `'''''a'''`, `"""a""b"""`, `'''a''b'''`,
		`""""""""`, `''''''''`, `"""\""""`, `"""\"""""`, `"""\""""""`, `"""\\"""`, `"""\\"""""`, `"""\\""""""`, `'''\'''`, `'''\'''''`,
		"\"\"\"\n\"\n\"\"\"\"", "'''\n'\n''''", "\"\"\"\\\n\"\"\"", "\"\"\"[\\\r\n\"\"\"", `"""'''"""`, `'''"""'''`,
	} {
		behind := "x = [" + s + ", " + nested + "]"
		if d, ok := decoded(behind); !ok || d != deep+1 {
			t.Fatalf("%s: the parser takes it to nest %d levels, and for TOML: %t", s, d, ok)
		}
		if Fine(behind) {
			t.Errorf("%s: what is behind it is not counted", s)
		}
		if !Fine("x = [" + s + ", 1]\ny = 1") {
			t.Errorf("%s: it is counted itself", s)
		}
	}
	for _, s := range []string{`"""a""""""`, `'''a''''''`, `"""\\"""""""`} {
		if _, ok := decoded("x = " + s); ok {
			t.Errorf("%s: the parser takes more quotes than two before the end", s)
		}
	}
}

// Max brackets within each other are fine, and Max dots in a key; one more is not, whatever
// closes in between.
func TestMost(t *testing.T) {
	brackets := func(n int) string { return "x = [[], " + strings.Repeat("[", n-1) + strings.Repeat("]", n) }
	tables := func(n int) string { return "x = " + strings.Repeat("{a = ", n) + "1" + strings.Repeat("}", n) }
	lines := func(n int) string { return "x = " + strings.Repeat("[ # [\n", n) + strings.Repeat("]\n", n) }
	dots := func(n int) string { return "x = {b.c = 1.5, a" + strings.Repeat(".a", n) + " = 1}" }
	header := func(n int) string { return "[a" + strings.Repeat(".a", n) + "]" }
	for _, of := range []func(int) string{brackets, tables, lines, dots, header} {
		if !Fine(of(Max)) {
			t.Errorf("refused: %q", of(Max))
		}
		if Fine(of(Max + 1)) {
			t.Errorf("not refused: %q", of(Max+1))
		}
		for _, text := range []string{of(Max), of(Max + 1)} {
			if _, ok := decoded(text); !ok {
				t.Errorf("no TOML: %q", text)
			}
		}
	}
}

// Where a line begins is known: the next one is a statement only outside of all.
func TestInside(t *testing.T) {
	for line, inside := range map[string]bool{
		"x = 1": false, "x = [": true, "x = [ # ]": true, "x = '''": true, `x = """a"`: true, "x = ['''\n''']": false, "x = '": false, "[a]": false,
	} {
		var c Counter
		for part := range strings.SplitSeq(line, "\n") {
			c.Line(part)
		}
		if c.Inside() != inside {
			t.Errorf("behind %q: got %t", line, c.Inside())
		}
	}
}

// anyString is a text in quotes that is TOML most of the time.
func anyString(t *rapid.T) string {
	quote := rapid.SampledFrom([]string{`"`, `'`, `"""`, `'''`}).Draw(t, "quote")
	parts := []string{"a", "[", "{", "]", "}", "#", "=", ".", ","}
	switch quote {
	case `"`:
		parts = append(parts, `\"`, `\\`, `'`)
	case `'`:
		parts = append(parts, `\`, `"`)
	case `"""`:
		parts = append(parts, `\"`, `\\`, `'''`, "\n", "\\\n", `"`, `""`)
	case `'''`:
		parts = append(parts, `\`, `"""`, "\n", `'`, `''`)
	}
	text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 0, 6).Draw(t, "text"), "")
	if len(quote) > 1 {
		text += strings.Repeat(quote[:1], rapid.IntRange(0, 2).Draw(t, "before the end"))
	}
	return quote + text + quote
}

// anyValue is a value that nests levels deep, and in which other values are beside those.
func anyValue(t *rapid.T, levels int) string {
	if levels == 0 {
		return anyString(t)
	}
	all := []string{anyString(t), anyValue(t, levels-1), anyString(t)}
	between := rapid.SampledFrom([]string{",", ", ", ", # ' [\n", ",\n"}).Draw(t, "between")
	if rapid.Bool().Draw(t, "array") {
		return "[" + strings.Join(all, between) + "]"
	}
	return "{a = " + all[0] + between + `"'" = ` + all[1] + between + `'"' = ` + all[2] + "}"
}

// Of what is TOML, exactly that is refused which the parser nests more deeply.
func TestCountsAsTheParser(t *testing.T) {
	seen := make(map[bool]int)
	rapid.Check(t, func(t *rapid.T) {
		text := "x = " + anyValue(t, rapid.IntRange(0, Max+3).Draw(t, "levels")) + "\ny = " + anyValue(t, rapid.IntRange(0, 2).Draw(t, "others"))
		d, ok := decoded(text)
		if !ok {
			return
		}
		seen[d <= Max]++
		if fine := Fine(text); fine != (d <= Max) {
			t.Fatalf("%d levels, fine: %t\n%s", d, fine, text)
		}
	})
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("of %d texts that are fine and %d that are not", seen[true], seen[false])
	}
}

// FuzzFine: whatever the text, what is not refused nests for the parser as far as brackets
// and keys allow, and no further.
func FuzzFine(f *testing.F) {
	for _, quote := range []string{"'''a''''", `"""a"""""`, `"""\\""""""`, `'\'`, `"\""`} {
		f.Add("x = [" + quote + ", " + strings.Repeat("{a=", 200) + "1" + strings.Repeat("}", 200) + "]")
	}
	f.Add("[[a.b]]\nc.d = {e = [1, # [\n2]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		const (
			header  = 2 * (Max + 1)            // of each part a table, and an array around it
			longest = header + (Max+1)*(Max+1) // of each bracket a key
		)
		if len(text) > 8<<10 || !Fine(text) {
			return
		}
		if d, ok := decoded(text); ok && d > longest {
			t.Errorf("%d levels: %q", d, text)
		}
	})
}
