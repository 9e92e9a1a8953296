package atomicfile

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
)

// diskModel is a disk that loses power. It keeps what an fsync made durable, and
// what is only in memory: of that, any part may have reached the disk. Names reach
// it in any selection, data in any quality. That is weaker than what any journaling
// file system promises.
type diskModel struct {
	names   map[string]*modelFile // as programs see them
	durable map[string]*modelFile // as they are on the disk
	pending []nameChange          // of names, since the last fsync of the directory
}

type modelFile struct {
	data   []byte
	synced bool
}

// nameChange removes one name and sets another, at once; either may be empty.
type nameChange struct {
	remove, set string
	file        *modelFile
}

func newDiskModel(files map[string]string) *diskModel {
	m := &diskModel{names: map[string]*modelFile{}}
	for name, data := range files {
		m.names[name] = &modelFile{data: []byte(data), synced: true}
	}
	m.durable = maps.Clone(m.names)
	return m
}

func (m *diskModel) take(s step) {
	switch s.op {
	case "create":
		m.change(nameChange{set: s.name, file: &modelFile{}})
	case "write":
		f := m.names[s.name]
		f.data, f.synced = append(f.data, s.data...), false
	case "fsync":
		m.names[s.name].synced = true
	case "link":
		m.change(nameChange{set: s.to, file: m.names[s.name]})
	case "rename":
		if m.names[s.name] != m.names[s.to] {
			m.change(nameChange{remove: s.name, set: s.to, file: m.names[s.name]})
		}
	case "unlink":
		if m.names[s.name] != nil {
			m.change(nameChange{remove: s.name})
		}
	case "fsyncdir":
		m.durable, m.pending = maps.Clone(m.names), nil
	default:
		panic("unknown step " + s.op)
	}
}

func (m *diskModel) change(c nameChange) {
	m.pending = append(m.pending, c)
	c.apply(m.names)
}

func (c nameChange) apply(names map[string]*modelFile) {
	delete(names, c.remove)
	if c.set != "" {
		names[c.set] = c.file
	}
}

// afterPowerCut calls f with each state in which the disk may be found.
func (m *diskModel) afterPowerCut(f func(files map[string]string)) {
	for subset := range 1 << len(m.pending) {
		names := maps.Clone(m.durable)
		for i, c := range m.pending {
			if subset&(1<<i) != 0 {
				c.apply(names)
			}
		}
		for quality := range 4 {
			files := map[string]string{}
			for name, file := range names {
				data := file.data
				if !file.synced {
					data = [][]byte{nil, data[:len(data)/2], bytes.Repeat([]byte{0}, len(data)), data}[quality]
				}
				files[name] = string(data)
			}
			f(files)
		}
	}
}

// findBrokenState writes "new" over the files of start, takes the power away before
// and after each step, and returns the first state that breaks the promise of
// Write. Steps for which lose is true do not reach the disk.
func findBrokenState(t *testing.T, start map[string]string, o Options, lose func(step) bool) string {
	t.Helper()
	dir := privateDir(t)
	for _, name := range []string{"f.prev", "f"} {
		if data, ok := start[name]; ok {
			mustWrite(t, filepath.Join(dir, name), data, Options{NoPrevious: true})
		}
	}
	g, err := tryLock(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Unlock()
	model := newDiskModel(start)
	old, hadOld := start["f"]
	broken := ""
	check := func(when string, done bool) {
		model.afterPowerCut(func(files map[string]string) {
			got, ok := files["f"]
			previous, hasPrevious := files["f.prev"]
			valid := []string{old, start["f.prev"]}
			switch {
			case broken != "":
			case done && got != "new",
				got != "new" && (got != old || ok != hadOld),
				hasPrevious && !slices.Contains(valid, previous):
				broken = fmt.Sprintf("power cut %s: %q", when, files)
			}
		})
	}
	var last *step
	g.dir.hook = func(s step) error {
		if last != nil && !lose(*last) {
			model.take(*last)
		}
		last = &s
		check("before "+s.op+" "+s.name, false)
		return nil
	}
	if err := g.Write([]byte("new"), o); err != nil {
		t.Fatal(err)
	}
	if !lose(*last) {
		model.take(*last)
	}
	check("after the write", true)
	return broken
}

func TestPowerCutLeavesOldOrNew(t *testing.T) {
	for name, start := range map[string]map[string]string{
		"nothing":      {},
		"a file":       {"f": "old"},
		"and previous": {"f": "old", "f.prev": "older"},
	} {
		for _, o := range []Options{{}, {NoPrevious: true}} {
			t.Run(fmt.Sprintf("%s %+v", name, o), func(t *testing.T) {
				if state := findBrokenState(t, start, o, func(step) bool { return false }); state != "" {
					t.Error(state)
				}
			})
		}
	}
}

// TestPowerCutModelSeesMissingSteps shows that the model would notice.
func TestPowerCutModelSeesMissingSteps(t *testing.T) {
	start := map[string]string{"f": "old", "f.prev": "older"}
	for _, op := range []string{"write", "fsync", "rename", "fsyncdir"} {
		if findBrokenState(t, start, Options{}, func(s step) bool { return s.op == op }) == "" {
			t.Errorf("without %s no state is broken", op)
		}
	}
}
