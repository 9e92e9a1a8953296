package command

import (
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
)

func testArena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func parse(t testing.TB, arena *secret.Arena, text string) (*draft, error) {
	t.Helper()
	b, err := arena.Take([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Destroy()
	return parseDraft(arena, b)
}

func reveal(t testing.TB, b secret.Bytes) string {
	t.Helper()
	s := ""
	if err := b.Use(func(p []byte) error { s = string(p); return nil }); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseDraft(t *testing.T) {
	arena := testArena(t)
	d, err := parse(t, arena, `{"account":" 1234567-sb1 ","auth":"tba","consumer_key":"ck","consumer_secret":"a\u0026b\"\\",
		"token_id":"ti","token_secret":"","owner":null,"scopes":["a","b"],"endpoint":"https://localhost:1"}`)
	if err != nil {
		t.Fatal(err)
	}
	defer d.destroy()
	if p := d.profile; p.GetAccount() != "1234567-sb1" || p.GetOwner() != "" || len(p.GetScopes()) != 2 || p.GetEndpoint() != "https://localhost:1" {
		t.Errorf("got %v", p)
	}
	if got := reveal(t, d.secrets["consumer_secret"]); got != `a&b"\` {
		t.Errorf("got %q", got)
	}
	if b, ok := d.secrets["token_secret"]; !ok || b.Len() != 0 {
		t.Errorf("an empty secret: got %d bytes, %v", b.Len(), ok)
	}
}

// TestRefusalsShowNoValue gives each kind of fault a secret to betray.
func TestRefusalsShowNoValue(t *testing.T) {
	const canary = "c4n4ry"
	arena := testArena(t)
	for _, text := range []string{
		`{"consumer_secret":"` + canary, `{"consumer_secret":"` + canary + `"`, `{"consumer_secret":"` + canary + `",}`,
		`{"consumer_secret":"` + canary + `","consumer_secret":"` + canary + `"}`, `{"consumer_secret":["` + canary + `"]}`,
		`{"token_secret":"\ud800` + canary + `"}`, `"` + canary + `"`, `{"account":["` + canary + `"]}`, `{"private_key":"` + canary + `"} "` + canary + `"`,
	} {
		d, err := parse(t, arena, text)
		switch {
		case err == nil:
			d.destroy()
			t.Errorf("%s: got no error", text)
		case strings.Contains(err.Error(), canary):
			t.Errorf("%s: the error shows the value: %v", text, err)
		}
	}
}

func TestUnescapeLines(t *testing.T) {
	for in, want := range map[string]string{
		`a\nb\n`: "a\nb\n", "a\nb\\n": "a\nb\\n", `a\tb\`: `a\tb\`, "": "", `\n`: "\n", `\\n`: "\\\n",
	} {
		p := []byte(in)
		if got := string(p[:unescapeLines(p)]); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestHex64(t *testing.T) {
	good := strings.Repeat("0aF9", 16)
	for text, want := range map[string]bool{good: true, good[1:]: false, good + "0": false, "g" + good[1:]: false, "": false} {
		if got := hex64([]byte(text)); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "acme-sb1": true, "0.a_b-c": true, strings.Repeat("a", 63): true,
		"": false, "A": false, "-a": false, ".a": false, "a..b": false, "a/b": false, "a b": false, "ä": false, "a\n": false, strings.Repeat("a", 64): false,
	} {
		if got := checkName(name) == nil; got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

// FuzzParseDraft looks for input that ends the program, that is taken although it
// is no object, or whose values a refusal shows.
func FuzzParseDraft(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"account":"1234567","auth":"m2m","scopes":["restlets"],"private_key":"-----BEGIN\nx","certificate":null}`,
		`{"consumer_secret":"\u00e4\n\"\\","token_secret":"` + strings.Repeat("x", 64) + `"}`, `[{}]`, `{"a":1}`, `{"auth":"\ud83d\ude00"}`, "\ufeff{}",
	} {
		f.Add([]byte(seed))
	}
	arena := testArena(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) == 0 || len(text) > maxProfile {
			return
		}
		d, err := parse(t, arena, string(text))
		if err != nil {
			if lines := strings.Count(err.Error(), "\n"); lines > 0 {
				t.Errorf("an error of %d lines: %v", lines, err)
			}
			return
		}
		defer d.destroy()
		if trimmed := strings.TrimSpace(string(text)); !strings.HasPrefix(trimmed, "{") || !strings.HasSuffix(trimmed, "}") {
			t.Errorf("took %q", text)
		}
		for field, b := range d.secrets {
			if b.Len() > len(text) {
				t.Errorf("%s is longer than what was read", field)
			}
		}
	})
}
