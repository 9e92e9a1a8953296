package nstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"sort"
	"strconv"
	"strings"
	"sync"
)

const (
	maxCustomers  = 10_000
	maxStoreBytes = 16 << 20
)

// row is one record: field names as in REST, values as JSON.
type row map[string]json.RawMessage

// store is the record store of an account. It knows customers only, numbers them
// and is bounded.
type store struct {
	mu    sync.Mutex // guards all below
	rows  map[int]row
	next  int
	bytes int
}

func newStore(samples int) *store {
	s := &store{rows: map[int]row{}, next: 1}
	for n := 1; n <= samples; n++ {
		s.add(row{
			"entityId":    quoted(fmt.Sprintf("CUST%05d", n)),
			"externalId":  quoted(fmt.Sprintf("ACME %d", n)),
			"companyName": quoted(fmt.Sprintf("Sample Customer %d", n)),
			"email":       quoted(fmt.Sprintf("customer%d@example.com", n)),
		})
	}
	return s
}

func quoted(s string) json.RawMessage { return json.RawMessage(strconv.Quote(s)) }

func (r row) size() int {
	n := 64
	for name, value := range r {
		n += len(name) + len(value)
	}
	return n
}

// add stores a copy of fields under a new number.
func (s *store) add(fields row) (id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := maps.Clone(fields)
	id = strconv.Itoa(s.next)
	r["id"] = quoted(id)
	if len(s.rows) >= maxCustomers+1000 || s.bytes+r.size() > maxStoreBytes {
		return "", false
	}
	s.rows[s.next] = r
	s.bytes += r.size()
	s.next++
	return id, true
}

// find takes an internal ID, or an external ID written eid:….
func (s *store) find(id string) (r row, key int, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if external, ok := strings.CutPrefix(id, "eid:"); ok {
		for key, r := range s.rows {
			if text(r["externalId"]) == external {
				return maps.Clone(r), key, true
			}
		}
		return nil, 0, false
	}
	key, err := strconv.Atoi(id)
	if err != nil || strconv.Itoa(key) != id {
		return nil, 0, false
	}
	r, found = s.rows[key]
	return maps.Clone(r), key, found
}

// change overwrites fields of a record; its number stays.
func (s *store) change(key int, fields row) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, found := s.rows[key]
	if !found {
		return false
	}
	r := maps.Clone(old)
	maps.Copy(r, fields)
	r["id"] = old["id"]
	if s.bytes-old.size()+r.size() > maxStoreBytes {
		return false
	}
	s.bytes += r.size() - old.size()
	s.rows[key] = r
	return true
}

func (s *store) remove(key int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= s.rows[key].size()
	delete(s.rows, key)
}

// list returns copies of all records by number.
func (s *store) list() []row {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]int, 0, len(s.rows))
	for key := range s.rows {
		keys = append(keys, key)
	}
	sort.Ints(keys)
	out := make([]row, 0, len(keys))
	for _, key := range keys {
		out = append(out, maps.Clone(s.rows[key]))
	}
	return out
}
