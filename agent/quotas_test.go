package agent

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault/store"
)

// Each limit of the tokens of a grant is a subject of the ledger once, up to a bound of the
// grant; those of rules are none of a grant's.
func TestSubjectsOfAGrant(t *testing.T) {
	f := start(t)
	l, _ := f.openedLedger()
	defer func() { _ = l.Close() }()
	grant := unlocktoken.ID{1}
	subjects := func(id unlocktoken.ID) uint64 { n, _ := l.Get(ledgerSubjects, id[:]); return n }
	limit := func(of unlocktoken.ID, n byte) []quota {
		return []quota{{subject: [32]byte{of[0], n}, grant: of, uses: 1000}}
	}
	for range 3 {
		for _, q := range [][]quota{limit(grant, 1), limit(unlocktoken.ID{}, 1)} {
			if _, err := reserve(l, q); err != nil {
				t.Fatal(err)
			}
		}
	}
	if subjects(grant) != 1 || subjects(unlocktoken.ID{}) != 0 {
		t.Errorf("%d subjects of the grant, and %d of nobody's", subjects(grant), subjects(unlocktoken.ID{}))
	}
	if err := l.Append(store.Entry{Kind: ledgerSubjects, Subject: grant[:], Value: maxSubjects - 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := reserve(l, limit(grant, 2)); err != nil {
		t.Errorf("the last: %v", err)
	}
	if _, err := reserve(l, limit(grant, 3)); !errors.Is(err, ErrLimited) {
		t.Errorf("one more: got %v", err)
	}
	if _, err := reserve(l, limit(grant, 1)); err != nil {
		t.Errorf("one that is counted already: %v", err)
	}
}

// Who has used up a limit is told whose it was: a rule's of the policy, or the token's.
func TestUsesThatAreUsedUp(t *testing.T) {
	f := start(t)
	l, _ := f.openedLedger()
	defer func() { _ = l.Close() }()
	for grant, want := range map[unlocktoken.ID]pb.Code{{}: pb.CodeDenied, {1}: pb.CodeGrantScope} {
		q := []quota{{subject: [32]byte{grant[0]}, grant: grant, uses: 1}}
		if _, err := reserve(l, q); err != nil {
			t.Fatal(err)
		}
		_, err := reserve(l, q)
		if refusedWith(err) != want || !errors.Is(err, ErrLimited) {
			t.Errorf("of grant %v: got %v, want %s", grant, err, want)
		}
		if r := refusalOf(err); want == pb.CodeGrantScope && (r.Why != "there may be 1 use, and it was made" || r.Next != "have another token made:  nsagent grant new") {
			t.Errorf("of a grant: got %q, %q", r.Why, r.Next)
		}
	}
	if r := refusalOf(usedUp(quota{grant: unlocktoken.ID{1}, uses: 2})); r.Why != "there may be 2 uses, and all were made" {
		t.Errorf("of two: got %q", r.Why)
	}
}

// A rule whose limit is changed goes by the new one from the next use on, whatever was
// reserved for the old one; of that nothing is lost, and nothing counts twice.
func TestUsesOfALimitThatChanges(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	limit := func(n int) { f.adopt(strings.Replace(all, "what", fmt.Sprintf("max_uses = %d\nwhat", n), 1)) }
	uses := func(want int) {
		t.Helper()
		for range want {
			f.sign("acme")
		}
		if _, err := f.signer.Sign(t.Context(), request("acme")); !errors.Is(err, client.ErrDenied) {
			t.Errorf("one more than %d: got %v, want ErrDenied", want, err)
		}
	}
	limit(10_000)
	f.sign("acme")
	f.sign("acme") // of a block of 64
	limit(2)
	uses(0)
	limit(5)
	uses(3)
	limit(10_000)
	f.sign("acme")
	f.restart()
	f.unlock()
	limit(9)
	uses(3)
}

// What is given back stands in the ledger, also where nothing can be reserved in its place;
// where there is nothing to give back, reserving is one entry for each limit.
func TestReserveGivesBackFirst(t *testing.T) {
	f := start(t)
	l, _ := f.openedLedger()
	defer func() { _ = l.Close() }()
	q := quota{subject: [32]byte{1}, uses: 1000}
	size := f.ledgerSize()
	if _, err := reserve(l, []quota{q}); err != nil {
		t.Fatal(err)
	}
	entry := f.ledgerSize() - size
	if _, err := reserve(l, []quota{q}); err != nil {
		t.Fatal(err)
	}
	if got := f.ledgerSize() - size; got != 2*entry {
		t.Errorf("two blocks take %d bytes, one takes %d", got, entry)
	}
	q.uses, q.back = 2, 122 // of two blocks of 62
	if _, err := reserve(l, []quota{q}); refusedWith(err) != pb.CodeDenied {
		t.Errorf("under a limit that was reached: got %v", err)
	}
	if used, _ := l.Get(ledgerUses, q.subject[:]); used != 2 {
		t.Errorf("%d uses are counted, want the 2 that were made", used)
	}
}

// What cannot be written down is not reserved, nor given back, wherever the disk fills:
// whatever there is left, that is why.
func TestReserveOnAFullDisk(t *testing.T) {
	for room, want := range []string{"giving uses back", "reserving uses", ""} {
		l := &fillingLedger{map[store.Kind]uint64{ledgerUses: 1}, room}
		got, err := reserve(l, []quota{{uses: 2, back: 1}})
		if want == "" && err == nil && slices.Equal(got, []uint64{1}) && l.values[ledgerUses] == 1 {
			continue
		}
		if want == "" || !errors.Is(err, errFilled) || !strings.Contains(err.Error(), want) || got != nil {
			t.Errorf("room for %d: got %v, %v, want %q", room, got, err, want)
		}
	}
}

// The uses that were made are those of the limit on uses, wherever a rate stands.
func TestUsesMadeBesideARate(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token, err := f.mint(unlocktoken.Caveats{Rate: &unlocktoken.Rate{Count: 100, Seconds: 1}}, "acme").Narrow(unlocktoken.Caveats{Uses: 5}, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := f.show(token)
	for range 2 {
		if _, err := c.Sign(t.Context(), request("acme")); err != nil {
			t.Fatal(err)
		}
	}
	l, _ := f.openedLedger()
	defer func() { _ = l.Close() }()
	if n := f.agent.usesMade(l, mustRead(t, token)); n != 2 {
		t.Errorf("%d uses were made, want 2", n)
	}
}

// Where nothing is limited nothing is counted, and nobody waits.
func TestUseWithoutLimits(t *testing.T) {
	a := &Agent{counters: newCounters()}
	a.counters.finish()
	if err := a.count(nil, nil, 0); err != nil {
		t.Error(err)
	}
}

// What a rule has counted are its uses and its rate, and nothing where it has neither.
func TestQuotasOfARule(t *testing.T) {
	rate := policy.Rate{Count: 3, Per: time.Minute}
	for _, c := range []struct {
		o    policy.Obligations
		uses uint64
		rate *unlocktoken.Rate
	}{
		{policy.Obligations{}, 0, nil}, {policy.Obligations{Uses: 5}, 5, nil}, {policy.Obligations{Rate: rate}, 0, &unlocktoken.Rate{Count: 3, Seconds: 60}},
		{policy.Obligations{Uses: 5, Rate: rate}, 5, &unlocktoken.Rate{Count: 3, Seconds: 60}},
	} {
		got := quotasOfRule(policy.Decision{Rule: "r", Obligations: c.o})
		if none := c.uses == 0 && c.rate == nil; none != (len(got) == 0) {
			t.Fatalf("of %+v: got %+v", c.o, got)
		}
		for _, q := range got {
			if q.uses != c.uses || (q.rate == nil) != (c.rate == nil) || q.rate != nil && *q.rate != *c.rate || q.grant != (unlocktoken.ID{}) {
				t.Errorf("of %+v: got %+v", c.o, q)
			}
		}
	}
}
