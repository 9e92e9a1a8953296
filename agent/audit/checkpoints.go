package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// checkpointEntries and checkpointTime are after how many entries, and after what
	// time if there are any, a checkpoint is made.
	checkpointEntries = 256
	checkpointTime    = time.Minute
	// batch is how many checkpoints are made durable together at most.
	batch = 64
	// checkpointRetry is the wait after a failure.
	checkpointRetry = 5 * time.Second
	// checkpointRest is the least time between two batches, but for the last: each costs
	// some fsyncs, for which the entries of a busy log would wait.
	checkpointRest = time.Second
	// stopTime bounds the wait for the last checkpoint. It is given up where more than
	// tooMuch entries are left, as in the first moments on a long log.
	stopTime = 5 * time.Second
	tooMuch  = 200_000
)

// Checkpoints signs what a log holds, beside it: no entry waits for it. It reads back the
// lines that have been fsynced, so that nothing is signed that a power cut could take
// away, and checks that they are the ones that were written.
//
// A checkpoint that cannot be made stops nothing: the entries are chained and on the
// disk, a later one covers them, and status tells of it meanwhile.
type Checkpoints struct {
	log  *Log
	keys Keys

	quit  chan struct{}
	ended chan struct{}
	once  sync.Once

	// What follows belongs to the goroutine alone.
	origin string
	start  string // verifier key of the chain, while no checkpoint was made of it
	last   *Checkpoint
	end    checkpointEnd
	unkept *keyState // signed, and not yet durable
	tree   tree
	head   Hash // of the line of entry tree.size
	lines  *follower
}

// CheckpointStatus says where the checkpoints of a log stand.
type CheckpointStatus struct {
	// Size is how many entries the last one covers, Head the hash of the last of them, and
	// Time when it was signed; zero if there is none.
	Size uint64
	Head Hash
	Time time.Time
	// Active reports that checkpoints are being made: the vault is unlocked.
	Active bool
	// Err is why the last attempt failed, or nil.
	Err error
}

// StartCheckpoints begins to make checkpoints with keys, which it takes over; it stops
// those that were being made. The first one follows soon and covers all that is in the
// log. What goes wrong is told by CheckpointStatus.
func (l *Log) StartCheckpoints(keys Keys) *Checkpoints {
	c := &Checkpoints{log: l, keys: keys, quit: make(chan struct{}), ended: make(chan struct{})}
	l.checking.Lock()
	before := l.checkpoints
	l.checkpoints = c
	l.checking.Unlock()
	if before != nil {
		before.Stop()
	}
	go c.run()
	return c
}

// Stop makes a last checkpoint of what has been fsynced, and erases the keys. It waits
// for that, but not for ever. Stopping twice, or nil, does nothing.
func (c *Checkpoints) Stop() {
	if c == nil {
		return
	}
	c.once.Do(func() { close(c.quit) })
	select {
	case <-c.ended:
	case <-time.After(stopTime):
	}
	c.keys.Destroy()
}

// stopCheckpoints stops what makes them.
func (l *Log) stopCheckpoints() {
	l.checking.Lock()
	c := l.checkpoints
	l.checking.Unlock()
	c.Stop()
}

// CheckpointStatus returns where the checkpoints stand.
func (l *Log) CheckpointStatus() CheckpointStatus {
	l.checking.Lock()
	defer l.checking.Unlock()
	return l.checkpointed
}

// report records the outcome of an attempt.
func (c *Checkpoints) report(active bool, err error) {
	c.log.checking.Lock()
	defer c.log.checking.Unlock()
	if c.log.checkpoints != c {
		return
	}
	s := &c.log.checkpointed
	s.Active, s.Err = active, err
	if c.last != nil && c.last.Size > s.Size { // a key file that is refused may be older
		s.Size, s.Head, s.Time = c.last.Size, c.last.Head, c.last.Time
	}
}

func (c *Checkpoints) run() {
	defer close(c.ended)
	defer func() {
		if c.lines != nil {
			c.lines.close()
		}
	}()
	timer := time.NewTimer(0) // the first covers all that is there
	defer timer.Stop()
	var rest <-chan time.Time // while it is not nil, what was fsynced waits
	err := c.load()
	for {
		due, settled := false, c.log.settled
		if rest != nil {
			settled = nil
		}
		select {
		case <-c.quit:
			if err == nil {
				err = c.advance(true)
			}
			c.report(false, err)
			return
		case <-settled:
		case <-rest:
			rest = nil
		case <-timer.C:
			due = true
			if err != nil && !errors.Is(err, ErrBroken) {
				err = c.load()
			}
		}
		failed, before := err != nil, c.last
		if err == nil {
			err = c.advance(due)
		}
		if c.last != before {
			rest = time.After(checkpointRest)
		}
		c.report(true, err)
		switch {
		case err != nil && (due || !failed):
			timer.Reset(checkpointRetry)
		case due:
			timer.Reset(checkpointTime)
		}
	}
}

// advance takes up the lines that were fsynced, and makes the checkpoints that are due:
// one at every multiple of checkpointEntries, and one at the end if end says so. After a
// pause the first covers all at once.
func (c *Checkpoints) advance(end bool) error {
	if c.unkept != nil {
		if err := c.keep(); err != nil {
			return err
		}
	}
	_, durable, err := c.log.current.Load().state()
	synced := durable.Seq
	if err != nil && !errors.Is(err, ErrClosed) || synced <= c.tree.size && !end {
		return nil // the log says itself that it failed
	}
	var state keyState
	catchUp := end && synced > c.tree.size+batch*checkpointEntries
	for c.tree.size < synced {
		if synced-c.tree.size > tooMuch && c.stopping() {
			return nil
		}
		if err := c.take(); err != nil {
			return err
		}
		if c.tree.size == synced && c.head != durable.Hash {
			return fmt.Errorf("%w: entry %d is not the one that was written", ErrBroken, synced)
		}
		// A new chain of keys over an old log reads again what the old one covered.
		full := c.tree.size%checkpointEntries == 0 && !catchUp && (c.last == nil || c.tree.size > c.last.Size)
		if full || end && c.tree.size == synced {
			if err := c.sign(&state); err != nil {
				return err
			}
		}
		if len(state.signed) == batch {
			if err := c.seal(&state); err != nil {
				return err
			}
			state = keyState{}
		}
	}
	if end && len(state.signed) == 0 && c.covered() < c.tree.size {
		if err := c.sign(&state); err != nil {
			return err
		}
	}
	if len(state.signed) == 0 {
		return nil
	}
	return c.seal(&state)
}

// stopping reports whether Stop waits.
func (c *Checkpoints) stopping() bool {
	select {
	case <-c.quit:
		return true
	default:
		return false
	}
}

// covered returns how many entries the last checkpoint of this chain covers.
func (c *Checkpoints) covered() uint64 {
	if c.last == nil || c.start != "" {
		return 0
	}
	return c.last.Size
}

// take adds the next line to the tree. Of what it holds only its place in the chain is
// looked at: for the rest vouches the hash in the line that follows, or that of the writer.
func (c *Checkpoints) take() error {
	line, err := c.lines.line()
	if err != nil {
		return err
	}
	want := c.tree.size + 1
	if line == nil {
		return fmt.Errorf("%w: entry %d was written and is not there", ErrBroken, want)
	}
	seq, prev := ends(line)
	if seq != want || prev != (Head{Seq: c.tree.size, Hash: c.head}).before() {
		return fmt.Errorf("%w: entry %d does not follow entry %d", ErrBroken, want, c.tree.size)
	}
	c.tree.add(line)
	c.head = sha256.Sum256(line)
	return nil
}

// sign makes a checkpoint of the tree and puts it into state.
func (c *Checkpoints) sign(state *keyState) error {
	next, err := c.keys.Next()
	if err != nil {
		return fmt.Errorf("audit: drawing a signing key: %w", err)
	}
	p := Checkpoint{
		Origin: c.origin, Size: c.tree.size, Root: c.tree.root(), Head: c.head, Peaks: c.tree.clone().peaks,
		Time: time.Now().UTC(), Start: c.start, Next: verifierKey(c.origin, next),
	}
	if err := p.sign(c.keys); err != nil {
		return err
	}
	c.start = ""
	c.last = &p
	state.signed = append(state.signed, p)
	return nil
}

// seal makes the checkpoints in state durable.
func (c *Checkpoints) seal(state *keyState) (err error) {
	if state.sealed, err = c.keys.Seal(); err != nil {
		return fmt.Errorf("audit: sealing the key: %w", err)
	}
	c.unkept = state
	return c.keep()
}

// keep writes what was signed: first beside the new key, where it replaces the old one,
// then to the file of checkpoints. If either fails, both are tried again.
func (c *Checkpoints) keep() error {
	if err := c.unkept.write(c.log.dir); err != nil {
		return err
	}
	end, err := appendCheckpoints(c.log.dir, c.end, c.unkept.signed)
	c.end = end
	if err != nil {
		return err
	}
	c.unkept = nil
	return nil
}
