package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// auditRows measures what an entry of the audit log costs, written alone and fsynced
// before it is acknowledged. The benchmarks are those of package audit, which can count
// the fsyncs; they write below the directory of this run.
func auditRows(ctx context.Context, w *world) ([]row, error) {
	binary := filepath.Join(w.dir, "audit.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./agent/audit") // #nosec G204 -- our own test
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the benchmarks: %w: %s", err, out)
	}
	micros, fsyncs := map[string][]float64{}, map[string][]float64{}
	for range w.rounds {
		c := exec.CommandContext(ctx, binary, "-test.run", "^$", "-test.bench", "^(BenchmarkAppend|BenchmarkStrict)$", "-test.benchtime", "1s") // #nosec G204 -- built above
		c.Dir, c.Env = w.dir, append(c.Environ(), "TMPDIR="+w.dir)
		out, err := c.Output()
		if err != nil {
			return nil, fmt.Errorf("running the benchmarks: %w", err)
		}
		if err := readBenchmarks(out, micros, fsyncs); err != nil {
			return nil, err
		}
	}
	var rows []row
	for _, r := range []struct{ what, name string }{
		{"audit entry, written, 1 caller", "BenchmarkAppend/callers=1"},
		{"audit entry, written, 64 callers", "BenchmarkAppend/callers=64"},
		{"audit entry, `strict`, 1 caller", "BenchmarkStrict/callers=1"},
		{"audit entry, `strict`, 64 callers", "BenchmarkStrict/callers=64"},
	} {
		if len(micros[r.name]) != w.rounds {
			return nil, fmt.Errorf("%s ran %d times, not %d", r.name, len(micros[r.name]), w.rounds)
		}
		got := fmt.Sprintf("%.1f µs", median(micros[r.name]))
		if n := fsyncs[r.name]; len(n) > 0 {
			got += fmt.Sprintf(", %.3f fsyncs", median(n))
		}
		rows = append(rows, row{r.what, noTarget, got, "an entry; " + spread(micros[r.name]) + " µs", false})
	}
	return rows, nil
}

// readBenchmarks adds the figures of a run by the name of the benchmark: its name, a
// count, and then values with their units.
func readBenchmarks(out []byte, micros, fsyncs map[string][]float64) error {
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := f[0]
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i] // the number of processors
		}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return fmt.Errorf("reading %q: %w", s.Text(), err)
			}
			switch f[i+1] {
			case "ns/op":
				micros[name] = append(micros[name], v/1000)
			case "fsyncs/op":
				fsyncs[name] = append(fsyncs[name], v)
			}
		}
	}
	return nil
}
