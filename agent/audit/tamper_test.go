package audit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// editLines lets f change the lines of the golden log, which are put into one file: how
// they are divided is no part of the chain.
func editLines(t *testing.T, dir string, f func([][]byte) [][]byte) {
	t.Helper()
	var whole []byte
	for _, first := range mustSegments(t, dir) {
		path := filepath.Join(dir, segmentName(first))
		p, err := os.ReadFile(path)
		if err = errors.Join(err, os.Remove(path)); err != nil {
			t.Fatal(err)
		}
		whole = append(whole, p...)
	}
	lines := splitLines(append(whole, contents(t, dir)...))
	if err := os.WriteFile(filepath.Join(dir, fileName), bytes.Join(f(lines), nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

// editNotes lets f change the checkpoints of the golden log.
func editNotes(t *testing.T, dir string, f func([]Checkpoint) []Checkpoint) {
	t.Helper()
	var b []byte
	for _, c := range f(mustCheckpoints(t, dir)) {
		b = append(c.AppendNote(b), '\n')
	}
	if err := os.WriteFile(filepath.Join(dir, checkpointsName), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// TestSecondImplementation has a verifier in another language, written from
// docs/audit-log.md alone, and ours look at the golden log, as it is and tampered with in
// every way that the page speaks of.
func TestSecondImplementation(t *testing.T) {
	python := startSecond(t)
	if *updateGolden {
		dir := newDir(t)
		makeGolden(t, dir)
		if err := errors.Join(os.RemoveAll(goldenLog), os.CopyFS(goldenLog, os.DirFS(dir))); err != nil {
			t.Fatal(err)
		}
	}
	whole := goldenCopy(t)
	all := mustCheckpoints(t, whole)
	first := mustSegments(t, whole)
	keys := startsOf(all)
	if len(keys) != 2 || len(first) < 4 {
		t.Fatalf("golden log: %d chains, %d segments", len(keys), len(first))
	}
	last := len(all) - 1
	size := func(i int) uint64 { return all[i].Size }
	signed := size(last)
	// uncovered returns the first entry that no checkpoint covers which does not cover seq.
	uncovered := func(seq uint64) uint64 {
		return size(slices.IndexFunc(all, func(c Checkpoint) bool { return c.Size >= seq })-1) + 1
	}
	second := slices.IndexFunc(all, func(c Checkpoint) bool { return c.Start == keys[1] })
	withKeys := Trust{Keys: keys}
	cut := func(t *testing.T, dir string, n uint64) {
		editLines(t, dir, func(l [][]byte) [][]byte { return l[:n] })
	}
	cutNotes := func(t *testing.T, dir string, n int) {
		editNotes(t, dir, func(c []Checkpoint) []Checkpoint { return c[:n] })
	}
	for _, c := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		trust  Trust
		bad    uint64 // 0: nothing is found
	}{
		{"nothing, no trust", nil, Trust{}, 0},
		{"nothing, both keys", nil, withKeys, 0},
		{"nothing, the first key alone", nil, Trust{Keys: keys[:1]}, size(second-1) + 1},
		{"nothing, all checkpoints", nil, Trust{Held: all}, 0},
		{"entry changed", func(t *testing.T, dir string) {
			editLines(t, dir, func(l [][]byte) [][]byte {
				l[20] = bytes.Replace(l[20], []byte("acme-sb1"), []byte("acme-sb2"), 1)
				return l
			})
		}, withKeys, 21},
		{"entry changed, not in its one form", func(t *testing.T, dir string) {
			editLines(t, dir, func(l [][]byte) [][]byte {
				l[20] = bytes.Replace(l[20], []byte(`,"uid"`), []byte(`, "uid"`), 1)
				return l
			})
		}, withKeys, 21},
		{"prev changed", func(t *testing.T, dir string) {
			editLines(t, dir, func(l [][]byte) [][]byte { l[20][len(l[20])-4] ^= 1; return l })
		}, withKeys, 21},
		{"entry removed", func(t *testing.T, dir string) {
			editLines(t, dir, func(l [][]byte) [][]byte { return slices.Delete(l, 20, 21) })
		}, withKeys, 21},
		{"entries swapped", func(t *testing.T, dir string) {
			editLines(t, dir, func(l [][]byte) [][]byte { l[20], l[30] = l[30], l[20]; return l })
		}, withKeys, 21},
		{"entry repeated", func(t *testing.T, dir string) {
			editLines(t, dir, func(l [][]byte) [][]byte { return slices.Insert(l, 20, l[19]) })
		}, withKeys, 21},
		{"entry forged beside another", func(t *testing.T, dir string) {
			editLines(t, dir, func(l [][]byte) [][]byte {
				return slices.Insert(l, 21, bytes.Replace(l[20], []byte("acme-sb1"), []byte("acme-sb2"), 1))
			})
		}, withKeys, 21},
		{"an entry changed and the rest chained anew", func(t *testing.T, dir string) {
			editLines(t, dir, func(l [][]byte) [][]byte { return chainAnew(t, l, 20) })
		}, withKeys, uncovered(21)},
		{"last line incomplete", func(t *testing.T, dir string) {
			editLines(t, dir, func(l [][]byte) [][]byte { l[len(l)-1] = l[len(l)-1][:50]; return l })
		}, withKeys, signed + 5},
		{"tail cut behind the last checkpoint", func(t *testing.T, dir string) { cut(t, dir, signed) }, withKeys, 0},
		{"tail cut below it", func(t *testing.T, dir string) { cut(t, dir, signed-3) }, Trust{}, signed - 2},
		{"all cut", func(t *testing.T, dir string) { cut(t, dir, 0) }, Trust{}, 1},
		{"tail cut, its checkpoint too", func(t *testing.T, dir string) {
			cut(t, dir, size(last-1))
			cutNotes(t, dir, last)
		}, withKeys, size(last-1) + 1},
		{"tail cut, its checkpoint and the key file too", func(t *testing.T, dir string) {
			cut(t, dir, size(last-1))
			cutNotes(t, dir, last)
			remove(t, dir, keyFile)
		}, withKeys, 0},
		{"the same, with a checkpoint kept elsewhere", func(t *testing.T, dir string) {
			cut(t, dir, size(last-1))
			cutNotes(t, dir, last)
			remove(t, dir, keyFile)
		}, Trust{Held: all[last:]}, size(last-1) + 1},
		{"checkpoint removed", func(t *testing.T, dir string) {
			editNotes(t, dir, func(c []Checkpoint) []Checkpoint { return slices.Delete(c, 2, 3) })
		}, withKeys, size(1) + 1},
		{"first checkpoint removed", func(t *testing.T, dir string) {
			editNotes(t, dir, func(c []Checkpoint) []Checkpoint { return c[1:] })
		}, Trust{}, 1},
		{"last checkpoint removed, which the key file has", func(t *testing.T, dir string) { cutNotes(t, dir, last) }, withKeys, 0},
		{"all checkpoints removed", func(t *testing.T, dir string) { remove(t, dir, checkpointsName) }, Trust{}, 1},
		{"all checkpoints removed, and the key file", func(t *testing.T, dir string) {
			remove(t, dir, checkpointsName)
			remove(t, dir, keyFile)
		}, withKeys, 1},
		{"checkpoints swapped", func(t *testing.T, dir string) {
			editNotes(t, dir, func(c []Checkpoint) []Checkpoint { c[1], c[2] = c[2], c[1]; return c })
		}, withKeys, size(0) + 1},
		{"a signature changed", func(t *testing.T, dir string) {
			editNotes(t, dir, func(c []Checkpoint) []Checkpoint { c[2].signature[20] ^= 1; return c })
		}, withKeys, size(1) + 1},
		{"last checkpoint cut off by a crash", func(t *testing.T, dir string) {
			path := filepath.Join(dir, checkpointsName)
			fi, err := os.Stat(path)
			if err == nil {
				err = os.Truncate(path, fi.Size()-100)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, withKeys, 0},
		{"segment removed", func(t *testing.T, dir string) { remove(t, dir, segmentName(first[2])) }, withKeys, first[2]},
		{"first segment removed", func(t *testing.T, dir string) { remove(t, dir, segmentName(first[0])) }, withKeys, 0},
		{"first segment removed, no trust", func(t *testing.T, dir string) { remove(t, dir, segmentName(first[0])) }, Trust{}, 1},
		{"segments swapped", func(t *testing.T, dir string) {
			a, b := filepath.Join(dir, segmentName(first[1])), filepath.Join(dir, segmentName(first[2]))
			copyFile(t, a, a+"~")
			copyFile(t, b, a)
			copyFile(t, a+"~", b)
		}, withKeys, first[1]},
		{"key file older", func(t *testing.T, dir string) {
			copyFile(t, filepath.Join(dir, olderKey), filepath.Join(dir, keyFile))
		}, withKeys, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := goldenCopy(t)
			if c.tamper != nil {
				c.tamper(t, dir)
			}
			r := python.both(t, dir, c.trust)
			if r.FirstBad != c.bad {
				t.Errorf("got %+v, want entry %d to be the first bad one", r.Result, c.bad)
			}
			if want := c.name == "key file older"; r.KeyOlder != want {
				t.Errorf("key file older: got %v", r.KeyOlder)
			}
		})
	}
}

// chainAnew changes line i and chains all that follow to it.
func chainAnew(t *testing.T, lines [][]byte, i int) [][]byte {
	t.Helper()
	head := Head{Seq: uint64(i)}
	for ; i < len(lines); i++ {
		e, err := ParseLine(lines[i])
		if err != nil {
			t.Fatal(err)
		}
		if head.Hash != (Hash{}) {
			e.Prev = head.Hash
		} else {
			e.Profile = "forged"
		}
		lines[i] = e.AppendLine(nil)
		head = Head{e.Seq, Hash(sha256.Sum256(lines[i]))}
	}
	return lines
}
