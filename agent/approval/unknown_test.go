package approval

import (
	"errors"
	"testing"
)

// Programs that are not known ask the same, and are not the same. It guards against an
// approval of one that lets another go ahead, at that moment or later. A no does count for
// all of them: a program that tries again must not get a yes by that.
func TestUnknownProgramsAreNotJoined(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		unknown := question(1)
		unknown.Exe = ""
		for _, span := range []Span{Once, FiveMinutes, Session} {
			one, other := wait(t.Context(), t, q, unknown, 1), wait(t.Context(), t, q, unknown, 2)
			all, _ := q.Requests()
			if len(all) != 2 {
				t.Fatalf("span %d: %d requests, want one for each", span, len(all))
			}
			if err := q.Approve(all[0].ID, span); err != nil || (<-one).err != nil {
				t.Fatalf("span %d: got %v", span, err)
			}
			if approved(q, unknown) {
				t.Errorf("span %d: whoever asks next is approved", span)
			}
			select {
			case <-other:
				t.Errorf("span %d: the other one went ahead", span)
			default:
			}
			q.Drop()
			<-other
		}
		refused := wait(t.Context(), t, q, unknown, 1)
		if err := q.Deny(only(t, q).ID); err != nil || !errors.Is((<-refused).err, ErrDenied) {
			t.Fatalf("got %v", err)
		}
		if _, _, err := q.Ask(unknown, Caller{PID: 2}, timeout); !errors.Is(err, ErrDenied) {
			t.Errorf("asked again at once: got %v", err)
		}
	})
}

// A grant is known by itself, whatever program shows its token.
func TestGrantIsKnownWithoutItsProgram(t *testing.T) {
	bubble(t, func(t *testing.T, q *Queue) {
		granted := question(1)
		granted.Exe, granted.Grant = "", "g_a"
		one, other := wait(t.Context(), t, q, granted, 1), wait(t.Context(), t, q, granted, 2)
		if err := q.Approve(only(t, q).ID, Session); err != nil || (<-one).err != nil || (<-other).err != nil {
			t.Fatalf("got %v", err)
		}
		if !approved(q, granted) {
			t.Error("it is asked about again")
		}
	})
}
