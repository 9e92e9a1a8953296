package agent

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// underway counts the uses of rules that limit how many there are at once, by the name of
// the rule. Its zero value counts from nothing.
type underway struct {
	mu sync.Mutex // guards n
	n  map[string]int
}

// enter counts one more use of rule, unless there are most already.
func (u *underway) enter(rule string, most int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n[rule] >= most {
		return false
	}
	if u.n == nil {
		u.n = make(map[string]int)
	}
	u.n[rule]++
	return true
}

// leave counts one less.
func (u *underway) leave(rule string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n[rule]--; u.n[rule] == 0 {
		delete(u.n, rule)
	}
}

// admitUse checks the limits that need a count, of the rule that decided and of the grant.
// The rule's place among uses at once comes first: it is given back, and a use that was
// counted is not.
func (a *Agent) admitUse(u *use, s *session, d policy.Decision, boot time.Duration) error {
	if d.Concurrency > 0 {
		if !a.underway.enter(d.Rule, d.Concurrency) {
			return limited(fmt.Sprintf("rule %q of the policy allows %d uses at once", d.Rule, d.Concurrency), "try again in a moment")
		}
		u.counted = true
	}
	quotas, v := quotasOfRule(d), s.vault
	if g := u.caller.granted(); g != nil {
		quotas, v = slices.Concat(g.quotas, quotas), g.vault
	}
	return a.count(v, quotas, boot)
}

// endUse gives back the place that a use has among those at once.
func (a *Agent) endUse(u *use) {
	if u.counted {
		u.counted = false
		a.underway.leave(u.rule)
	}
}

// quotasOfRule returns what has to be counted for a decision. It counts by the name of
// the rule, in whatever policy that stands.
func quotasOfRule(d policy.Decision) []quota {
	if d.Uses == 0 && d.Rate == (policy.Rate{}) {
		return nil
	}
	q := quota{subject: sha256.Sum256([]byte("nsagent/v1 rule of the policy\x00" + d.Rule)), uses: d.Uses, rule: d.Rule}
	if d.Rate != (policy.Rate{}) {
		q.rate = &unlocktoken.Rate{Count: d.Rate.Count, Seconds: uint64(d.Rate.Per / time.Second)} // #nosec G115 -- not negative
	}
	return []quota{q}
}
