package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// golden is every field at once; each byte of the format is fixed by it.
const golden = `{"seq":7,"time":"2026-11-22T20:10:42.000120Z","event":"connect-password","outcome":"denied",` +
	`"reason":"NSA-READONLY","profile":"acme-prod","account":"1234567_SB1","kind":"tba","method":"POST",` +
	`"host":"1234567-sb1.suitetalk.api.netsuite.com","path":"/services/rest/record/v1/customer","restlet":"customscript_a-B/2","uid":1000,` +
	`"pid":4242,"exe":"/opt/Jürgen \"x\"/a\\b","grant":"g_aebagbafaydqqcikbmga2dqpca","rule":"nightly load","detail":"idle","prev":"` + zeros + "\"}\n"

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

var goldenEntry = Entry{
	Seq: 7, Time: time.Date(2026, 11, 22, 20, 10, 42, 120_000, time.UTC), Event: EventConnectPassword,
	Outcome: OutcomeDenied, Reason: "NSA-READONLY", Profile: "acme-prod", Account: "1234567_SB1", Kind: "tba",
	Method: "POST", Host: "1234567-sb1.suitetalk.api.netsuite.com", Path: "/services/rest/record/v1/customer", RESTlet: "customscript_a-B/2",
	UID: 1000, PID: 4242, Exe: `/opt/Jürgen "x"/a\b`, Grant: "g_aebagbafaydqqcikbmga2dqpca", Rule: "nightly load", Detail: "idle",
}

func TestGoldenLine(t *testing.T) {
	if got := string(goldenEntry.AppendLine(nil)); got != golden {
		t.Errorf("formatting:\ngot  %swant %s", got, golden)
	}
	got, err := ParseLine([]byte(golden))
	if err != nil || got != goldenEntry {
		t.Errorf("parsing:\ngot  %+v, %v\nwant %+v", got, err, goldenEntry)
	}
	p, err := json.Marshal(goldenEntry)
	if err != nil || string(p)+"\n" != golden {
		t.Errorf("marshalling: got %s, %v", p, err)
	}
}

func TestShortestLine(t *testing.T) {
	e := Entry{Seq: 1, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Event: EventAgentStop, Outcome: OutcomeOK, UID: -7, PID: -1}
	want := `{"seq":1,"time":"2026-01-02T03:04:05.000000Z","event":"agent.stop","outcome":"ok","uid":-1,"pid":-1,"prev":"` + zeros + "\"}\n"
	if got := string(e.AppendLine(nil)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestParseIsStrict(t *testing.T) {
	edit := func(old, new string) string {
		if !strings.Contains(golden, old) {
			t.Fatalf("%q is not in the golden line", old)
		}
		return strings.Replace(golden, old, new, 1)
	}
	for what, line := range map[string]string{
		"empty":                    "",
		"no newline":               strings.TrimSuffix(golden, "\n"),
		"carriage return":          edit("}\n", "}\r\n"),
		"two newlines":             golden + "\n",
		"two lines":                golden + golden,
		"space before":             " " + golden,
		"space after colon":        edit(`"seq":7`, `"seq": 7`),
		"space at end":             edit("}\n", "} \n"),
		"seq zero":                 edit(`"seq":7`, `"seq":0`),
		"seq with leading zero":    edit(`"seq":7`, `"seq":07`),
		"seq negative":             edit(`"seq":7`, `"seq":-7`),
		"seq with plus":            edit(`"seq":7`, `"seq":+7`),
		"seq with fraction":        edit(`"seq":7`, `"seq":7.0`),
		"seq with exponent":        edit(`"seq":7`, `"seq":7e0`),
		"seq too large":            edit(`"seq":7`, `"seq":18446744073709551616`),
		"seq missing":              edit(`"seq":7,`, ``),
		"seq text":                 edit(`"seq":7`, `"seq":"7"`),
		"key in capitals":          edit(`"profile"`, `"Profile"`),
		"key escaped":              edit(`"profile"`, `"\u0070rofile"`),
		"unknown key":              edit(`"uid"`, `"gid":1,"uid"`),
		"repeated key":             edit(`"uid":1000`, `"uid":1000,"uid":1000`),
		"other order":              edit(`"uid":1000,"pid":4242`, `"pid":4242,"uid":1000`),
		"empty optional":           edit(`"kind":"tba"`, `"kind":""`),
		"null optional":            edit(`"kind":"tba"`, `"kind":null`),
		"needless escape":          edit(`tba`, `tb\u0061`),
		"escaped slash":            edit(`/v1/customer`, `\/v1/customer`),
		"escaped newline":          edit(`idle`, `id\nle`),
		"raw newline":              edit(`idle`, "id\nle"),
		"raw control":              edit(`idle`, "id\x01le"),
		"raw delete":               edit(`idle`, "id\x7fle"),
		"direction mark":           edit(`idle`, "id\u202ele"),
		"not utf-8":                edit(`idle`, "id\xffle"),
		"backslash alone":          edit(`idle`, `idle\`),
		"text not closed":          edit(`idle"`, `idle`),
		"query in path":            edit(`/v1/customer`, `/v1/customer?q`),
		"fragment in path":         edit(`/v1/customer`, `/v1/customer#q`),
		"RESTlet empty":            edit(`customscript_a-B/2`, ``),
		"RESTlet without deploy":   edit(`customscript_a-B/2`, `customscript_a-B`),
		"RESTlet of three":         edit(`customscript_a-B/2`, `a/b/2`),
		"RESTlet with a query":     edit(`customscript_a-B/2`, `a/2&x=1`),
		"RESTlet too long":         edit(`customscript_a-B/2`, strings.Repeat("s", maxScript+1)+"/2"),
		"RESTlet escaped":          edit(`customscript_a-B/2`, `a\\b/2`),
		"kind too long":            edit(`tba`, strings.Repeat("t", maxKind+1)),
		"path too long":            edit(`/services`, "/"+strings.Repeat("s", maxPath)),
		"line too long":            edit(`tba`, strings.Repeat("t", MaxLine)),
		"event with capitals":      edit(`connect-password`, `Sign`),
		"event empty":              edit(`connect-password`, ``),
		"event with dots":          edit(`connect-password`, `a..b`),
		"event ends in dot":        edit(`connect-password`, `sign.`),
		"event too long":           edit(`connect-password`, strings.Repeat("a", maxEvent+1)),
		"event not closed":         edit(`connect-password"`, `connect-password`),
		"unknown outcome":          edit(`denied`, `allowed`),
		"uid with leading zero":    edit(`"uid":1000`, `"uid":01000`),
		"uid minus zero":           edit(`"uid":1000`, `"uid":-0`),
		"uid minus two":            edit(`"uid":1000`, `"uid":-2`),
		"uid minus eleven":         edit(`"uid":1000`, `"uid":-11`),
		"uid too large":            edit(`"uid":1000`, `"uid":9223372036854775808`),
		"uid text":                 edit(`"uid":1000`, `"uid":"1000"`),
		"pid missing":              edit(`"pid":4242,`, ``),
		"time with offset":         edit(`120Z`, `120+00:00`),
		"time in lower case":       edit(`000120Z`, `000120z`),
		"time with three decimals": edit(`000120Z`, `000Z`),
		"time with letters":        edit(`20:10:42`, `20:1O:42`),
		"month 13":                 edit(`2026-11`, `2026-13`),
		"30 February":              edit(`2026-11-22`, `2026-02-30`),
		"hour 24":                  edit(`T20:`, `T24:`),
		"second 60":                edit(`:42.`, `:60.`),
		"hash in capitals":         edit(zeros, "A"+zeros[1:]),
		"hash too short":           edit(zeros, zeros[2:]),
		"hash too long":            edit(zeros, zeros+"00"),
		"hash not hex":             edit(zeros, "g"+zeros[1:]),
		"array":                    "[" + strings.TrimSuffix(golden, "\n") + "]\n",
	} {
		if e, err := ParseLine([]byte(line)); !errors.Is(err, ErrLine) || e != (Entry{}) {
			t.Errorf("%s: got %+v, %v, want ErrLine", what, e, err)
		}
	}
}

func TestParseTakesEventsToCome(t *testing.T) {
	e, err := ParseLine([]byte(strings.Replace(golden, "connect-password", "grant.new", 1)))
	if err != nil || e.Event != "grant.new" {
		t.Errorf("got %q, %v", e.Event, err)
	}
}

func TestTimes(t *testing.T) {
	for _, in := range []time.Time{
		{},
		time.Unix(0, 0),
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(2024, 2, 29, 12, 0, 0, 1, time.UTC),
		time.Date(2026, 7, 1, 0, 30, 0, 999_999, time.FixedZone("", 2*3600)),
		time.Now(),
	} {
		want := in.UTC().Format("2006-01-02T15:04:05.000000Z")
		if got := string(appendTime(nil, in)); got != want {
			t.Errorf("%v: got %s, want %s", in, got, want)
		}
	}
	for _, in := range []time.Time{
		time.Date(-5, 3, 4, 5, 6, 7, 0, time.UTC),
		time.Date(12345, 3, 4, 5, 6, 7, 0, time.UTC),
		time.Unix(math.MaxInt64/2, 0),
	} {
		e := goldenEntry
		e.Time = in
		if _, err := ParseLine(e.AppendLine(nil)); err != nil {
			t.Errorf("%v: %v", in, err)
		}
	}
}

func TestLongestLine(t *testing.T) {
	s := strings.Repeat(`"`, 5000)
	e := Entry{
		Seq: math.MaxUint64, Event: strings.Repeat("e", maxEvent), Outcome: OutcomeDenied, Reason: s, Profile: s, Account: s,
		Kind: s, Method: s, Host: s, Path: s, UID: math.MaxInt, PID: math.MaxInt, Exe: s, Grant: s, Rule: s, Detail: s,
	}
	line := e.AppendLine(nil)
	if len(line) >= MaxLine {
		t.Fatalf("%d bytes", len(line))
	}
	if _, err := ParseLine(line); err != nil {
		t.Error(err)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(golden))
	for _, line := range splitLines(sample(f, 2)) {
		f.Add(line)
	}
	f.Add([]byte(strings.Replace(golden, "idle", "…\uFFFD𝄞", 1)))
	f.Add([]byte(`{"seq":1}` + "\n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := ParseLine(line)
		if err != nil {
			if !errors.Is(err, ErrLine) || e != (Entry{}) {
				t.Fatalf("refused with %+v, %v", e, err)
			}
			return
		}
		if again := e.AppendLine(nil); !bytes.Equal(again, line) {
			t.Fatalf("parsed and formatted:\ngot  %swant %s", again, line)
		}
		if !json.Valid(line) {
			t.Fatalf("not JSON: %s", line)
		}
	})
}

// FuzzEvent puts arbitrary texts into an event: what is written must parse, in one line.
func FuzzEvent(f *testing.F) {
	f.Add("acme", "/a?b", `"`, "\\", int64(0), 0)
	f.Add("acme", "customscript_a/2", "h", "/a", int64(0), 0)
	f.Add("\n", "\xff", "\u202e", strings.Repeat("é", 300), int64(-1), -5)
	f.Fuzz(func(t *testing.T, profile, path, host, exe string, nano int64, uid int) {
		body := appendBody(nil, &Event{
			Time: time.Unix(0, nano), Event: EventSign, Outcome: OutcomeFailed, Profile: profile, Path: path, RESTlet: path,
			Host: host, Exe: exe, Grant: profile, Rule: exe, Detail: profile + path, Kind: host, Account: exe, Method: path, Reason: exe, UID: uid, PID: uid,
		})
		line := appendLine(nil, 1, body, &Hash{})
		if bytes.IndexByte(line, '\n') != len(line)-1 || len(line) >= MaxLine {
			t.Fatalf("not one line: %q", line)
		}
		e, err := ParseLine(line)
		if err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if again := e.AppendLine(nil); !bytes.Equal(again, line) {
			t.Fatalf("not stable:\ngot  %swant %s", again, line)
		}
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil || e.Profile != "" && m["profile"] != e.Profile {
			t.Fatalf("JSON disagrees: %v, %v, %+v", err, m, e)
		}
	})
}
