package approval

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs f in a bubble of its own time, on a queue whose boot clock it is.
// timeout is how long the requests of these tests wait.
const timeout = 2 * time.Minute

func bubble(t *testing.T, f func(t *testing.T, q *Queue)) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f(t, New(func() time.Duration { return time.Since(start) }))
	})
}

func approved(q *Queue, what Question) bool {
	_, ok := q.Approved(what)
	return ok
}

func question(n int) Question {
	return Question{UID: 1000, Exe: "/usr/bin/python3", Profile: "acme", Account: "1234567", Environment: "production", Kind: "sign", Method: "POST",
		URL: fmt.Sprintf("https://1234567.suitetalk.api.netsuite.com/x?n=%d", n), Rule: "writes"}
}

// outcome is what a caller got.
type outcome struct {
	last bool
	err  error
}

// wait has a caller wait in a goroutine of its own.
func wait(ctx context.Context, t *testing.T, q *Queue, what Question, pid int) <-chan outcome {
	t.Helper()
	w, _, err := q.Ask(what, Caller{PID: pid}, timeout)
	if err != nil {
		t.Fatalf("Ask: %v", err)
	}
	out := make(chan outcome, 1)
	go func() {
		last, err := w.Wait(ctx)
		out <- outcome{last, err}
	}()
	return out
}

// only returns the one request that waits.
func only(t *testing.T, q *Queue) Request {
	t.Helper()
	all, _ := q.Requests()
	if len(all) != 1 {
		t.Fatalf("%d requests: %v", len(all), all)
	}
	return all[0]
}

func TestOneRequestForAll(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		const n = 20
		var all []<-chan outcome
		for i := range n {
			all = append(all, wait(t.Context(), t, q, question(1), i))
		}
		r := only(t, q)
		if len(r.Callers) != n || r.Question != question(1) || !regexp.MustCompile(`^[a-z2-7]{6}$`).MatchString(r.ID) || r.Ends-r.Since != timeout {
			t.Errorf("got %+v", r)
		}
		if err := q.Approve(r.ID, Once); err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if a := <-c; a.err != nil || a.last {
				t.Errorf("got %+v", a)
			}
		}
		if approved(q, question(1)) {
			t.Error("once counts twice")
		}
		for _, again := range []error{q.Approve(r.ID, Once), q.Deny(r.ID)} {
			if !errors.Is(again, ErrNotFound) {
				t.Errorf("answered again: got %v", again)
			}
		}
	})
}

// Whatever differs is another question.
func TestOtherQuestions(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		change := map[string]func(*Question){
			"uid": func(w *Question) { w.UID = 1 }, "exe": func(w *Question) { w.Exe = "/bin/sh" }, "grant": func(w *Question) { w.Grant = "g_a" }, "socket": func(w *Question) { w.Socket = "s" },
			"form": func(w *Question) { w.FormSHA256 = "a" }, "scopes": func(w *Question) { w.Scopes = "rest_webservices" },
			"profile": func(w *Question) { w.Profile = "b" }, "account": func(w *Question) { w.Account = "7" }, "environment": func(w *Question) { w.Environment = "sandbox" },
			"credential": func(w *Question) { w.Credential[15] = 1 },
			"kind":       func(w *Question) { w.Kind = "send" }, "method": func(w *Question) { w.Method = "DELETE" }, "url": func(w *Question) { w.URL += "&y" },
			"rule": func(w *Question) { w.Rule = "other" }, "totp": func(w *Question) { w.TOTP = true },
		}
		wait(t.Context(), t, q, question(1), 1)
		if err := q.Approve(only(t, q).ID, Session); err != nil {
			t.Fatal(err)
		}
		for name, f := range change {
			other := question(1)
			f(&other)
			if approved(q, other) {
				t.Errorf("another %s is approved too", name)
			}
			if _, first, err := q.Ask(other, Caller{}, timeout); err != nil || !first {
				t.Errorf("another %s: first %v, %v", name, first, err)
			}
		}
		if !approved(q, question(1)) {
			t.Error("what was approved is not")
		}
		q.Drop()
		if approved(q, question(1)) {
			t.Error("approved after the drop")
		}
	})
}

func TestSpans(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		for span, lives := range map[Span]time.Duration{Once: 0, FiveMinutes: 5 * time.Minute, Session: 0} {
			q.Drop()
			c := wait(t.Context(), t, q, question(1), 1)
			if err := q.Approve(only(t, q).ID, span); err != nil || (<-c).err != nil {
				t.Fatal(err)
			}
			if got := approved(q, question(1)); got != (span != Once) {
				t.Errorf("span %d: at once %v", span, got)
			}
			if lives > 0 {
				time.Sleep(lives - time.Second)
				if !approved(q, question(1)) {
					t.Errorf("span %d: over too early", span)
				}
				time.Sleep(time.Second)
				if approved(q, question(1)) {
					t.Errorf("span %d: goes on for ever", span)
				}
			}
		}
		time.Sleep(1000 * time.Hour)
		c := wait(t.Context(), t, q, question(2), 1)
		if err := q.Approve(only(t, q).ID, Session); err != nil || (<-c).err != nil {
			t.Fatal(err)
		}
		if time.Sleep(1000 * time.Hour); !approved(q, question(2)) {
			t.Error("a session is over by itself")
		}
	})
}

// A denial answers whoever tries again, for a minute.
func TestDeny(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		a, b := wait(t.Context(), t, q, question(1), 1), wait(t.Context(), t, q, question(1), 2)
		if err := q.Deny(only(t, q).ID); err != nil {
			t.Fatal(err)
		}
		for _, c := range []<-chan outcome{a, b} {
			if got := <-c; !errors.Is(got.err, ErrDenied) || got.last {
				t.Errorf("got %+v", got)
			}
		}
		if _, _, err := q.Ask(question(1), Caller{}, timeout); !errors.Is(err, ErrDenied) {
			t.Errorf("asked again at once: got %v", err)
		}
		if _, first, err := q.Ask(question(2), Caller{}, timeout); err != nil || !first {
			t.Errorf("another question: %v, %v", first, err)
		}
		time.Sleep(quiet)
		if _, first, err := q.Ask(question(1), Caller{}, timeout); err != nil || !first {
			t.Errorf("asked again later: %v, %v", first, err)
		}
	})
}

func TestTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		first := wait(t.Context(), t, q, question(1), 1)
		time.Sleep(timeout - time.Second)
		second := wait(t.Context(), t, q, question(1), 2) // has a second, not two minutes
		r := only(t, q)
		a, b := <-first, <-second
		if !errors.Is(a.err, ErrTimeout) || !errors.Is(b.err, ErrTimeout) || a.last == b.last {
			t.Errorf("got %+v, %+v", a, b)
		}
		if err := q.Approve(r.ID, Once); !errors.Is(err, ErrNotFound) {
			t.Errorf("approved too late: got %v", err)
		}
	})
}

// A machine that slept through the timeout approves nothing: the boot clock went on.
func TestApprovedTooLateByTheBootClock(t *testing.T) {
	var now time.Duration
	q := New(func() time.Duration { return now })
	if _, _, err := q.Ask(question(1), Caller{}, timeout); err != nil {
		t.Fatal(err)
	}
	id := only(t, q).ID
	now = timeout
	for _, id := range []string{id, "nobody"} {
		if _, err := q.Find(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("Find %s: got %v", id, err)
		}
	}
	if err := q.Approve(id, Session); !errors.Is(err, ErrNotFound) || approved(q, question(1)) {
		t.Errorf("Approve: got %v", err)
	}
	if all, _ := q.Requests(); len(all) != 0 {
		t.Errorf("listed: %v", all)
	}
}

// Who gives up leaves the request to the others; the last one takes it away.
func TestLeave(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		ctx, cancel := context.WithCancel(t.Context())
		a, b := wait(ctx, t, q, question(1), 1), wait(t.Context(), t, q, question(1), 2)
		cancel()
		if got := <-a; !errors.Is(got.err, context.Canceled) || got.last {
			t.Errorf("got %+v", got)
		}
		if r := only(t, q); len(r.Callers) != 1 || r.Callers[0].PID != 2 {
			t.Errorf("got %+v", r)
		}
		if err := q.Approve(only(t, q).ID, Once); err != nil || (<-b).err != nil {
			t.Error("the other one did not go ahead")
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := <-wait(ctx, t, q, question(1), 3); !errors.Is(got.err, context.DeadlineExceeded) || !got.last {
			t.Errorf("got %+v", got)
		}
		if all, _ := q.Requests(); len(all) != 0 {
			t.Errorf("left over: %v", all)
		}
	})
}

func TestDropAndCancel(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		a, b := wait(t.Context(), t, q, question(1), 1), wait(t.Context(), t, q, question(2), 2)
		q.Drop()
		if x, y := <-a, <-b; !errors.Is(x.err, ErrDropped) || !errors.Is(y.err, ErrDropped) {
			t.Errorf("got %v, %v", x.err, y.err)
		}
		w, _, err := q.Ask(question(3), Caller{}, timeout)
		if err != nil {
			t.Fatal(err)
		}
		c := wait(t.Context(), t, q, question(3), 3)
		w.Cancel()
		if got := <-c; !errors.Is(got.err, ErrDropped) {
			t.Errorf("got %v", got.err)
		}
	})
}

// Whatever happens at once, each caller gets one answer, one approval frees each caller
// once, and nothing is left over.
func TestRandomly(t *testing.T) {
	start := time.Now()
	q := New(func() time.Duration { return time.Since(start) })
	var callers, others sync.WaitGroup
	over := make(chan struct{})
	for range 3 {
		others.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				all, revision := q.Requests()
				for _, r := range all {
					switch rand.IntN(8) {
					case 0:
						_ = q.Deny(r.ID)
					case 1:
						q.Drop()
					default:
						_ = q.Approve(r.ID, Span(rand.IntN(3)))
					}
				}
				select {
				case <-q.Changed(revision):
				case <-over:
				}
			}
		})
	}
	for i := range 64 {
		callers.Go(func() {
			for range 50 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(int(time.Millisecond))))
				w, _, err := q.Ask(question(rand.IntN(8)), Caller{PID: i}, time.Duration(rand.IntN(int(time.Millisecond))))
				if err == nil {
					_, err = w.Wait(ctx)
				}
				cancel()
				switch {
				case err == nil, errors.Is(err, ErrDenied), errors.Is(err, ErrTimeout), errors.Is(err, ErrDropped), errors.Is(err, ErrLimit), errors.Is(err, context.DeadlineExceeded):
				default:
					t.Errorf("got %v", err)
				}
			}
		})
	}
	callers.Wait()
	close(over)
	others.Wait()
	if len(q.requests) != 0 {
		t.Errorf("%d requests are left over", len(q.requests))
	}
}

// Where a profile has another name, or is gone, nobody waits for it any more and nothing is
// approved for it; a no stays, and so does all that is about others.
func TestDropProfiles(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		of := func(profile string, n int) Question {
			w := question(n)
			w.Profile = profile
			return w
		}
		for _, profile := range []string{"a", "b"} {
			for n, answer := range map[int]func(id string) error{1: func(id string) error { return q.Approve(id, Session) }, 2: q.Deny} {
				w, _, err := q.Ask(of(profile, n), Caller{}, timeout)
				if err == nil {
					err = answer(w.Request().ID)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		waits, other := wait(t.Context(), t, q, of("a", 3), 7), wait(t.Context(), t, q, of("b", 3), 7)
		_, before := q.Requests()
		q.DropProfiles("a", "c")
		if a := <-waits; !errors.Is(a.err, ErrDropped) {
			t.Errorf("got %+v", a)
		}
		if r := only(t, q); r.Profile != "b" {
			t.Errorf("got %+v", r)
		}
		if _, now := q.Requests(); now == before {
			t.Error("nobody is told")
		}
		if approved(q, of("a", 1)) || !approved(q, of("b", 1)) {
			t.Errorf("approved: a %v, b %v", approved(q, of("a", 1)), approved(q, of("b", 1)))
		}
		if _, _, err := q.Ask(of("a", 2), Caller{}, timeout); !errors.Is(err, ErrDenied) {
			t.Errorf("denied a moment ago: got %v", err)
		}
		q.Drop()
		<-other
	})
}
