package command

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/doctor"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func TestSeconds(t *testing.T) {
	for n, want := range map[int64]string{
		-5: "0s", 0: "0s", 1: "1s", 59: "59s", 60: "1m", 90: "1m30s", 599: "9m59s", 600: "10m", 3599: "1h", 3600: "1h",
		5400: "1h30m", 43199: "12h", 43200: "12h", 86400: "24h", 172800: "2d", 7 * 86400: "7d", 7*86400 + 3700: "7d1h",
	} {
		if got := seconds(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for _, test := range []struct {
		n           uint64
		thing, want string
	}{{0, "profile", "0 profiles"}, {1, "profile", "1 profile"}, {2, "entry", "2 entries"}, {1, "entry", "1 entry"}} {
		if got := count(test.n, test.thing); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"8h": 8 * time.Hour, "30d": 720 * time.Hour, "1h30m": 90 * time.Minute} {
		var d duration
		if err := d.Set(text); err != nil || time.Duration(d) != want {
			t.Errorf("%s: got %s, %v, want %s", text, time.Duration(d), err, want)
		}
	}
	for _, text := range []string{"", "8", "0", "0s", "0d", "-8h", "d", "-1d", "1.5d", "99999999d", "8 h", "soon"} {
		var d duration
		if err := d.Set(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, time.Duration(d))
		}
	}
}

func TestTableLinesUp(t *testing.T) {
	var out bytes.Buffer
	e := testEnv(&out)
	if err := e.table([][]string{{"NAME", "NOTE"}, {"a", "x"}, {"münchen", "\x1b[31mred\n"}}); err != nil {
		t.Fatal(err)
	}
	want := "NAME     NOTE\na        x\nmünchen  [31mred\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestTableFitsTheTerminal counts wide characters as two columns, and marks as none.
func TestTableFitsTheTerminal(t *testing.T) {
	rows := func() [][]string {
		return [][]string{{"NAME", "ACCOUNT", "NOTE"}, {"東京", "1234567_SB1", "夜間の読み込み、顧客と注文のすべて"}, {"cafe\u0301", "7", strings.Repeat("long ", 20)}}
	}
	for _, columns := range []int{0, 40, 80} {
		var out bytes.Buffer
		e := testEnv(&out)
		e.screen.columns = columns
		if err := e.table(rows()); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		second := columnsOf(lines[0][:strings.Index(lines[0], "ACCOUNT")])
		for _, line := range lines {
			if n := columnsOf(line); columns > 0 && n > columns {
				t.Errorf("%d columns: a line takes %d: %q", columns, n, line)
			}
			if cut := strings.Contains(line, "…"); cut && columns == 0 {
				t.Errorf("no terminal: %q is cut", line)
			}
		}
		for i, name := range map[int]string{1: "東京", 2: "cafe\u0301"} {
			if got := columnsOf(name) + len(lines[i][len(name):]) - len(strings.TrimLeft(lines[i][len(name):], " ")); got != second {
				t.Errorf("%d columns: the second column of %q begins at %d, want %d", columns, lines[i], got, second)
			}
		}
	}
}

func TestColumnsOf(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "münchen": 7, "東京": 4, "cafe\u0301": 4, "ｆｕｌｌ": 8, "🔑": 2, "a\u200bb": 2, "…": 1} {
		if got := columnsOf(text); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string]string{"abcdef": "abcd…", "東京都庁": "東京…", "abcde": "abcde", "ab  cd": "ab…"} {
		if got := cut(text, 5); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// TestColourIsForTerminals wants it nowhere else, and everywhere the same text.
func TestColourIsForTerminals(t *testing.T) {
	finding := []doctor.Finding{{Check: "c", Level: doctor.Problem, Text: "t", Fix: "f"}}
	shown := func(output string, s screen) (stdout, stderr string) {
		var out, said bytes.Buffer
		e := testEnv(&out)
		e.stderr, e.output, e.screen, e.errScreen = &said, output, s, s
		e.exit(e.reportFindings(finding))
		return out.String(), said.String()
	}
	sgr := regexp.MustCompile("\x1b\\[[0-9]*m")
	for _, output := range []string{"text", "json", "jsonl"} {
		plainOut, plainErr := shown(output, screen{})
		out, said := shown(output, screen{columns: 80, colours: true})
		if sgr.MatchString(plainOut + plainErr) {
			t.Errorf("%s: no terminal: %q", output, plainOut+plainErr)
		}
		if sgr.MatchString(out) != (output == "text") || !sgr.MatchString(said) {
			t.Errorf("%s: on a terminal: %q and %q", output, out, said)
		}
		if sgr.ReplaceAllString(out, "") != plainOut || sgr.ReplaceAllString(said, "") != plainErr {
			t.Errorf("%s: colour changes the text: %q, %q", output, out, said)
		}
	}
}

func TestSheetWraps(t *testing.T) {
	var out bytes.Buffer
	e := testEnv(&out)
	long := strings.Repeat("word ", 40)
	if err := e.sheet([][2]string{{"name", "a"}, {"note", long + strings.Repeat("x", 120)}}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) < 4 || !strings.HasPrefix(lines[2], "      word") {
		t.Errorf("got\n%s", out.String())
	}
	for _, line := range lines {
		if len(line) > sheetWidth && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("a line has %d characters: %q", len(line), line)
		}
	}
	if got := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(got, strings.TrimSpace(long)) {
		t.Errorf("words were lost: %s", got)
	}
}

// TestWhatIsTypedStaysOnOneLine guards commands at the end of a sentence, which are copied.
func TestWhatIsTypedStaysOnOneLine(t *testing.T) {
	s := "needed, since nobody has logged in yet:  nsagent login -p me"
	for width, want := range map[int]string{
		100: s,
		50:  "needed, since nobody has logged in yet:\nnsagent login -p me",
		20:  "needed, since nobody\nhas logged in yet:\nnsagent login -p me",
		10:  "needed,\nsince\nnobody has\nlogged in\nyet:\nnsagent login -p me",
	} {
		if got := strings.Join(wrap(s, width), "\n"); got != want {
			t.Errorf("%d columns: got\n%s\nwant\n%s", width, got, want)
		}
	}
}

// TestFindingsFitANarrowTerminal wants the text below the name where there is no room
// beside it, and nothing of it lost.
func TestFindingsFitANarrowTerminal(t *testing.T) {
	all := []found{{level: "problem", name: "memory.hibernation", text: "this machine can hibernate to a swap file", why: "keys would be in it", fix: "do this"}}
	for columns, want := range map[int]string{
		80: "problem  memory.hibernation  this machine can hibernate to a swap file\n                             keys would be in it\n                             -> do this\n",
		40: "problem  memory.hibernation\n         this machine can hibernate to a\n         swap file\n         keys would be in it\n         -> do this\n",
	} {
		var out bytes.Buffer
		e := testEnv(&out)
		e.screen.columns = columns
		if err := e.printFound(all); err != nil || out.String() != want {
			t.Errorf("%d columns: %v, got\n%s\nwant\n%s", columns, err, out.String(), want)
		}
	}
}

// broken is a writer that fails after some bytes.
type broken struct{ room int }

func (b *broken) Write(p []byte) (int, error) {
	if b.room -= len(p); b.room < 0 {
		return 0, errors.New("no room")
	}
	return len(p), nil
}

func TestLostOutputIsAFailure(t *testing.T) {
	var said bytes.Buffer
	e := testEnv(nil)
	e.stdout, e.stderr = &sink{w: &broken{room: 3}}, &said
	if err := e.print("a"); err != nil {
		t.Errorf("got %v for what was written", err)
	}
	if err := e.print("b, which does not fit"); err == nil {
		t.Error("got no error for what was not written")
	}
	if code := e.exit(nil); code != 1 || !strings.HasPrefix(said.String(), "nsagent: writing the output\n  no room") {
		t.Errorf("got exit code %d and %q", code, said.String())
	}
}

// TestErrorsAreThreeLines holds what exit prints against the shape of an error.
func TestErrorsAreThreeLines(t *testing.T) {
	for _, test := range []struct {
		err  error
		code int
		want string
	}{
		{usage("a", "", ""), 2, "nsagent: a\n  it is not what the command takes\n  see:  nsagent --help                                             [NSA-USAGE]\n"},
		{usage("a", "b", "c"), 2, "nsagent: a\n  b\n  c                                                                [NSA-USAGE]\n"},
		{&client.Error{Code: pb.CodeLocked, Message: "x\x1b[2Jy", Why: "1\n2\r3"}, 4, "nsagent: x [2Jy\n  1 2 3\n  unlock it:  nsagent unlock                                       [NSA-LOCKED]\n"},
		{fmt.Errorf("asking: %w", &client.Error{Code: pb.CodeAgent, Message: "m", Why: "socketpath: not a socket: x"}), 7,
			"nsagent: m\n  not a socket: x\n  see what is the matter:  nsagent doctor                          [NSA-AGENT]\n"},
		{errors.New("vault: store: damaged: unexpected EOF"), 1, "nsagent: damaged\n  it ends too early\n  see what this machine lacks:  nsagent doctor                     [NSA-INTERNAL]\n"},
		{exitCode(42), 42, ""},
	} {
		var said bytes.Buffer
		e := testEnv(&bytes.Buffer{})
		e.stderr, e.quiet = &said, true
		if code := e.exit(test.err); code != test.code || said.String() != test.want {
			t.Errorf("got %d and %q, want %d and %q", code, said.String(), test.code, test.want)
		}
	}
}
