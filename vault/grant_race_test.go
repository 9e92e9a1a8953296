package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// TestGrantsAtOnce: what is opened while others lock, unlock, rotate and rekey is right or
// an error of these, and nothing is lost.
func TestGrantsAtOnce(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.add("a")
	f.add("b")
	keys := namesByID(f.ids())
	f.grant(testGrant, "a", "b")
	machine, _, err := f.MachineKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.SetPolicy(ctx, []byte("policy"), machine, nil); err != nil {
		t.Fatal(err)
	}
	locked := f.another()
	var wg sync.WaitGroup
	const rounds = 25
	each := func(f func(i int) error) {
		wg.Go(func() {
			for i := range rounds {
				if err := f(i); err != nil && !errors.Is(err, ErrLocked) {
					t.Errorf("round %d: %v", i, err)
				}
			}
		})
	}
	for range 2 {
		each(func(int) error {
			all, err := locked.OpenGranted(ctx, testGrant, func(record [16]byte) (secret.Bytes, error) {
				return locked.wrapKey(keys[store.ID(record)]), nil
			})
			for _, o := range all {
				o.SignOnly.Destroy()
			}
			return err
		})
	}
	each(func(int) error {
		text, ok, err := locked.PolicyBy(ctx, machine)
		if err == nil && (!ok || string(text) != "policy") {
			return fmt.Errorf("policy %q", text)
		}
		return err
	})
	each(func(int) error {
		_, err := locked.Grants()
		return err
	})
	each(func(i int) error {
		if i%2 == 0 {
			return locked.unlock("")
		}
		locked.Lock()
		return nil
	})
	each(func(i int) error { return f.Rotate(ctx, "a", f.bytesOf("s"), f.bytesOf("r")) })
	each(func(i int) error {
		return f.AddGrant(ctx, NewGrant{ID: [16]byte{1, byte(i)}, Wraps: []NewWrap{{Record: "b", Key: f.wrapKey("b")}}})
	})
	wg.Wait()
	if all := must(f.Grants()); len(all) != rounds+1 {
		t.Errorf("%d grants, want %d", len(all), rounds+1)
	}
	f.integrity()
}

// TestLargestGrant: as many records as a token may have shares, and not one more.
func TestLargestGrant(t *testing.T) {
	f := newVault(t, nil)
	var records []NewRecord
	var names []string
	for i := range envelope.MaxWraps + 1 {
		name := fmt.Sprintf("r%02d", i)
		names = append(names, name)
		records = append(records, f.newRecord(name))
	}
	if _, err := f.AddAll(context.Background(), records); err != nil {
		t.Fatal(err)
	}
	keys := namesByID(f.ids())
	f.grant(testGrant, names[1:]...)
	got, err := f.another().granted(testGrant, keys)
	if err != nil || len(got) != envelope.MaxWraps || got["r64"] != "sign-only of r64" {
		t.Errorf("%d records, %v", len(got), err)
	}
	n := NewGrant{ID: [16]byte{2}}
	for _, name := range names {
		n.Wraps = append(n.Wraps, NewWrap{Record: name, Key: f.wrapKey(name)})
	}
	wantError(t, "one too many", f.AddGrant(context.Background(), n), ErrGrant)
	f.integrity()
}
