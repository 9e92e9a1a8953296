package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/peercred"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/secrettest"
)

// sealRoom is seal keys with a clock that each key moves on.
type sealRoom struct {
	t     *testing.T
	arena *secret.Arena
	keys  *sealKeys
	now   time.Duration
}

func newSealRoom(t *testing.T, most int) *sealRoom {
	t.Helper()
	arena, err := secret.NewArena(secret.ArenaConfig{Mode: secret.ModeAuto, Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	r := &sealRoom{t: t, arena: arena}
	r.keys = newSealKeys(arena, func() time.Duration { return r.now }, most)
	return r
}

// issue gives n keys to a connection, and returns their ids, the oldest first.
func (r *sealRoom) issue(peer *peercred.Peer, n int) (ids []string) {
	r.t.Helper()
	for range n {
		r.now++
		id, _, err := r.keys.issue(peer)
		if err != nil {
			r.t.Fatal(err)
		}
		ids = append(ids, string(id))
	}
	return ids
}

// has checks that the keys are those, and no others.
func (r *sealRoom) has(what string, ids ...[]string) {
	r.t.Helper()
	n := 0
	for _, some := range ids {
		n += len(some)
		for i, id := range some {
			if r.keys.keys[id] == nil {
				r.t.Errorf("%s: key %d of %d is gone", what, i, len(some))
			}
		}
	}
	if len(r.keys.keys) != n {
		r.t.Errorf("%s: %d keys are there, want %d", what, len(r.keys.keys), n)
	}
}

// A connection's own oldest key makes room for one more than it may have, and no key does
// while there is room. What a map gives first is chance: it is tried often.
func TestSealKeyMakesRoom(t *testing.T) {
	a, b, c := &peercred.Peer{PID: 1}, &peercred.Peer{PID: 2}, &peercred.Peer{PID: 3}
	r := newSealRoom(t, maxSealKeys)
	for range 20 {
		ofB, ofA := r.issue(b, 1), r.issue(a, maxPeerKeys)
		ofC := r.issue(c, 1)
		r.has("with room", ofA, ofB, ofC)
		last := r.issue(a, 1)
		r.has("one more than a connection may have", ofA[1:], ofB, ofC, last)
		r.keys.forget(a)
		r.has("once it is closed", ofB, ofC)
		r.keys.forget(b)
		r.keys.forget(c)
	}
}

// Where no key more may be out, one of the connection that has the most makes room, its
// oldest, as long as that leaves it no fewer than who asks.
func TestSealKeysAreShared(t *testing.T) {
	a, b, c := &peercred.Peer{PID: 1}, &peercred.Peer{PID: 2}, &peercred.Peer{PID: 3}
	r := newSealRoom(t, 6)
	for range 20 {
		ofB, ofA := r.issue(b, 2), r.issue(a, 4)
		ofC := r.issue(c, 2)
		r.has("full", ofA[2:], ofB, ofC)
		if _, _, err := r.keys.issue(c); !errors.Is(err, ErrBusy) {
			t.Fatalf("a third, where each has two: got %v", err)
		}
		r.has("full, and shared", ofA[2:], ofB, ofC)
		for _, peer := range []*peercred.Peer{a, b, c} {
			r.keys.forget(peer)
		}
	}
}

// A key is that of the connection that asked for it, and one that nobody asked for is none.
func TestSealKeyIsOfItsConnection(t *testing.T) {
	r := newSealRoom(t, maxSealKeys)
	a, b := &peercred.Peer{PID: 1}, &peercred.Peer{PID: 2}
	id := []byte(r.issue(a, 1)[0])
	for name, c := range map[string]struct {
		id   []byte
		peer *peercred.Peer
	}{"another connection": {id, b}, "an id that is none": {[]byte("x"), a}, "no id": {nil, nil}} {
		if _, err := r.keys.take(c.id, c.peer); !errors.Is(err, ErrSealKey) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	key, err := r.keys.take(id, a)
	if err != nil {
		t.Fatal(err)
	}
	key.Destroy()
	if _, err := r.keys.take(id, a); !errors.Is(err, ErrSealKey) {
		t.Errorf("a second time: got %v", err)
	}
}

// Without room in locked memory there is no key, and that is what is said.
func TestSealKeyWithoutRoom(t *testing.T) {
	r := newSealRoom(t, maxSealKeys)
	empty := secrettest.LeaveRoom(r.arena, 0)
	if _, _, err := r.keys.issue(&peercred.Peer{}); !errors.Is(err, secret.ErrFull) || len(r.keys.keys) != 0 {
		t.Errorf("got %v, and %d keys", err, len(r.keys.keys))
	}
	empty()
	r.issue(&peercred.Peer{}, 1)
}
