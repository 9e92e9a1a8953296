package agent

import (
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/gateway"
)

// TestSkew guards K-02 for what was learnt of NetSuite's clock: it is believed from a
// verified server and within 15 minutes, and goes on being right when the clock of this
// machine jumps, since it is held against the clock that nobody sets.
func TestSkew(t *testing.T) {
	const hour = time.Hour
	right := time.Unix(1_800_000_000, 0) // by NetSuite's clock, when the answer comes
	answer := func(change func(*gateway.Answer)) gateway.Answer {
		a := gateway.Answer{Verified: true, Date: right.Unix()}
		if change != nil {
			change(&a)
		}
		return a
	}
	for _, c := range []struct {
		name    string
		answer  gateway.Answer
		off     time.Duration // of our clock, when the answer comes
		learns  bool
		laterBy time.Duration // by the boot clock
		laterIs time.Duration // how far our clock is off then
		want    time.Duration // how far off what is signed is then
	}{
		{"a clock that is right", answer(nil), 0, false, hour, 0, 0},
		{"a second off", answer(nil), -time.Second, false, hour, -time.Second, -time.Second},
		{"ten minutes behind", answer(nil), -10 * time.Minute, true, hour, -10 * time.Minute, 0},
		{"ten minutes ahead", answer(nil), 10 * time.Minute, true, hour, 10 * time.Minute, 0},
		{"behind, and put right since", answer(nil), -10 * time.Minute, true, hour, 0, 0},
		{"behind, and set ahead since", answer(nil), -10 * time.Minute, true, hour, 12 * time.Minute, 0},
		{"right, and set back since", answer(nil), 0, false, hour, -12 * time.Minute, 0},
		{"behind, and set back by a day since", answer(nil), -10 * time.Minute, true, hour, -24 * hour, -24 * hour},
		{"an hour behind", answer(nil), -hour, false, hour, -hour, -hour},
		{"not verified", answer(func(a *gateway.Answer) { a.Verified = false }), -10 * time.Minute, false, hour, -10 * time.Minute, -10 * time.Minute},
		{"no date", answer(func(a *gateway.Answer) { a.Date = 0 }), -10 * time.Minute, false, hour, -10 * time.Minute, -10 * time.Minute},
		{"no answer", answer(func(a *gateway.Answer) { a.Failure = gateway.FailedCut }), -10 * time.Minute, false, hour, -10 * time.Minute, -10 * time.Minute},
	} {
		var s skew
		boot := 5 * hour
		boottime := func() time.Duration { return boot }
		if got := s.learn(c.answer, right.Add(c.off), boottime); got != c.learns {
			t.Errorf("%s: learns %v, want %v", c.name, got, c.learns)
		}
		boot += c.laterBy
		later := right.Add(c.laterBy)
		if got := s.now(later.Add(c.laterIs), boottime).Sub(later); (got - c.want).Abs() > minSkew/2 {
			t.Errorf("%s: what is signed is %s off, want %s", c.name, got, c.want)
		}
	}
}
