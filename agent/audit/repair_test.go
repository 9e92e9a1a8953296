package audit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// tornParts returns the torn parts that were kept in dir, by name.
func tornParts(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, tornPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	parts := make(map[string][]byte)
	for _, name := range names {
		p, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		parts[filepath.Base(name)] = p
	}
	return parts
}

func TestCutsOfTheLastLine(t *testing.T) {
	log := sample(t, 4)
	last := splitLines(log)[3]
	whole := len(log) - len(last)
	step := 7
	if needs.Long() {
		step = 1
	}
	for n := 0; n < len(last); n += step {
		dir := place(t, log[:whole+n])
		l := mustOpen(t, dir)
		mustAppend(t, l, 1)
		mustClose(t, l)
		if n == 0 {
			wantGood(t, dir, 4)
			if parts := tornParts(t, dir); len(parts) != 0 {
				t.Fatalf("cut between lines: parts %v", parts)
			}
			continue
		}
		e := wantGood(t, dir, 5)[3]
		want := fmt.Sprintf("file=audit.torn-1 bytes=%d sha256=%x", n, sha256.Sum256(last[:n]))
		if e.Event != EventRecovered || e.Detail != want {
			t.Fatalf("cut after %d bytes: entry 4 is %+v, want detail %q", n, e, want)
		}
		parts := tornParts(t, dir)
		if len(parts) != 1 || !bytes.Equal(parts["audit.torn-1"], last[:n]) {
			t.Fatalf("cut after %d bytes: parts %q", n, parts)
		}
		wantGood(t, reopened(t, dir), 5) // nothing more to repair
	}
}

func reopened(t *testing.T, dir string) string {
	t.Helper()
	mustClose(t, mustOpen(t, dir))
	return dir
}

func TestFirstLineTorn(t *testing.T) {
	log := sample(t, 1)
	dir := reopened(t, place(t, log[:50]))
	if e := wantGood(t, dir, 1)[0]; e.Event != EventRecovered {
		t.Errorf("entry 1: got %+v, want audit.recovered", e)
	}
}

func TestEachCrashIsNumbered(t *testing.T) {
	dir := place(t, sample(t, 2))
	for n := 1; n <= 3; n++ {
		f, err := os.OpenFile(filepath.Join(dir, fileName), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(f, `{"seq":%d,"ti`, n); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		all := wantGood(t, reopened(t, dir), uint64(2+n))
		if want := fmt.Sprintf("file=audit.torn-%d ", n); !strings.HasPrefix(all[1+n].Detail, want) {
			t.Errorf("crash %d: detail %q, want %q", n, all[1+n].Detail, want)
		}
	}
	if parts := tornParts(t, dir); len(parts) != 3 {
		t.Errorf("parts: %q, want 3", parts)
	}
}

// A power cut may leave zeros where pages were not written, with good lines behind.
func TestZerosOfAPowerCut(t *testing.T) {
	log := sample(t, 2000) // more than two windows
	lines := splitLines(log)
	offset := func(n int) (at int) {
		for _, l := range lines[:n] {
			at += len(l)
		}
		return at
	}
	for name, c := range map[string]struct{ from, to, keep int }{
		"one byte of the last line":       {len(log) - 40, len(log) - 39, 1999},
		"the whole last line":             {offset(1999), len(log), 1999},
		"a page amid lines":               {offset(1990) + 17, offset(1992) + 5, 1990},
		"more than the window":            {offset(700) + 3, offset(1900), 700},
		"more than the window in front":   {offset(300) + 3, offset(400), 300},
		"in front of the window, and all": {offset(500), len(log), 500},
		"everything":                      {0, len(log), 0},
	} {
		t.Run(name, func(t *testing.T) {
			bad := bytes.Clone(log)
			clear(bad[c.from:c.to])
			dir := reopened(t, place(t, bad))
			all := wantGood(t, dir, uint64(c.keep+1))
			if e := all[c.keep]; e.Event != EventRecovered {
				t.Errorf("last entry: got %+v, want audit.recovered", e)
			}
			if parts := tornParts(t, dir); !bytes.Equal(parts["audit.torn-1"], bad[offset(c.keep):]) {
				t.Errorf("the part that was kept is not what was moved out")
			}
		})
	}
}

func TestChangedEndIsNotRepaired(t *testing.T) {
	log := sample(t, 6)
	lines := splitLines(log)
	for name, bad := range map[string][]byte{
		"changed outcome":         bytes.Replace(log, []byte(`"ok"`), []byte(`"denied"`), 4),
		"changed prev of the end": append(bytes.Clone(log[:len(log)-4]), "0\"}\n"...),
		"rubbish line":            append(bytes.Clone(log), "rubbish\n"...),
		"empty line":              append(bytes.Clone(log), '\n'),
		"removed line":            bytes.Join([][]byte{lines[0], lines[1], lines[3], lines[4], lines[5]}, nil),
		"first line removed":      bytes.Join(lines[1:], nil),
		"swapped lines":           bytes.Join([][]byte{lines[0], lines[1], lines[2], lines[4], lines[3], lines[5]}, nil),
		"other format":            []byte("{\"version\":2}\n"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := place(t, bad)
			if _, err := Open(dir, Options{}); !errors.Is(err, ErrBroken) {
				t.Fatalf("got %v, want ErrBroken", err)
			}
			if !bytes.Equal(contents(t, dir), bad) || len(tornParts(t, dir)) != 0 {
				t.Error("a log that was refused was touched")
			}
		})
	}
}

// The repair itself may be cut off at each of its steps.
func TestCrashDuringRepair(t *testing.T) {
	log := sample(t, 3)
	torn := []byte(`{"seq":4,"time":"20`)
	described := func(dir string) []byte {
		l := mustOpen(t, dir)
		defer mustClose(t, l)
		return contents(t, dir)
	}
	repaired := described(place(t, append(bytes.Clone(log), torn...)))
	entry := splitLines(repaired)[3]
	half := entry[:len(entry)/2]

	for name, c := range map[string]struct {
		log     []byte
		pending []byte
		want    map[string][]byte
		entries uint64
	}{
		"copied in part":         {append(bytes.Clone(log), torn...), torn[:5], map[string][]byte{"audit.torn-1": torn[:5], "audit.torn-2": torn}, 5},
		"copied":                 {append(bytes.Clone(log), torn...), torn, map[string][]byte{"audit.torn-1": torn, "audit.torn-2": torn}, 5},
		"shortened":              {log, torn, map[string][]byte{"audit.torn-1": torn}, 4},
		"entry written in part":  {append(bytes.Clone(log), half...), torn, map[string][]byte{"audit.torn-1": torn, "audit.torn-2": half}, 5},
		"entry written, no name": {repaired, torn, map[string][]byte{"audit.torn-1": torn}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			dir := place(t, c.log)
			if err := os.WriteFile(filepath.Join(dir, "audit.torn-1.pending"), c.pending, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second opening changes nothing
				all := wantGood(t, reopened(t, dir), c.entries)
				parts := tornParts(t, dir)
				if len(parts) != len(c.want) {
					t.Fatalf("parts: got %q, want %q", parts, c.want)
				}
				for part, p := range c.want {
					if !bytes.Equal(parts[part], p) {
						t.Errorf("%s: got %q, want %q", part, parts[part], p)
					}
					said := false
					for _, e := range all {
						said = said || strings.HasPrefix(e.Detail, fmt.Sprintf("file=%s bytes=%d ", part, len(p)))
					}
					if !said {
						t.Errorf("no entry speaks of %s", part)
					}
				}
			}
		})
	}
}
