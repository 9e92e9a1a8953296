//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package vault

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/store"
)

// TestModel does random things to a vault through two processes and compares with a
// map. After each step either process agrees with it as soon as it looks.
func TestModel(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		f := newVault(t, nil)
		defer f.cfg.Arena.Close()
		procs := []*fixture{f, f.unlocked()}
		type value struct{ signOnly, raw, meta string }
		model := map[string]value{}
		grants := map[[16]byte]map[store.ID]bool{} // the records that each opens
		idOf := func(p *fixture, n string) store.ID {
			return p.ids()[n]
		}
		gone := func(id store.ID) {
			for _, g := range grants {
				delete(g, id)
			}
		}
		text := rapid.StringMatching(`[a-z]{1,40}`)
		some := func() *fixture { return rapid.SampledFrom(procs).Draw(rt, "process") }
		name := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		check := func(what string, got, want error) {
			if got != want && (want == nil || !errors.Is(got, want)) {
				rt.Fatalf("%s: got %v, want %v", what, got, want)
			}
		}
		missing := func(n string) error {
			if _, ok := model[n]; !ok {
				return ErrNotFound
			}
			return nil
		}
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				p, n, v := some(), name.Draw(rt, "name"), value{text.Draw(rt, "sign-only"), "", text.Draw(rt, "meta")}
				r := NewRecord{Name: n, Kind: "tba", Meta: []byte(v.meta), SignOnly: p.bytesOf(v.signOnly)}
				if rapid.Bool().Draw(rt, "both parts") {
					v.raw = text.Draw(rt, "raw")
					r.Raw = p.bytesOf(v.raw)
				}
				want := ErrExists
				if _, ok := model[n]; !ok {
					want, model[n] = nil, v
				}
				check("add", errOf(p.Add(ctx, r)), want)
			},
			"remove": func(rt *rapid.T) {
				p, n := some(), name.Draw(rt, "name")
				check("check", p.Check(ctx), nil) // so that it knows the ids
				gone(idOf(p, n))
				check("remove", p.Remove(ctx, n), missing(n))
				delete(model, n)
			},
			"rotate": func(rt *rapid.T) {
				p, n := some(), name.Draw(rt, "name")
				v, want := model[n], missing(n)
				var raw secret.Bytes
				if v.raw != "" {
					v.raw = text.Draw(rt, "raw")
					raw = p.bytesOf(v.raw)
				}
				v.signOnly = text.Draw(rt, "sign-only")
				check("rotate", p.Rotate(ctx, n, p.bytesOf(v.signOnly), raw), want)
				if want == nil {
					model[n] = v
				}
			},
			"describe": func(rt *rapid.T) {
				n, v := name.Draw(rt, "name"), value{}
				want := missing(n)
				v, v.meta = model[n], text.Draw(rt, "meta")
				check("describe", some().Describe(ctx, n, []byte(v.meta)), want)
				if want == nil {
					model[n] = v
				}
			},
			"take and remove": func(rt *rapid.T) {
				n, from := name.Draw(rt, "name"), name.Draw(rt, "from")
				v, err := model[n], missing(n)
				if err == nil {
					err = missing(from)
				}
				if err == nil && (n == from || (v.raw == "") != (model[from].raw == "")) {
					err = ErrRecord
				}
				p := some()
				check("check", p.Check(ctx), nil)
				id := idOf(p, from)
				_, got := p.editEach(map[string]Edit{n: {Take: from}, from: {Remove: true}}, n, from)
				check("take and remove", got, err)
				if err == nil {
					gone(id)
					v.signOnly, v.raw = model[from].signOnly, model[from].raw
					model[n] = v
					delete(model, from)
				}
			},
			"swap names": func(rt *rapid.T) {
				n, m := name.Draw(rt, "name"), name.Draw(rt, "other")
				err := missing(n)
				if err == nil {
					err = missing(m)
				}
				if err == nil && n == m {
					err = ErrRecord
				}
				_, got := some().editEach(map[string]Edit{n: {Name: m}, m: {Name: n}}, n, m)
				check("swap names", got, err)
				if err == nil {
					model[n], model[m] = model[m], model[n]
				}
			},
			"grant": func(rt *rapid.T) {
				p := some()
				check("check", p.Check(ctx), nil)
				g := NewGrant{ID: [16]byte{rapid.ByteRange(1, 3).Draw(rt, "grant")}}
				opens := map[store.ID]bool{}
				for n, id := range p.ids() {
					if rapid.Bool().Draw(rt, n) {
						g.Wraps = append(g.Wraps, NewWrap{Record: n, Key: p.wrapKey(id.String())})
						opens[id] = true
					}
				}
				var want error
				if grants[g.ID] != nil {
					want = ErrExists
				}
				check("grant", p.AddGrant(ctx, g), want)
				if want == nil {
					grants[g.ID] = opens
				}
			},
			"remove grant": func(rt *rapid.T) {
				id := [16]byte{rapid.ByteRange(1, 3).Draw(rt, "grant")}
				var want error
				if grants[id] == nil {
					want = ErrNotFound
				}
				check("remove grant", some().RemoveGrant(ctx, id), want)
				delete(grants, id)
			},
			"rekey": func(rt *rapid.T) {
				p, n := some(), name.Draw(rt, "name")
				check("check", p.Check(ctx), nil)
				id := idOf(p, n)
				check("rekey", p.Rekey(ctx, []string{n}), missing(n))
				gone(id)
			},
			"lock and unlock": func(rt *rapid.T) {
				p := some()
				p.Lock()
				check("unlock", p.unlock(""), nil)
			},
			"new process": func(rt *rapid.T) {
				procs[rapid.IntRange(0, len(procs)-1).Draw(rt, "process")] = f.unlocked()
			},
			"": func(rt *rapid.T) {
				p := some()
				check("check", p.Check(ctx), nil)
				if got, want := p.names(), slices.Sorted(maps.Keys(model)); !slices.Equal(got, want) {
					rt.Fatalf("records %q, want %q", got, want)
				}
				l, err := p.Records()
				check("records", err, nil)
				for _, r := range l {
					v := model[r.Name]
					signOnly, raw, err := p.content(r.Name)
					check("content", err, nil)
					if signOnly != v.signOnly || raw != v.raw || string(r.Meta) != v.meta || r.HasRaw != (v.raw != "") {
						rt.Fatalf("%s: %q, %q, %q, want %+v", r.Name, signOnly, raw, r.Meta, v)
					}
				}
				locked := f.another()
				for id, opens := range grants {
					keys := map[store.ID]string{}
					want := map[string]string{}
					for n, record := range p.ids() {
						keys[record] = record.String()
						if opens[record] {
							want[n] = model[n].signOnly
						}
					}
					got, err := locked.granted(id, keys)
					if err != nil || !maps.Equal(got, want) {
						rt.Fatalf("grant %x opens %q, %v, want %q", id, got, err, want)
					}
				}
			},
		})
	})
}
