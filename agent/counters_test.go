package agent

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// blocksOf stands for a ledger with so many uses in all, given in blocks of this size.
func blocksOf(uses, block uint64) (reserve func([]quota) ([]uint64, error), given *atomic.Uint64) {
	given = new(atomic.Uint64)
	return func(short []quota) ([]uint64, error) {
		n := min(block, uses-given.Load())
		if n == 0 {
			return nil, limited("all were made", "")
		}
		given.Add(n)
		return []uint64{n}, nil
	}, given
}

// However many ask at once, there are as many uses as there may be, and no block is taken
// before it is needed.
func TestCountersGiveWhatThereIs(t *testing.T) {
	c := newCounters()
	reserve, given := blocksOf(100, 7)
	var ok atomic.Uint64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 25 {
				if c.take([]quota{{uses: 100}}, 0, reserve) == nil {
					ok.Add(1)
				}
			}
		})
	}
	group.Wait()
	if ok.Load() != 100 || given.Load() != 100 {
		t.Errorf("%d of 200 were counted, and %d reserved", ok.Load(), given.Load())
	}
	if err := c.take([]quota{{uses: 100}}, 0, reserve); !errors.Is(err, ErrLimited) {
		t.Errorf("one more: got %v", err)
	}
}

func TestCountersCountAllOrNone(t *testing.T) {
	c := newCounters()
	reserve, _ := blocksOf(10, 10)
	both := []quota{{subject: [32]byte{1}, uses: 10}, {subject: [32]byte{2}, rate: &unlocktoken.Rate{Count: 1, Seconds: 60}}}
	if err := c.take(both, 0, reserve); err != nil {
		t.Fatal(err)
	}
	if err := c.take(both, time.Second, reserve); !errors.Is(err, ErrLimited) {
		t.Fatalf("beyond the rate: got %v", err)
	}
	if left := c.finish()[[32]byte{1}]; left != 9 {
		t.Errorf("%d uses are left of 10, of which one was counted", left)
	}
	if err := c.take(both[:1], 0, reserve); !errors.Is(err, ErrBusy) {
		t.Errorf("after the end: got %v", err)
	}
}

func TestRate(t *testing.T) {
	c := newCounters()
	q := []quota{{rate: &unlocktoken.Rate{Count: 3, Seconds: 60}}}
	at := time.Hour
	for i, step := range []struct {
		passes time.Duration
		ok     bool
	}{{0, true}, {0, true}, {0, true}, {0, false}, {19 * time.Second, false}, {time.Second, true}, {0, false}, {time.Hour, true}, {0, true}, {0, true}, {0, false}, {-time.Minute, false}} {
		at += step.passes
		if err := c.take(q, at, nil); (err == nil) != step.ok {
			t.Errorf("step %d: got %v", i, err)
		}
	}
}

// Whose limit it is decides who can do something about it.
func TestRateSaysWhose(t *testing.T) {
	c := newCounters()
	rate := &unlocktoken.Rate{Count: 2, Seconds: 60}
	for want, q := range map[string]quota{
		"there may be 2 uses in a minute; the next is open in 30s":                    {subject: [32]byte{1}, grant: unlocktoken.ID{1}, rate: rate},
		`rule "all" of the policy allows 2 uses in a minute; the next is open in 30s`: {subject: [32]byte{2}, rule: "all", rate: rate},
		"there may be 1 use in an hour; the next is open in 1h":                       {subject: [32]byte{3}, grant: unlocktoken.ID{3}, rate: &unlocktoken.Rate{Count: 1, Seconds: 3600}},
		"there may be 2 uses in 7210 seconds; the next is open in 1h0m5s":             {subject: [32]byte{4}, grant: unlocktoken.ID{4}, rate: &unlocktoken.Rate{Count: 2, Seconds: 7210}},
		"there may be 1 use in 5400 seconds; the next is open in 1h30m":               {subject: [32]byte{5}, grant: unlocktoken.ID{5}, rate: &unlocktoken.Rate{Count: 1, Seconds: 5400}},
	} {
		for range q.rate.Count {
			if err := c.take([]quota{q}, 0, nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := refusalOf(c.take([]quota{q}, 0, nil)).Why; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// However many limits somebody invents, they are forgotten once they are full again, and
// what is reserved never is.
func TestCountersForget(t *testing.T) {
	c := newCounters()
	reserve, _ := blocksOf(10, 10)
	kept := []quota{{subject: [32]byte{9, 9, 9}, uses: 10}}
	if err := c.take(kept, 0, reserve); err != nil {
		t.Fatal(err)
	}
	invent := func(from, n int, at time.Duration) error {
		for i := range n {
			q := quota{rate: &unlocktoken.Rate{Count: 1, Seconds: 60}}
			binary.BigEndian.PutUint64(q.subject[:], uint64(from+i))            // #nosec G115 -- not negative
			binary.BigEndian.PutUint64(q.grant[:], 1+uint64(from+i)/maxOfGrant) // #nosec G115 -- not negative
			if err := c.take([]quota{q}, at, nil); err != nil {
				return err
			}
		}
		return nil
	}
	if err := invent(0, maxCounters+10, 0); !errors.Is(err, ErrBusy) {
		t.Fatalf("more than there may be at once: got %v", err)
	}
	if err := invent(1<<20, maxCounters-10, time.Minute); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	if left := c.finish()[kept[0].subject]; left != 9 {
		t.Errorf("%d are left of the reserved ones, want 9", left)
	}
}

// Uses are counted across connections, restarts and a narrowing.
func TestUsesAreCountedOverALife(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token := f.mint(unlocktoken.Caveats{Uses: 3}, "acme")
	use := func() error {
		_, err := f.show(token).Sign(t.Context(), request("acme"))
		return err
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}
	f.restart() // locked now
	if err := use(); err != nil {
		t.Fatal(err)
	}
	f.unlock()
	token, err := token.Narrow(unlocktoken.Caveats{Uses: 2}, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}
	if err := use(); !errors.Is(err, client.ErrGrantScope) {
		t.Errorf("the fourth of three: got %v", err)
	}
}

// An agent that stops gives back what it had reserved and not used.
func TestReservedUsesComeBack(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token := f.mint(unlocktoken.Caveats{Uses: 48}, "acme") // in blocks of three
	made := 0
	for range 4 {
		for range 11 {
			if _, err := f.show(token).Sign(t.Context(), request("acme")); err != nil {
				t.Fatalf("after %d: %v", made, err)
			}
			made++
		}
		f.restart()
	}
	for ; made < 48; made++ {
		if _, err := f.show(token).Sign(t.Context(), request("acme")); err != nil {
			t.Fatalf("after %d: %v", made, err)
		}
	}
	if _, err := f.show(token).Sign(t.Context(), request("acme")); !errors.Is(err, client.ErrGrantScope) {
		t.Errorf("one more: got %v", err)
	}
}

// TestCountersOfOneGrant: whoever narrows a token without end is refused by a bound of the
// grant, and neither rules nor other grants are.
func TestCountersOfOneGrant(t *testing.T) {
	c := newCounters()
	rate := func(grant byte, n uint32) []quota {
		q := quota{rate: &unlocktoken.Rate{Count: 1, Seconds: 366 * 24 * 3600}}
		q.subject[0], q.grant[0] = grant, grant
		binary.BigEndian.PutUint32(q.subject[1:], n)
		return []quota{q}
	}
	for n := range uint32(maxOfGrant) {
		if err := c.take(rate(1, n), 0, nil); err != nil {
			t.Fatalf("limit %d: %v", n, err)
		}
	}
	later := 300 * 24 * time.Hour
	if err := c.take(rate(1, maxOfGrant), later, nil); !errors.Is(err, ErrLimited) {
		t.Errorf("one more: got %v", err)
	}
	if err := c.take(rate(1, 0), later, nil); !errors.Is(err, ErrLimited) {
		t.Errorf("one that is counted already has its own limit: got %v", err)
	}
	twice := rate(1, 1)
	twice[0].rate = &unlocktoken.Rate{Count: 2, Seconds: 60}
	if err := c.take(twice, later, nil); err != nil {
		t.Errorf("one that is counted already: %v", err)
	}
	for _, grant := range []byte{0, 2} { // a rule's, another grant's
		if err := c.take(rate(grant, 0), later, nil); err != nil {
			t.Errorf("grant %d: %v", grant, err)
		}
	}
	if err := c.take(rate(1, maxOfGrant), 367*24*time.Hour, nil); err != nil {
		t.Errorf("when the first are full again: %v", err)
	}
	for grant := byte(3); len(c.of) <= maxCounters; grant++ {
		for n := range uint32(maxOfGrant) {
			_ = c.take(rate(grant, n), 367*24*time.Hour, nil)
		}
	}
	if err := c.take(rate(255, 0), 367*24*time.Hour, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("all grants together: got %v", err)
	}
	if err := c.take(rate(0, 1), 367*24*time.Hour, nil); err != nil {
		t.Errorf("a rule, with the tokens of all grants full: %v", err)
	}
}

// What another has reserved meanwhile is not reserved again, and of what was never counted
// nothing is unused.
func TestCountersReserveOnce(t *testing.T) {
	c := newCounters()
	reserve, given := blocksOf(10, 10)
	q := []quota{{subject: [32]byte{1}, uses: 10}}
	for range 2 {
		if err := c.reserve(q, reserve); err != nil {
			t.Fatal(err)
		}
	}
	if c.unused(q[0].subject) != 10 || given.Load() != 10 || c.unused([32]byte{2}) != 0 {
		t.Errorf("%d are unused of %d", c.unused(q[0].subject), given.Load())
	}
	if err := c.reserve(q, func([]quota) ([]uint64, error) { t.Error("reserved for nobody"); return nil, nil }); err != nil {
		t.Error(err)
	}
}
