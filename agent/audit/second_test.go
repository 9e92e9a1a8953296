package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/needs"
)

// updateGolden writes the golden log anew. A released golden log is never changed: a new
// version of the format gets one of its own.
var updateGolden = flag.Bool("update-golden", false, "write the golden audit log anew")

// goldenLog is a log with two chains of checkpoints over several segments, whose last
// entries nobody signed. older.key is its key file as it once was.
const (
	goldenLog = "testdata/golden-v1"
	olderKey  = "older.key"
)

// second is the second implementation, which runs as long as the test.
type second struct {
	t   *testing.T
	in  io.Writer
	out *json.Decoder
}

// startSecond starts Debian's Python, with Debian's packages. Without the package that it
// needs, the test is skipped, unless it is required.
func startSecond(t *testing.T) *second {
	t.Helper()
	c := exec.Command(needs.Python(t, "nacl"), "testdata/verify.py", "-")
	c.Stderr = t.Output()
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := c.Wait(); err != nil {
			t.Errorf("the second implementation: %v", err)
		}
	})
	return &second{t, in, json.NewDecoder(out)}
}

// makeGolden writes the golden log.
func makeGolden(t *testing.T, dir string) {
	t.Helper()
	texts := []string{"", "idle", `say "yes" \ no`, "n\u00e4chtlich \u65e5\u672c \U0001f511", "tab\tand\x1b", "a\xffb"}
	fill := func(l *Log, n int) {
		for i := range n {
			e := use(i)
			e.Detail = texts[i%len(texts)]
			if i%5 == 4 {
				e = Event{Time: e.Time, Event: EventVaultLock, Outcome: OutcomeDenied, Reason: "NSA-DENIED", UID: -1, PID: -1, Detail: e.Detail}
			}
			if _, err := l.AppendSync(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, err := Open(dir, Options{SegmentSize: 4000, FlushEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	keys := newKeys()
	for round := range 8 {
		if round == 5 {
			keys = &plainKeys{vault: "other"}
		}
		c := l.StartCheckpoints(keys)
		fill(l, 7+round)
		c.Stop()
		mustHaveCovered(t, l)
		keys = &plainKeys{vault: keys.vault}
		if round == 6 {
			copyFile(t, filepath.Join(dir, keyFile), filepath.Join(dir, olderKey))
		}
	}
	fill(l, 5)
	mustClose(t, l)
	remove(t, dir, keyFile+".lock")
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	p, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, p, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// goldenCopy returns a copy of the golden log in a directory of its own.
func goldenCopy(t *testing.T) string {
	t.Helper()
	dir := newDir(t)
	if err := os.CopyFS(dir, os.DirFS(goldenLog)); err != nil {
		t.Fatal(err)
	}
	// git keeps no such modes.
	err := os.Chmod(dir, 0o700)
	names, rerr := os.ReadDir(dir)
	for _, d := range names {
		err = errors.Join(err, os.Chmod(filepath.Join(dir, d.Name()), 0o600))
	}
	if err = errors.Join(err, rerr); err != nil {
		t.Fatal(err)
	}
	return dir
}

// answer is what the second implementation prints.
type answer struct {
	OK          bool     `json:"ok"`
	FirstBad    uint64   `json:"first_bad"`
	Why         string   `json:"why"`
	Entries     uint64   `json:"entries"`
	Checkpoints uint64   `json:"checkpoints"`
	Covered     uint64   `json:"covered"`
	Proved      uint64   `json:"proved"`
	Notes       []string `json:"notes"`
}

// verify has the second implementation verify what is at place.
func (s *second) verify(t *testing.T, place string, trust Trust) (a answer) {
	t.Helper()
	args := []string{place}
	for _, k := range trust.Keys {
		args = append(args, "--key", k)
	}
	for i := range trust.Held {
		kept := filepath.Join(t.TempDir(), "kept.txt")
		if err := os.WriteFile(kept, trust.Held[i].AppendNote(nil), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--checkpoint", kept)
	}
	if err := json.NewEncoder(s.in).Encode(args); err != nil {
		s.t.Fatal(err)
	}
	if err := s.out.Decode(&a); err != nil {
		s.t.Fatalf("the second implementation said nothing of %q: %v", args, err)
	}
	return a
}

// both checks what is at place, a directory or a file, with both implementations, which
// must agree.
func (s *second) both(t *testing.T, place string, trust Trust) Report {
	t.Helper()
	var r Report
	fi, err := os.Stat(place)
	if err == nil && fi.IsDir() {
		r, err = CheckDir(place, trust)
	} else if err == nil {
		var f *os.File
		if f, err = os.Open(place); err == nil {
			defer f.Close()
			r, err = Check(f, trust)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	a := s.verify(t, place, trust)
	if a.OK != r.OK || a.FirstBad != r.FirstBad || (r.Proved != nil) != (a.Proved != 0) || r.KeyOlder != (len(a.Notes) > 0) {
		t.Errorf("ours says %+v, the second implementation %+v", r, a)
	}
	if r.OK && (a.Entries != r.Entries || a.Checkpoints != r.Checkpoints || a.Covered != r.Covered()) {
		t.Errorf("ours says %+v, the second implementation %+v", r, a)
	}
	return r
}

func startsOf(all []Checkpoint) (keys []string) {
	for _, c := range all {
		if c.Start != "" {
			keys = append(keys, c.Start)
		}
	}
	return keys
}

// TestSecondImplementationOnExports: parts of the log, too.
func TestSecondImplementationOnExports(t *testing.T) {
	python := startSecond(t)
	dir := goldenCopy(t)
	all := mustCheckpoints(t, dir)
	place := filepath.Join(t.TempDir(), "export.txt")
	for _, r := range []Range{{}, {First: 20}, {Last: 30}, {First: 20, Last: 30}, {First: all[1].Size + 1, Last: all[1].Size + 1}} {
		var b bytes.Buffer
		if err := Export(&b, dir, r); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(place, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, trust := range []Trust{{}, {Keys: startsOf(all)}, {Keys: startsOf(all)[:1]}, {Held: all[1:2]}} {
			python.both(t, place, trust)
		}
	}
}

// TestSecondImplementationOnEveryField: both read a line with every key, and refuse the same.
func TestSecondImplementationOnEveryField(t *testing.T) {
	python := startSecond(t)
	e := goldenEntry
	e.Seq, e.Prev = 1, Head{}.before()
	good := string(e.AppendLine(nil))
	for old, new := range map[string]string{
		"": "", "_a-B/2": "/2", "customscript_a-B/2": "a/b/2", "B/2": "B/2?", `"restlet":"customscript_a-B/2",`: "", "a-B": strings.Repeat("b", maxScript),
		"nightly load": strings.Repeat("r", maxRule+1), "pca\"": "pcaaaaaa\"", `"rule":"nightly load",`: "", `"grant":"`: `"grant":"g`,
	} {
		dir := newDir(t)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		line := []byte(strings.Replace(good, old, new, 1))
		if err := os.WriteFile(filepath.Join(dir, "audit.jsonl"), line, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ParseLine(line)
		if r := python.both(t, dir, Trust{}); r.OK != (err == nil) {
			t.Errorf("%q to %q: got %+v, and of the line %v", old, new, r, err)
		}
	}
}
