//go:build !race

// What is looked at is the product, which has no race detector: one run is enough.

package agent

import (
	"debug/elf"
	"debug/gosym"
	"testing"
)

// TestProgramIsPruned guards the size of the program, which four processes map and one
// copies into memory: where anything looks up methods by a name that is not constant, the
// linker has to keep every method of every type (2.4 MiB, and what an attacker could jump
// to). Nothing may listen for a debugger's questions under /debug, either.
func TestProgramIsPruned(t *testing.T) {
	f, err := elf.Open(productPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := f.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(lines, f.Section(".text").Addr))
	if err != nil {
		t.Fatal(err)
	}
	if table.LookupFunc("main.main") == nil || table.LookupFunc("reflect.Value.NumField") == nil {
		t.Fatal("the table of functions could not be read")
	}
	// Nobody computes binomial coefficients: that one is there only where all methods are.
	for _, name := range []string{"math/big.(*Int).Binomial", "text/template.(*Template).Execute", "golang.org/x/net/trace.Render", "net/http/pprof.Index"} {
		if table.LookupFunc(name) != nil {
			t.Errorf("%s is linked in", name)
		}
	}
	if f.Section(".debug_info") != nil || f.Section(".symtab") != nil {
		t.Error("tables for a debugger are part of the program")
	}
}
