package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestGatewayThatHangs: a process that takes jobs and answers none, as one that was stopped,
// is given up once the time of a job is over, also where whoever asked went away before;
// the others that wait for it learn that it is gone.
func TestGatewayThatHangs(t *testing.T) {
	for name, patient := range map[string]bool{"somebody waits": true, "nobody waits": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				c := NewConn(ours)
				go func() { _, _ = io.Copy(io.Discard, theirs) }()
				ctx, cancel := context.WithCancel(t.Context())
				first, other := make(chan error, 1), make(chan error, 1)
				go func() {
					a, err := c.Do(ctx, job("https://127.0.0.1", ""), Payload{})
					if err == nil && a.Failure != FailedTime {
						err = errors.New("not told that the time is over: " + string(a.Failure))
					}
					first <- err
				}()
				time.Sleep(time.Second)
				go func() {
					_, err := c.Do(t.Context(), job("https://127.0.0.1", ""), Payload{})
					other <- err
				}()
				synctest.Wait()
				if !patient {
					cancel()
					if err := <-first; !errors.Is(err, context.Canceled) {
						t.Errorf("got %v", err)
					}
				}
				<-c.Done()
				cancel()
				if patient {
					if err := <-first; err != nil {
						t.Error(err)
					}
				}
				if err := <-other; !errors.Is(err, ErrGone) {
					t.Errorf("another one: got %v, want %v", err, ErrGone)
				}
			})
		})
	}
}

// TestJobsWaitHere: a process has no more jobs at once than it does at once, so that the time
// of each begins with it; those whose caller went away count until they are answered.
func TestJobsWaitHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := NewConn(ours)
		defer func() { _ = c.Close() }()
		var ids []uint32
		go func() {
			for {
				q, err := readRequest(theirs)
				if err != nil {
					return
				}
				ids = append(ids, q.id)
			}
		}()
		ctx, leave := context.WithCancel(t.Context())
		for range maxJobs {
			go func() { _, _ = c.Do(ctx, job("https://127.0.0.1", ""), Payload{}) }()
		}
		synctest.Wait()
		leave()
		last := make(chan Answer, 1)
		go func() {
			a, _ := c.Do(t.Context(), job("https://127.0.0.1", ""), Payload{})
			last <- a
		}()
		synctest.Wait()
		if len(ids) != maxJobs {
			t.Fatalf("%d jobs at once, want %d", len(ids), maxJobs)
		}
		answer := func(id uint32, status int) {
			b, err := appendReply(nil, id, Answer{Status: status})
			if err == nil {
				_, err = theirs.Write(b)
			}
			if err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		answer(ids[0], 200)
		if len(ids) != maxJobs+1 {
			t.Fatalf("%d jobs after an answer, want %d", len(ids), maxJobs+1)
		}
		answer(ids[maxJobs], 204)
		if a := <-last; a.Status != 204 {
			t.Errorf("got %+v", a)
		}
	})
}

// TestClosedConnectionIsDone: whoever looks for a gateway after one was closed, as a lock closes
// it, starts another, and is not told that it ended meanwhile.
func TestClosedConnectionIsDone(t *testing.T) {
	for range 1000 {
		ours, theirs := net.Pipe()
		c := NewConn(ours)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-c.Done():
		default:
			t.Fatal("it is not done")
		}
		_ = theirs.Close()
	}
}
