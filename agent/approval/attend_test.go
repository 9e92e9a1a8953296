package approval

import (
	"context"
	"slices"
	"testing"
)

// Who asks at its own terminal is marked, and who waits beside it is not; what one process
// waits for is marked in every request, and goes with it.
func TestAttend(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		ctx, cancel := context.WithCancel(t.Context())
		first := wait(ctx, t, q, question(1), 7)
		other := wait(t.Context(), t, q, question(1), 8)
		_, before := q.Requests()
		q.Attend(9, true)
		if _, now := q.Requests(); now != before {
			t.Error("a stranger changes something")
		}
		q.Attend(7, true)
		q.Attend(7, true)
		if r := only(t, q); !r.Callers[0].Attended || r.Callers[1].Attended {
			t.Errorf("got %+v", r.Callers)
		}
		if _, now := q.Requests(); now != before+1 {
			t.Errorf("%d changes, want one", now-before)
		}
		cancel()
		<-first
		if r := only(t, q); len(r.Callers) != 1 || r.Callers[0] != (Caller{PID: 8}) {
			t.Errorf("got %+v", r.Callers)
		}
		q.Attend(8, true)
		q.Attend(8, false)
		if r := only(t, q); r.Callers[0].Attended {
			t.Errorf("got %+v", r.Callers)
		}
		q.Drop()
		<-other
	})
}

// Of all that wait for one request one process asks, the first to say so. The next may once
// that one asks no more, or has gone; of another request it may at any time.
func TestOneAttends(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		ctx, leave := context.WithCancel(t.Context())
		var gone, rest []<-chan outcome
		for range 2 { // of one process all that wait are alike
			gone = append(gone, wait(ctx, t, q, question(1), 7))
		}
		for _, pid := range []int{8, 9} {
			rest = append(rest, wait(t.Context(), t, q, question(1), pid))
		}
		rest = append(rest, wait(t.Context(), t, q, question(2), 8))
		asks := func(want ...[]int) {
			t.Helper()
			all, _ := q.Requests()
			for i, r := range all {
				var pids []int
				for _, c := range r.Callers {
					if c.Attended {
						pids = append(pids, c.PID)
					}
				}
				if !slices.Equal(pids, want[i]) {
					t.Errorf("request %d: %v ask, want %v", i+1, pids, want[i])
				}
			}
		}
		q.Attend(7, true)
		q.Attend(8, true)
		asks([]int{7, 7}, []int{8})
		q.Attend(8, false)
		asks([]int{7, 7}, nil)
		q.Attend(7, false)
		q.Attend(9, true)
		q.Attend(7, true)
		asks([]int{9}, nil)
		q.Attend(9, false)
		q.Attend(7, true)
		leave()
		for _, g := range gone {
			<-g
		}
		asks(nil, nil)
		q.Attend(8, true)
		asks([]int{8}, []int{8})
		q.Drop()
		for _, r := range rest {
			<-r
		}
	})
}
