package audit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// Trust is what a verifier knows of a log from elsewhere.
type Trust struct {
	// Keys are verifier keys that a chain of checkpoints may start with. Without any, what
	// the log itself says is taken.
	Keys []string
	// Held are checkpoints of the log that were kept elsewhere. Each must be one of its
	// own, and what it covers must be there.
	Held []Checkpoint
}

func (t *Trust) none() bool { return len(t.Keys)+len(t.Held) == 0 }

// Report is what Check found.
type Report struct {
	Result
	// First is the number of the first entry that is there, if any is, and From and To
	// are the times of the first and the last.
	First    uint64
	From, To time.Time
	// Checkpoints is how many are right, and Last the last of them; nil if there is none.
	// Entries after it are chained, and signed by nobody yet.
	Checkpoints uint64
	Last        *Checkpoint
	// Starts are the verifier keys of the chains of checkpoints: more than one if a key
	// was lost.
	Starts []string
	// Gaps are the times in which no agent ran.
	Gaps []Gap
	// Proved is the entry of a proof; nil if a log was checked.
	Proved *Entry
	// KeyOlder reports that the key file is older than the checkpoints. It is no fault of
	// the log, and a copy made while the agent ran may be so, but the agent makes no
	// checkpoint with it.
	KeyOlder bool
}

// Covered returns the number of the last entry that a checkpoint covers.
func (r *Report) Covered() uint64 {
	if r.Last == nil {
		return 0
	}
	return r.Last.Size
}

// Gap is a time in which no agent ran, and nothing was recorded.
type Gap struct {
	// From is when the agent stopped or, if it was killed, of its last entry. To is when
	// the next one started.
	From, To time.Time
	// After is the number of the last entry before.
	After uint64
	// Killed reports that there is no entry of a stop.
	Killed bool
}

// item is what a log holds one after the other: a line, or a checkpoint of the lines
// before it, or in the place of all lines a proof. What is malformed has only its fault.
type item struct {
	line       []byte
	checkpoint *Checkpoint
	proof      *Proof
	fault      string
}

// items gives the parts of a log in order, and io.EOF at the end. A line without its end
// comes last, as it is.
type items func() (item, error)

// check verifies a log with its checkpoints: every line and the chain, the signature and
// the key of every checkpoint, and that it is one of these lines. trust is what the
// verifier holds; nothing secret is needed. The error is one of reading.
//
// The Report is not OK from the first fault on. A fault of a checkpoint counts as one of
// the first entry that no earlier checkpoint covers.
//
// whole says that the log itself is checked, and not a part of it.
func check(next items, trust Trust, whole bool) (Report, error) {
	c := checker{trust: trust, next: next, whole: whole}
	c.v.next = c.nextLine
	for {
		it, err := next()
		switch {
		case errors.Is(err, io.EOF):
			return c.end(), nil
		case err != nil:
			return Report{}, err
		}
		var res Result
		switch {
		case it.line != nil:
			res, err = c.line(it.line)
		case it.checkpoint != nil:
			res = c.fault(c.take(it.checkpoint))
		case it.proof != nil:
			return c.report(c.prove(it.proof)), nil
		default:
			res = c.fault("a checkpoint cannot be read: " + it.fault)
		}
		if err != nil {
			return Report{}, err
		}
		if !res.OK {
			return c.report(res), nil
		}
	}
}

// checker is the state between two parts.
type checker struct {
	trust Trust
	next  items
	whole bool
	r     Report
	v     verifier

	tree    tree
	knows   bool // the tree is that of all entries so far
	covered Head // of the last checkpoint that was compared with its entry
	seen    []uint64

	running bool
	stopped time.Time
}

// nextLine is the look ahead of the verifier, which ends there.
func (c *checker) nextLine() ([]byte, error) {
	for {
		it, err := c.next()
		if err != nil || it.line != nil {
			return it.line, err
		}
	}
}

// report completes the result.
func (c *checker) report(res Result) Report {
	c.r.Result = res
	if c.v.entries > 0 {
		c.r.To = c.v.view.time
	}
	return c.r
}

// fault returns the result for a fault of the checkpoints, which is no fault if why is
// empty.
func (c *checker) fault(why string) Result {
	if why == "" {
		return Result{OK: true}
	}
	first := max(c.covered.Seq+1, c.r.First, 1)
	return Result{FirstBad: first, Why: why, Entries: first - max(c.r.First, 1), Head: c.covered}
}

// line checks one line.
func (c *checker) line(line []byte) (Result, error) {
	if !bytes.HasSuffix(line, []byte("\n")) && len(line) < MaxLine {
		c.v.torn = len(line)
		return c.v.bad(c.v.last.Seq+1, fmt.Sprintf("the last line is incomplete (%d bytes): a crash, or being written now", len(line))), nil
	}
	if c.r.First == 0 {
		if res := c.begin(line); !res.OK {
			return res, nil
		}
	}
	before := c.v.view.time
	res, err := c.v.step(line)
	if err != nil || !res.OK {
		return res, err
	}
	if c.r.First == 0 {
		c.r.First, c.r.From = c.v.last.Seq, c.v.view.time
	}
	if c.knows {
		c.tree.add(line)
	}
	c.gap(before)
	for i := range c.trust.Held {
		if h := &c.trust.Held[i]; h.Size == c.v.last.Seq && h.Head != c.v.last.Hash {
			return c.fault(fmt.Sprintf("entry %d is not the one that the checkpoint you hold covers", h.Size)), nil
		}
	}
	return Result{OK: true}, nil
}

// begin decides where the chain starts. As a rule that is entry 1. The first part of a log
// may have been deleted, or left out of an export: then a checkpoint must vouch for what
// follows.
func (c *checker) begin(line []byte) Result {
	first := seqOf(line)
	if c.r.Last != nil && c.r.Last.Size >= first {
		return c.fault(fmt.Sprintf("the checkpoint of %d entries stands before them", c.r.Last.Size))
	}
	if first <= 1 {
		c.knows = true
		return Result{OK: true}
	}
	if c.trust.none() {
		return Result{FirstBad: 1, Why: "entries 1 to " + strconv.FormatUint(first-1, 10) + " are not here: if they were deleted on purpose, say which key or checkpoint you hold"}
	}
	anchors := c.trust.Held
	if c.r.Last != nil {
		anchors = append(slices.Clone(anchors), *c.r.Last)
	}
	for i := range anchors {
		if a := &anchors[i]; a.Size == first-1 {
			c.tree, c.knows = tree{a.Size, slices.Clone(a.Peaks)}, true
			c.v.last, c.covered = Head{a.Size, a.Head}, Head{a.Size, a.Head}
			return Result{OK: true}
		}
	}
	if v, err := parse(line); err == nil {
		c.v.last = Head{Seq: first - 1, Hash: v.prev} // a later checkpoint must cover it
	}
	return Result{OK: true}
}

// gap notes whether no agent ran before the last entry. before is the time of the entry
// before it.
func (c *checker) gap(before time.Time) {
	v := &c.v.view
	switch string(v.event) {
	case EventAgentStop:
		c.running, c.stopped = false, v.time
	case EventAgentStart:
		g := Gap{From: before, To: v.time, After: v.seq - 1, Killed: c.running}
		if !c.running {
			g.From = c.stopped
		}
		if !g.From.IsZero() {
			c.r.Gaps = append(c.r.Gaps, g)
		}
		c.running = true
	}
}

// take checks a checkpoint and returns what is wrong with it.
func (c *checker) take(p *Checkpoint) string {
	if c.r.Last != nil && p.Size <= c.r.Last.Size {
		return fmt.Sprintf("the checkpoint of %d entries stands behind that of %d", p.Size, c.r.Last.Size)
	}
	held, why := c.isHeld(p)
	if why != "" {
		return why
	}
	if !held || p.Start != "" || c.r.Last != nil { // else it is the anchor itself
		key, why := c.keyOf(p)
		if why != "" {
			return why
		}
		if !p.signedBy(key) {
			return fmt.Sprintf("the checkpoint of %d entries is not signed by the key that it should be", p.Size)
		}
	}
	if c.r.First > 0 {
		if why := c.compare(p); why != "" {
			return why
		}
	}
	c.r.Last = p
	c.r.Checkpoints++
	return ""
}

// isHeld reports whether the verifier holds this very checkpoint.
func (c *checker) isHeld(p *Checkpoint) (held bool, why string) {
	for i := range c.trust.Held {
		h := &c.trust.Held[i]
		if h.Size != p.Size {
			continue
		}
		if !bytes.Equal(h.AppendNote(nil), p.AppendNote(nil)) {
			return false, fmt.Sprintf("the checkpoint of %d entries is not the one that you hold", p.Size)
		}
		held, c.seen = true, append(c.seen, h.Size)
	}
	return held, ""
}

// keyOf returns the key that p must be signed by: the one that the checkpoint before
// names, or where p starts a chain, one that is trusted.
func (c *checker) keyOf(p *Checkpoint) (key, why string) {
	switch {
	case p.Start == "" && c.r.Last != nil:
		return c.r.Last.Next, ""
	case p.Start == "":
		for i := range c.trust.Held {
			if h := &c.trust.Held[i]; p.signedBy(h.Next) {
				c.seen = append(c.seen, h.Size)
				return h.Next, ""
			}
		}
		return "", fmt.Sprintf("the checkpoints before that of %d entries are missing", p.Size)
	case slices.Contains(c.r.Starts, p.Start):
		return "", fmt.Sprintf("the checkpoint of %d entries starts again with a key that was used", p.Size)
	case slices.Contains(c.trust.Keys, p.Start), c.trust.none(), len(c.trust.Keys) == 0 && p.Size <= c.held():
		c.r.Starts = append(c.r.Starts, p.Start)
		return p.Start, ""
	case c.r.Last == nil:
		return "", "the first checkpoint is signed by another key than the one you hold"
	}
	return "", fmt.Sprintf("a key was lost: the checkpoint of %d entries starts a new chain, with key %s, which you do not hold", p.Size, p.Start)
}

// prove checks a proof, which ends what is checked.
func (c *checker) prove(p *Proof) Result {
	if c.r.First > 0 {
		return c.fault("a proof stands behind entries")
	}
	if why := c.take(&p.Checkpoint); why != "" {
		return c.fault(why)
	}
	e, err := p.entry()
	if err != nil {
		return Result{FirstBad: p.Index + 1, Why: fmt.Sprintf("entry %d is not proved: %v", p.Index+1, err)}
	}
	c.r.Proved, c.r.First, c.r.From, c.r.To = &e, e.Seq, e.Time, e.Time
	return Result{OK: true, Entries: 1, Head: Head{Seq: e.Seq, Hash: sha256.Sum256(p.Line)}}
}

// held returns the size of the greatest checkpoint that the verifier holds.
func (c *checker) held() (size uint64) {
	for i := range c.trust.Held {
		size = max(size, c.trust.Held[i].Size)
	}
	return size
}

// compare holds a checkpoint against the entries.
func (c *checker) compare(p *Checkpoint) string {
	last := c.v.last
	switch {
	case last.Seq < p.Size:
		return c.cut(p.Size)
	case last.Seq > p.Size:
		return fmt.Sprintf("the checkpoint of %d entries stands behind entry %d", p.Size, last.Seq)
	case p.Head != last.Hash:
		return fmt.Sprintf("entry %d is not the one that its checkpoint covers", p.Size)
	case c.knows && c.tree.root() != p.Root:
		return fmt.Sprintf("the checkpoint of %d entries covers other entries", p.Size)
	}
	c.tree, c.knows = tree{p.Size, slices.Clone(p.Peaks)}, true
	c.covered = last
	return ""
}

func (c *checker) cut(size uint64) string {
	c.covered = c.v.last // what is there may well be as it was
	return fmt.Sprintf("entry %d is missing: the log ends with entry %d, and a checkpoint covers %d", c.v.last.Seq+1, c.v.last.Seq, size)
}

// end returns the report when all was read.
func (c *checker) end() Report {
	why := ""
	switch {
	case c.r.First > 1 && c.covered.Seq == 0:
		why = fmt.Sprintf("no checkpoint covers entry %d", c.r.First)
	case len(c.trust.Keys) > 0 && c.r.Last == nil:
		why = "there is no checkpoint, so that nothing is signed"
	case (c.whole || c.r.First > 0) && c.held() > c.v.last.Seq:
		why = c.cut(c.held())
	case c.whole && c.r.First == 0 && c.r.Last != nil:
		why = c.cut(c.r.Last.Size)
	}
	for i := range c.trust.Held {
		if h := &c.trust.Held[i]; why == "" && !slices.Contains(c.seen, h.Size) {
			why = fmt.Sprintf("the checkpoint of %d entries that you hold is not among those of the log", h.Size)
		}
	}
	if why != "" {
		return c.report(c.fault(why))
	}
	return c.report(c.v.good())
}
