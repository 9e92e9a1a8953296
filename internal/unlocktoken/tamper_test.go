package unlocktoken

import (
	"crypto/rand"
	"slices"
	"testing"
)

// fourBlocks returns a world with a token that was narrowed three times.
func fourBlocks(t testing.TB) (world, *Token) {
	t.Helper()
	w := newWorld(t, Caveats{Hosts: []string{"1234567-sb1.suitetalk.api.netsuite.com"}, Uses: 100})
	token := w.token
	for _, c := range []Caveats{{Methods: []string{"GET", "POST"}}, {Paths: []string{"/services/rest/record/v1/customer/**"}, Rate: &Rate{Count: 5, Seconds: 60}}, {NotAfter: now + 600}} {
		var err error
		if token, err = token.Narrow(c, nil, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	return w, token
}

// Blocks that were dropped, doubled, moved, or taken from a chain of the same issuer for
// the same holder, are noticed.
func TestBlocksKeepTheirPlace(t *testing.T) {
	w, token := fourBlocks(t)
	challenge := []byte("c")
	proof := token.Prove(challenge)
	sibling, err := token.Narrow(Caveats{Methods: []string{"GET"}}, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	all := token.Chain
	for name, chain := range map[string]Chain{
		"the first dropped": all[1:], "the last dropped": all[:3], "one in between dropped": {all[0], all[2], all[3]},
		"two exchanged": {all[0], all[2], all[1], all[3]}, "one twice": {all[0], all[1], all[1], all[2], all[3]},
		"another's last block": append(slices.Clone(all[:3]), sibling.Chain[4]), "none": {}, "too many": slices.Repeat(all, 3),
		"the payload of another": {all[0], {Payload: all[2].Payload, Next: all[1].Next, Signature: all[1].Signature}, all[2], all[3]},
	} {
		if g, err := chain.Verify(w.public, challenge, proof); err == nil || g != nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestNarrowingEnds(t *testing.T) {
	_, token := fourBlocks(t)
	for len(token.Chain) < MaxBlocks {
		var err error
		if token, err = token.Narrow(Caveats{}, nil, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := token.Narrow(Caveats{}, nil, rand.Reader); err == nil {
		t.Errorf("narrowed to %d blocks", MaxBlocks+1)
	}
}
