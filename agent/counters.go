package agent

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// quota is a limit that somebody has to count for: of uses in all, of uses in a time, or
// of both.
type quota struct {
	// subject names what is counted; all uses of one subject count together.
	subject [32]byte
	// grant is whose token set the limit; the zero ID where a rule of the policy did.
	grant unlocktoken.ID
	// rule is the name of that rule.
	rule string
	// uses is how many there may be in all; 0 means any number.
	uses uint64
	// back is how many were reserved for another limit of the same subject, and not used:
	// the ledger gets them back before it reserves any for this one.
	back uint64
	// rate is how many there may be in a time; nil means any number.
	rate *unlocktoken.Rate
}

// allows begins a sentence of what there may be.
func (q *quota) allows() string {
	if q.rule == "" {
		return "there may be"
	}
	return fmt.Sprintf("rule %q of the policy allows", q.rule)
}

const (
	// maxCounters is how many subjects are counted at once, about, before tokens are refused
	// that would add more. Those of rules are as many as the policy has.
	maxCounters = 1 << 16
	// maxOfGrant is how many subjects the tokens of one grant may have counted at once:
	// whoever holds one can narrow it without end, and each time with a limit of its own.
	maxOfGrant = maxSubjects
)

// counters count uses against quotas. What counts over the life of a grant is taken from
// the ledger in blocks, which are durable before the first use of them: an agent that is
// killed loses the rest of its blocks and never gives more than there is. A rate is a
// bucket in memory, full when the agent starts.
type counters struct {
	mu      sync.Mutex // guards what follows
	of      map[[32]byte]*counter
	ofGrant map[unlocktoken.ID]int // how many of them the tokens of each grant have added
	closed  bool                   // nothing is given any more

	reserving sync.Mutex // held by the one that asks the ledger; taken before mu
}

// counter is the state of one subject.
type counter struct {
	grant    unlocktoken.ID // whose token added it; the zero ID: a rule did
	reserved uint64         // taken from the ledger and not used
	limit    uint64         // the uses of the quota that they were reserved for
	// full is the boot-clock time at which the bucket is full again; then there is nothing
	// to remember, unless something is reserved.
	full time.Duration
	// level is how full the bucket was at the boot-clock time of at; unset means full.
	level float64
	at    time.Duration
	set   bool
}

func newCounters() *counters {
	return &counters{of: make(map[[32]byte]*counter), ofGrant: make(map[unlocktoken.ID]int)}
}

// take counts one use against all quotas, or against none and returns why not: the error
// wraps ErrLimited, or is that of reserve. now is a boot-clock time. reserve takes blocks
// of uses from the ledger, of each quota one, and returns how large they are.
func (c *counters) take(quotas []quota, now time.Duration, reserve func([]quota) ([]uint64, error)) error {
	for {
		short, err := c.try(quotas, now)
		if len(short) == 0 {
			return err
		}
		if err := c.reserve(short, reserve); err != nil {
			return err
		}
	}
}

// span shows a time for people: 1h and not 1h0m0s.
func span(d time.Duration) string {
	s := d.String()
	for _, unit := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, unit) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// try is take as far as it goes without the ledger: it returns the quotas that have to be
// reserved first, and has counted nothing then.
func (c *counters) try(quotas []quota, now time.Duration) (short []quota, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("counting a use: %w", ErrBusy)
	}
	if err := c.makeRoomLocked(quotas, now); err != nil {
		return nil, err
	}
	for _, q := range quotas {
		n := c.counterLocked(q)
		if wait := n.wait(q.rate, now); wait > 0 {
			return nil, limited(fmt.Sprintf("%s %s; the next is open in %s", q.allows(), q.rate, span((wait+time.Second-1).Truncate(time.Second))), "wait, then try again")
		}
		if n.lacks(q) {
			short = append(short, q)
		}
	}
	if len(short) > 0 {
		return short, nil
	}
	for _, q := range quotas {
		n := c.counterLocked(q)
		if q.uses != 0 {
			n.reserved--
		}
		if q.rate != nil {
			n.level--
			missing := (float64(q.rate.Count) - n.level) / float64(q.rate.Count)
			n.full = now + time.Duration(missing*float64(q.rate.Seconds)*float64(time.Second))
		}
	}
	return nil, nil
}

// makeRoomLocked refuses quotas of a token where its grant has too many subjects counted
// already, or all grants together have, and there is none that can be forgotten.
func (c *counters) makeRoomLocked(quotas []quota, now time.Duration) error {
	fresh, swept := make(map[unlocktoken.ID]int), false
	for _, q := range quotas {
		if q.grant == (unlocktoken.ID{}) || c.of[q.subject] != nil {
			continue
		}
		fresh[q.grant]++
		full := func() bool { return c.ofGrant[q.grant]+fresh[q.grant] > maxOfGrant || len(c.of) > maxCounters }
		if full() && !swept {
			c.sweepLocked(now)
			swept = true
		}
		switch {
		case !full():
		case len(c.of) > maxCounters:
			return fmt.Errorf("counting a use: %w", ErrBusy)
		default:
			return limited(fmt.Sprintf("at most %d limits are counted for the tokens of one grant at once", maxOfGrant), "narrow less often, or have another grant made")
		}
	}
	return nil
}

// sweepLocked forgets the subjects of which there is nothing to remember.
func (c *counters) sweepLocked(now time.Duration) {
	for subject, n := range c.of {
		if n.reserved > 0 || now < n.full {
			continue
		}
		delete(c.of, subject)
		if c.ofGrant[n.grant]--; c.ofGrant[n.grant] <= 0 {
			delete(c.ofGrant, n.grant)
		}
	}
}

func (c *counters) counterLocked(q quota) *counter {
	n := c.of[q.subject]
	if n == nil {
		n = &counter{grant: q.grant}
		c.of[q.subject] = n
		if q.grant != (unlocktoken.ID{}) {
			c.ofGrant[q.grant]++
		}
	}
	return n
}

// lacks reports whether uses have to be reserved before one of q is made. What was reserved
// for another limit, which a rule had before, says nothing of this one.
func (n *counter) lacks(q quota) bool {
	return q.uses != 0 && (n.reserved == 0 || n.limit != q.uses)
}

// wait fills the bucket up to now, and returns how long it is until there is a use in it:
// not longer than 0 where there is.
func (n *counter) wait(r *unlocktoken.Rate, now time.Duration) time.Duration {
	if r == nil {
		return 0
	}
	perSecond := float64(r.Count) / float64(r.Seconds)
	if !n.set {
		n.level, n.at, n.set = float64(r.Count), now, true
	}
	if passed := now - n.at; passed > 0 {
		n.level, n.at = min(n.level+passed.Seconds()*perSecond, float64(r.Count)), now
	}
	return time.Duration(math.Ceil((1 - n.level) / perSecond * float64(time.Second)))
}

// reserve has blocks of uses reserved for what still has none. What it gives back it has not
// any more, whether the ledger could be told or not: that gives fewer uses, never more.
func (c *counters) reserve(short []quota, reserve func([]quota) ([]uint64, error)) error {
	c.reserving.Lock()
	defer c.reserving.Unlock()
	c.mu.Lock()
	var still []quota
	for _, q := range short {
		if n := c.counterLocked(q); n.lacks(q) {
			q.back, n.reserved = n.reserved, 0
			still = append(still, q)
		}
	}
	c.mu.Unlock()
	if len(still) == 0 {
		return nil // another was faster
	}
	blocks, err := reserve(still)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, q := range still {
		n := c.counterLocked(q)
		n.reserved, n.limit = blocks[i], q.uses
	}
	return nil
}

// hold keeps blocks from being taken until release is called: what the ledger says and
// unused fit together meanwhile. It is called before the ledger is opened, as by reserve.
func (c *counters) hold() (release func()) {
	c.reserving.Lock()
	return c.reserving.Unlock
}

// unused returns how many uses of a subject the ledger counts that were not made.
func (c *counters) unused(subject [32]byte) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.of[subject]; n != nil {
		return n.reserved
	}
	return 0
}

// finish ends the counting, and returns what was reserved and not used, by subject.
func (c *counters) finish() map[[32]byte]uint64 {
	c.reserving.Lock()
	defer c.reserving.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	rest := make(map[[32]byte]uint64)
	for subject, n := range c.of {
		if n.reserved > 0 {
			rest[subject] = n.reserved
		}
	}
	return rest
}

func limited(why, next string) error {
	return refuse(ErrLimited, pb.CodeLimited, "the limit is reached", why, next)
}
