package memscan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxHits is how many hits a report lists; the counts go on.
const maxHits = 1000

// Hit is one needle found.
type Hit struct {
	Name, Form string // of the needle
	Where      string // name of the mapping, or of the file
	At         uint64 // address, or offset in the file
	Locked     bool   // the page is locked in memory
}

// Count is how often needles were found.
type Count struct{ Locked, Unlocked int }

// Skip is memory that could not be read.
type Skip struct {
	Where  string
	Bytes  uint64
	Locked bool
}

// Report is the outcome of a scan. It shows no secret.
type Report struct {
	Hits    []Hit // the first 1,000, unlocked ones before locked ones
	Total   Count
	Forms   map[string]Count // Total by form
	Scanned uint64           // bytes read
	Skips   []Skip           // memfd_secret pages, and the kernel's own
}

func (r *Report) add(h Hit) {
	if r.Forms == nil {
		r.Forms = make(map[string]Count)
	}
	c := r.Forms[h.Form]
	if h.Locked {
		c.Locked++
		r.Total.Locked++
	} else {
		c.Unlocked++
		r.Total.Unlocked++
	}
	r.Forms[h.Form] = c
	if len(r.Hits) < maxHits {
		r.Hits = append(r.Hits, h)
	}
}

func (r *Report) finish() {
	slices.SortStableFunc(r.Hits, func(a, b Hit) int {
		if a.Locked != b.Locked {
			if b.Locked {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.At, b.At)
	})
}

// SkippedLocked returns how many bytes of locked memory could not be read.
func (r Report) SkippedLocked() uint64 {
	var n uint64
	for _, s := range r.Skips {
		if s.Locked {
			n += s.Bytes
		}
	}
	return n
}

// String says the counts, by form, and where the first unlocked hits lie.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d hits outside locked memory, %d inside; scanned %.1f MiB, %d KiB of locked memory unreadable",
		r.Total.Unlocked, r.Total.Locked, float64(r.Scanned)/(1<<20), r.SkippedLocked()>>10)
	for _, form := range slices.Sorted(maps.Keys(r.Forms)) {
		fmt.Fprintf(&b, "\n  %-10s %d outside, %d inside", form, r.Forms[form].Unlocked, r.Forms[form].Locked)
	}
	for i, h := range r.Hits {
		if h.Locked || i == 10 {
			break
		}
		fmt.Fprintf(&b, "\n  %s %s at %#x in %s", h.Name, h.Form, h.At, h.Where)
	}
	return b.String()
}
