package approval

import (
	"errors"
	"testing"
	"time"
)

// One user can neither fill the queue nor keep others out of it.
func TestCaps(t *testing.T) {
	q := New(func() time.Duration { return 0 })
	ask := func(uid uint32, n int) error {
		w := question(n)
		w.UID = uid
		_, _, err := q.Ask(w, Caller{PID: n}, timeout)
		return err
	}
	for n := range maxOfUser {
		if err := ask(1, n); err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
	}
	if err := ask(1, maxOfUser); !errors.Is(err, ErrLimit) {
		t.Errorf("one request more: got %v", err)
	}
	for n := range maxCallers - maxOfUser {
		if err := ask(1, 0); err != nil {
			t.Fatalf("caller %d: %v", n, err)
		}
	}
	if err := ask(1, 0); !errors.Is(err, ErrLimit) {
		t.Errorf("one caller more: got %v", err)
	}
	if err := ask(2, 0); err != nil {
		t.Errorf("somebody else: %v", err)
	}
}

// Of too many answers those are kept that count the longest, and the new one.
func TestFirstToEndMakesRoom(t *testing.T) {
	q := New(func() time.Duration { return 0 })
	remember := func(n int, ends time.Duration) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.rememberLocked(q.denied, question(n), answer{"x", ends})
	}
	const all = 3 * maxRemember
	for n := range all {
		remember(n, time.Hour+time.Duration(n))
	}
	for n := range all {
		if _, kept := q.denied[question(n)]; kept != (n >= all-maxRemember) {
			t.Errorf("denial %d of %d is kept: %v", n, all, kept)
		}
	}
	remember(all, time.Minute)
	if _, kept := q.denied[question(all)]; !kept || len(q.denied) != maxRemember {
		t.Errorf("%d denials are kept, the new one %v", len(q.denied), kept)
	}
}

func TestChanged(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		_, revision := q.Requests()
		c := q.Changed(revision)
		wait(t.Context(), t, q, question(1), 1)
		<-c
		<-q.Changed(revision) // the past is no news
		_, revision = q.Requests()
		c = q.Changed(revision)
		if err := q.Deny(only(t, q).ID); err != nil {
			t.Fatal(err)
		}
		<-c
	})
}

// However many users come by the sockets of grants, one socket leaves the others places,
// and all of them the owner.
func TestSocketsLeavePlaces(t *testing.T) {
	q := New(func() time.Duration { return 0 })
	ask := func(socket string, uid uint32, n int) error {
		w := question(n)
		w.Outermost, w.UID = socket, uid
		_, _, err := q.Ask(w, Caller{}, timeout)
		return err
	}
	fill := func(socket string) (n int) {
		for uid := range uint32(10) {
			for i := range 10 {
				if ask(socket, 100000+uid, i) == nil {
					n++
				}
			}
		}
		return n
	}
	if n := fill("a"); n != maxOfSocket {
		t.Errorf("one socket has %d requests, want %d", n, maxOfSocket)
	}
	if err := ask("b", 1, 0); err != nil {
		t.Errorf("another socket: %v", err)
	}
	for n := range maxOfUser {
		if err := ask("", 100000, n); err != nil { // who has many by a socket
			t.Fatalf("one user's request %d by another way: %v", n, err)
		}
	}
	if n := fill("b") + fill("c"); n != maxRequests-maxOfSocket-1 {
		t.Errorf("all sockets have %d requests more, want %d", n, maxRequests-maxOfSocket-1)
	}
	for i := range maxOfUser {
		if err := ask("", 1000, i); err != nil {
			t.Fatalf("the owner's request %d: %v", i, err)
		}
	}
}
