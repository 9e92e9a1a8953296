package main

import "testing"

// TestDecisions: what is measured is the last rule of each policy, and all of them are good.
func TestDecisions(t *testing.T) {
	for _, d := range differences {
		for _, n := range []int{1, 12} {
			p, a, err := d.decision(n)
			if err != nil {
				t.Fatalf("%s: %v", d.name, err)
			}
			if got := p.Decide(a); got.Index != n-1 {
				t.Errorf("%d rules that differ in %s: rule %d decides", n, d.name, got.Index)
			}
		}
	}
}
