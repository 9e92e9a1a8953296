package slotkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
)

func newArena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func take(t testing.TB, a *secret.Arena, s string) secret.Bytes {
	t.Helper()
	b, err := a.Take([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Destroy)
	return b
}

// text returns what b holds; in tests it is no secret.
func text(t testing.TB, b secret.Bytes) (s string) {
	t.Helper()
	if err := b.Use(func(p []byte) error {
		s = string(p)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// codes are codes that other implementations can be held against; the first is on the
// page docs/vault-format.md.
var codes = map[string]string{
	"000102030405060708090a0b0c0d0e0f": "NSR1-abandon-amount-liar-amount-expire-adjust-cage-candy-arch-gather-drum-bunker-settle",
	"00000000000000000000000000000000": "NSR1-abandon-abandon-abandon-abandon-abandon-abandon-abandon-abandon-abandon-abandon-abandon-about-swarm",
	"ffffffffffffffffffffffffffffffff": "NSR1-zoo-zoo-zoo-zoo-zoo-zoo-zoo-zoo-zoo-zoo-zoo-zoo-frown",
}

func TestWordListIsBIP39(t *testing.T) {
	if sum := sha256.Sum256([]byte(wordText)); hex.EncodeToString(sum[:]) != "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda" {
		t.Errorf("words.txt has the hash %x", sum)
	}
	if len(wordList) != 1<<wordBits || !slices.IsSorted(wordList) {
		t.Errorf("%d words, sorted: %v", len(wordList), slices.IsSorted(wordList))
	}
	for _, w := range wordList {
		if len(w) > longest {
			t.Errorf("%s is longer than %d letters", w, longest)
		}
	}
}

func TestCodeVectors(t *testing.T) {
	a := newArena(t)
	for key, want := range codes {
		raw, err := hex.DecodeString(key)
		if err != nil {
			t.Fatal(err)
		}
		b, err := EncodeCode(a, take(t, a, string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if got := text(t, b); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
		again, err := DecodeCode(a, b)
		if err != nil || hex.EncodeToString([]byte(text(t, again))) != key {
			t.Errorf("%s: decoded to another key, or %v", key, err)
		}
	}
	if _, err := EncodeCode(a, take(t, a, "short")); !errors.Is(err, ErrCode) {
		t.Errorf("a short key: got %v", err)
	}
}

// TestCodeAsPeopleTypeIt: case, blanks, hyphens and line ends do not count, nor does a
// missing prefix.
func TestCodeAsPeopleTypeIt(t *testing.T) {
	a := newArena(t)
	code := codes["000102030405060708090a0b0c0d0e0f"]
	words := strings.TrimPrefix(code, Prefix+"-")
	for _, typed := range []string{
		code, strings.ToUpper(code), strings.ToLower(code), words, "  " + code + " \r\n",
		strings.ReplaceAll(code, "-", " "), strings.ReplaceAll(words, "-", "\n"), strings.ReplaceAll(words, "-", ", "),
		strings.ReplaceAll(words, "-", " - "), strings.ReplaceAll(words, "-", "\t"), "nsr1 " + strings.ReplaceAll(words, "-", "--"),
	} {
		b, err := DecodeCode(a, take(t, a, typed))
		if err != nil {
			t.Errorf("%q: %v", typed, err)
			continue
		}
		if got := hex.EncodeToString([]byte(text(t, b))); got != "000102030405060708090a0b0c0d0e0f" {
			t.Errorf("%q: got %s", typed, got)
		}
	}
}

// TestMistypedCode: a mistake is told from a code that belongs to another vault, says
// where it is, and shows no word.
func TestMistypedCode(t *testing.T) {
	a := newArena(t)
	words := strings.Split(codes["000102030405060708090a0b0c0d0e0f"], "-")[1:]
	with := func(i int, word string) string {
		w := slices.Clone(words)
		w[i] = word
		return strings.Join(w, " ")
	}
	swapped := slices.Clone(words)
	swapped[3], swapped[4] = swapped[4], swapped[3]
	cases := map[string]struct{ typed, want string }{
		"empty":          {"", "0 words instead of 13"},
		"prefix alone":   {"NSR1", "0 words instead of 13"},
		"a word short":   {strings.Join(words[:12], " "), "12 words instead of 13"},
		"a word more":    {strings.Join(words, " ") + " zoo", "14 words instead of 13"},
		"many words":     {strings.Repeat("zoo ", 100), "100 words instead of 13"},
		"swapped":        {strings.Join(swapped, " "), "wrong order"},
		"another word":   {with(5, "zoo"), "another one"},
		"last word":      {with(12, "zoo"), "another one"},
		"prefix twice":   {"NSR1 NSR1 " + strings.Join(words, " "), ""},
		"newer code":     {"NSR2 " + strings.Join(words, " "), "word 1 is none"},
		"a long word":    {with(0, strings.Repeat("a", 300)), "word 1 is none"},
		"not ASCII":      {with(7, "amöunt"), "word 8 is none"},
		"a NUL":          {with(7, "amount\x00"), "word 8 is none"},
		"letters joined": {strings.Join(words, ""), "word 1 is none"},
	}
	for i := range words {
		cases[fmt.Sprintf("misspelled %d", i+1)] = struct{ typed, want string }{with(i, "amuont"), fmt.Sprintf("word %d is none", i+1)}
	}
	for name, c := range cases {
		b, err := DecodeCode(a, take(t, a, c.typed))
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.Is(err, ErrCode) || !strings.Contains(err.Error(), c.want) || !b.IsZero() {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
			continue
		}
		for _, w := range append(strings.Fields(c.typed), words...) {
			if len(w) > 3 && slices.Contains(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == ' ' || r == ';' || r == ':' }), w) && w != "word" {
				t.Errorf("%s: the error shows %q: %v", name, w, err)
			}
		}
	}
}

// TestEveryWordCounts: no other word in any place passes the check more often than
// chance lets it, about once in 32,768 times.
func TestEveryWordCounts(t *testing.T) {
	a := newArena(t)
	words := strings.Split(codes["000102030405060708090a0b0c0d0e0f"], "-")[1:]
	passed, tried := 0, 0
	for i, right := range words {
		for _, w := range wordList {
			if w == right {
				continue
			}
			typed := slices.Clone(words)
			typed[i] = w
			b := take(t, a, strings.Join(typed, "-"))
			key, err := DecodeCode(a, b)
			if tried++; err == nil {
				passed++
			}
			key.Destroy()
			b.Destroy()
		}
	}
	if passed > 8 {
		t.Errorf("%d of %d wrong words pass", passed, tried)
	}
}

func TestHasWord(t *testing.T) {
	a := newArena(t)
	code := take(t, a, codes["000102030405060708090a0b0c0d0e0f"])
	for _, c := range []struct {
		n     int
		typed string
		want  bool
	}{
		{1, "abandon", true}, {2, " AMOUNT ", true}, {3, "liar", true}, {13, "settle", true},
		{0, "NSR1", false}, {1, "amount", false}, {3, "lia", false}, {3, "liars", false}, {3, "", false}, {14, "", false}, {20, "settle", false},
	} {
		if got := HasWord(code, c.n, take(t, a, c.typed)); got != c.want {
			t.Errorf("word %d is %q: got %v", c.n, c.typed, got)
		}
	}
}

func FuzzDecodeCode(f *testing.F) {
	for _, code := range codes {
		f.Add([]byte(code))
		f.Add([]byte(strings.ToUpper(strings.ReplaceAll(code, "-", "  "))))
	}
	f.Add([]byte("NSR1-"))
	f.Add([]byte("zoo zoo\xff"))
	a := newArena(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > MaxText {
			return
		}
		in, err := a.Take(bytes.Clone(p))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Destroy()
		key, err := DecodeCode(a, in)
		defer key.Destroy()
		if err != nil {
			if !errors.Is(err, ErrCode) || !key.IsZero() {
				t.Fatalf("an error with a key, or another error: %v", err)
			}
			return
		}
		out, err := EncodeCode(a, key)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Destroy()
		// What was typed is the same words, whatever stood between them.
		got := strings.FieldsFunc(strings.ToLower(string(p)), between)
		if len(got) > 0 && got[0] == "nsr1" {
			for len(got) > 0 && got[0] == "nsr1" {
				got = got[1:]
			}
		}
		if want := strings.TrimPrefix(text(t, out), Prefix+"-"); strings.Join(got, "-") != want {
			t.Fatalf("%q decodes to the key of %q", p, want)
		}
	})
}
