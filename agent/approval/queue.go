package approval

import (
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxRequests = 48  // by all sockets of grants together; the owner's own have places beside
	maxOfSocket = 24  // requests by one of them, and by what was opened on it
	maxOfUser   = 16  // requests of one user by one socket
	maxCallers  = 128 // waiting callers of one user by one socket
	maxRemember = 256 // approvals and denials that are kept
	fiveMinutes = 5 * time.Minute
	quiet       = time.Minute // how long a denial answers the same question
	forever     = time.Duration(1<<63 - 1)
	idLength    = 6
)

// Queue holds the requests. The zero value is not one: use New. It is safe for concurrent
// use.
type Queue struct {
	boottime func() time.Duration

	mu       sync.Mutex // guards what follows
	requests []*request // the oldest first
	approved map[Question]answer
	denied   map[Question]answer
	revision uint64
	changed  chan struct{} // closed at the next change
}

// answer is what was said to a question, until then by the boot clock.
type answer struct {
	id    string // of the request that it was said to
	until time.Duration
}

// request is a Request at work.
type request struct {
	Request
	done    chan struct{} // closed once there is a verdict
	verdict error         // nil: approved; guarded by done
}

// New returns an empty queue on a boot clock.
func New(boottime func() time.Duration) *Queue {
	return &Queue{boottime: boottime, approved: map[Question]answer{}, denied: map[Question]answer{}, revision: 1, changed: make(chan struct{})}
}

// Approved returns the ID of the request whose approval still answers a question, if any.
func (q *Queue) Approved(what Question) (id string, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.approved[what] // none: it ended as the machine started
	return a.id, q.boottime() < a.until
}

// Ask has a caller wait for the answer to a question. first tells that nobody waited for it
// so far, so that somebody has to be asked. Errors: ErrDenied, ErrLimit.
func (q *Queue) Ask(what Question, c Caller, within time.Duration) (w *Waiting, first bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.boottime()
	if now < q.denied[what].until {
		return nil, false, ErrDenied
	}
	var same *request
	requests, callers, bySocket, bySockets := 0, 0, 0, 0
	for _, r := range q.requests {
		if r.Question == what && what.Known() {
			same = r
		}
		if r.Outermost != "" {
			bySockets++
		}
		if r.Outermost == what.Outermost {
			bySocket++
		}
		if r.Outermost == what.Outermost && r.UID == what.UID {
			requests++
			callers += len(r.Callers)
		}
	}
	// The owner's own places are not taken by whoever may connect to a socket.
	full := requests >= maxOfUser || what.Outermost != "" && (bySocket >= maxOfSocket || bySockets >= maxRequests)
	if callers >= maxCallers || same == nil && full {
		return nil, false, ErrLimit
	}
	if first = same == nil; first {
		same = &request{Request: Request{Question: what, ID: q.newIDLocked(), Since: now, Ends: now + within}, done: make(chan struct{})}
		q.requests = append(q.requests, same)
	}
	same.Callers = append(same.Callers, c)
	q.noteLocked()
	return &Waiting{queue: q, request: same, caller: c}, first, nil
}

// newIDLocked draws an ID that no other request has.
func (q *Queue) newIDLocked() string {
	for {
		id := strings.ToLower(rand.Text()[:idLength])
		if q.findLocked(id) == nil {
			return id
		}
	}
}

func (q *Queue) findLocked(id string) *request {
	for _, r := range q.requests {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// Find returns the request of an ID. The error is ErrNotFound.
func (q *Queue) Find(id string) (Request, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.findLocked(id)
	if r == nil || q.boottime() >= r.Ends {
		return Request{}, ErrNotFound
	}
	return r.copy(), nil
}

// Requests returns what waits, the oldest first, and the number of this state.
func (q *Queue) Requests() (all []Request, revision uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.boottime()
	for _, r := range q.requests {
		if now < r.Ends {
			all = append(all, r.copy())
		}
	}
	return all, q.revision
}

func (r *request) copy() Request {
	out := r.Request
	out.Callers = slices.Clone(r.Callers)
	return out
}

// Attend notes whether a process asks for the approval of what it waits for itself. Of all
// that wait for one request, the first to say so asks: no other is noted until that one
// asks no more, or has gone.
func (q *Queue) Attend(pid int, asks bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	changed := false
	for _, r := range q.requests {
		other := slices.ContainsFunc(r.Callers, func(c Caller) bool { return c.Attended && c.PID != pid })
		for i := range r.Callers {
			if c := &r.Callers[i]; c.PID == pid && c.Attended != asks && !other {
				c.Attended, changed = asks, true
			}
		}
	}
	if changed {
		q.noteLocked()
	}
}

// Changed returns a channel that is closed once there is a later state than that of
// revision.
func (q *Queue) Changed(revision uint64) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.revision != revision {
		now := make(chan struct{})
		close(now)
		return now
	}
	return q.changed
}

func (q *Queue) noteLocked() {
	q.revision++
	close(q.changed)
	q.changed = make(chan struct{})
}

// Approve lets those go ahead who wait for a request, and for a span whoever asks the same;
// where it is not known who asks, the span is Once. The error is ErrNotFound: it was
// answered, timed out or dropped meanwhile.
func (q *Queue) Approve(id string, span Span) error {
	return q.answer(id, nil, func(what Question, now time.Duration) {
		if !what.Known() {
			span = Once
		}
		switch span {
		case FiveMinutes:
			q.rememberLocked(q.approved, what, answer{id, now + fiveMinutes})
		case Session:
			q.rememberLocked(q.approved, what, answer{id, forever})
		}
	})
}

// Deny sends those away who wait for a request, and for a minute whoever asks the same: a
// program that tries again must not have somebody say no until they say yes. The error is
// ErrNotFound.
func (q *Queue) Deny(id string) error {
	return q.answer(id, ErrDenied, func(what Question, now time.Duration) {
		q.rememberLocked(q.denied, what, answer{id, now + quiet})
	})
}

func (q *Queue) answer(id string, verdict error, remember func(Question, time.Duration)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.boottime()
	r := q.findLocked(id)
	if r == nil || now >= r.Ends {
		return ErrNotFound
	}
	remember(r.Question, now)
	q.settleLocked(r, verdict)
	return nil
}

// rememberLocked notes an answer. Where there are too many, the first to end
// makes room: the question is asked again.
func (q *Queue) rememberLocked(answers map[Question]answer, what Question, said answer) {
	now := q.boottime()
	var oldest *Question
	for k, a := range answers {
		if a.until <= now {
			delete(answers, k)
		} else if oldest == nil || a.until < answers[*oldest].until {
			oldest = &k
		}
	}
	if len(answers) >= maxRemember {
		delete(answers, *oldest)
	}
	answers[what] = said
}

// settleLocked gives a request its verdict.
func (q *Queue) settleLocked(r *request, verdict error) {
	q.requests = slices.DeleteFunc(q.requests, func(o *request) bool { return o == r })
	r.verdict = verdict
	close(r.done)
	q.noteLocked()
}

// Drop sends everybody away and forgets all answers, as at a lock.
func (q *Queue) Drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.requests) > 0 {
		q.settleLocked(q.requests[0], ErrDropped)
	}
	clear(q.approved)
	clear(q.denied)
}

// DropProfiles sends away who waits for these profiles, and forgets what was approved for
// them: their names are those of others, or of none. A no stays, which gives nothing.
func (q *Queue) DropProfiles(names ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range slices.Clone(q.requests) {
		if slices.Contains(names, r.Profile) {
			q.settleLocked(r, ErrDropped)
		}
	}
	maps.DeleteFunc(q.approved, func(what Question, _ answer) bool { return slices.Contains(names, what.Profile) })
}
