package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
)

// load takes up the chain of keys where it stands, or starts one, and goes to the end of
// what its last checkpoint covers.
func (c *Checkpoints) load() (err error) {
	if c.unkept != nil { // only its writing has failed
		return c.keep()
	}
	if c.end, err = readCheckpointEnd(c.log.dir); err != nil {
		return err
	}
	state, err := readKeyState(c.log.dir)
	lost := ""
	switch {
	case errors.Is(err, ErrCheckpoint):
		lost = "damaged"
	case err != nil:
		return err
	case state == nil && c.end.last != nil:
		lost = "missing"
	case state != nil:
		switch err := c.keys.Restore(state.sealed); {
		case errors.Is(err, ErrCheckpoint):
			lost = "unreadable" // sealed under another vault
		case err != nil:
			return fmt.Errorf("audit: opening the signing key: %w", err)
		}
	}
	if state == nil || lost != "" {
		return c.begin(lost)
	}
	return c.resume(state)
}

// begin starts a chain of keys. Where one was lost, an entry says so: whoever has the
// first key of that one sees that the new one does not follow from it.
func (c *Checkpoints) begin(lost string) error {
	if err := c.keys.Restore(nil); err != nil {
		return fmt.Errorf("audit: drawing a signing key: %w", err)
	}
	sealed, err := c.keys.Seal()
	if err != nil {
		return fmt.Errorf("audit: sealing the key: %w", err)
	}
	c.last, c.tree, c.head = c.end.last, tree{}, Hash{}
	if err := c.named(); err != nil {
		return err
	}
	if lost != "" {
		e := Event{
			Event: EventAuditKey, Outcome: OutcomeOK, UID: os.Geteuid(), PID: os.Getpid(),
			Detail: fmt.Sprintf("key=%s before=%s", c.origin, lost),
		}
		if _, err := c.log.AppendSync(e); err != nil {
			return err
		}
	}
	if err := (&keyState{sealed: sealed}).write(c.log.dir); err != nil {
		return err
	}
	return c.follow()
}

// named names the chain that the present key starts.
func (c *Checkpoints) named() error {
	public, err := c.keys.Public()
	if err != nil {
		return fmt.Errorf("audit: reading the signing key: %w", err)
	}
	c.origin = originOf(public)
	c.start = verifierKey(c.origin, public)
	return nil
}

// resume goes on with the chain of state. A checkpoint that was signed and not written is
// written now.
func (c *Checkpoints) resume(state *keyState) error {
	if len(state.signed) == 0 {
		c.last, c.tree, c.head = c.end.last, tree{}, Hash{}
		if err := c.named(); err != nil {
			return err
		}
		if c.last != nil && c.last.Origin == c.origin {
			return fmt.Errorf("%w: %s is older than the checkpoints", ErrBroken, keyFile)
		}
		return c.follow()
	}
	c.last = &state.signed[len(state.signed)-1]
	c.origin, c.start = c.last.Origin, ""
	public, err := c.keys.Public()
	if err != nil {
		return fmt.Errorf("audit: reading the signing key: %w", err)
	}
	if verifierKey(c.origin, public) != c.last.Next {
		return fmt.Errorf("%w: %s does not hold the key that the last checkpoint names", ErrBroken, keyFile)
	}
	missing := state.signed
	for i := range state.signed {
		if c.end.last != nil && string(c.end.last.AppendNote(nil)) == string(state.signed[i].AppendNote(nil)) {
			missing = state.signed[i+1:]
		}
	}
	first := &state.signed[0]
	if len(missing) == len(state.signed) {
		switch last := c.end.last; {
		case first.Start != "" && last != nil && last.Origin == c.origin:
			return fmt.Errorf("%w: %s is older than the checkpoints", ErrBroken, keyFile)
		case first.Start == "" && (last == nil || !first.signedBy(last.Next)):
			return fmt.Errorf("%w: checkpoints are missing at the end of %s", ErrBroken, checkpointsName)
		}
	}
	if len(missing) > 0 {
		if c.end, err = appendCheckpoints(c.log.dir, c.end, missing); err != nil {
			return err
		}
	}
	c.tree = tree{c.last.Size, c.last.Peaks}
	c.tree = c.tree.clone()
	c.head = c.last.Head
	return c.follow()
}

// follow goes to the line behind the tree, and checks that the one before is the one
// that was signed.
func (c *Checkpoints) follow() error {
	if c.lines != nil {
		c.lines.close()
		c.lines = nil
	}
	if c.tree.size == 0 && c.last != nil {
		// A new chain of keys over a log with old checkpoints: what can be read again, is.
		if err := c.fromOldest(); err != nil {
			return err
		}
	}
	lines, err := newFollower(c.log.dir, max(1, c.tree.size))
	if err != nil {
		return err
	}
	c.lines = lines
	if c.tree.size == 0 {
		return nil
	}
	line, err := lines.line()
	if err != nil {
		return err
	}
	switch {
	case line == nil:
		return fmt.Errorf("%w: it ends before entry %d, which a checkpoint covers", ErrBroken, c.tree.size)
	case seqOf(line) == c.tree.size+1 || seqOf(line) == c.tree.size && sha256.Sum256(line) == c.head:
	default:
		return fmt.Errorf("%w: entry %d is not the one that a checkpoint covers", ErrBroken, c.tree.size)
	}
	if seqOf(line) != c.tree.size { // the entry itself was deleted, with its segment
		lines.close()
		c.lines, err = newFollower(c.log.dir, c.tree.size+1)
	}
	return err
}

// fromOldest takes the tree of the last checkpoint, if entry 1 was deleted.
func (c *Checkpoints) fromOldest() error {
	lines, err := newFollower(c.log.dir, 1)
	if err != nil {
		return err
	}
	defer lines.close()
	line, err := lines.line()
	if err == nil && line != nil && seqOf(line) != 1 {
		c.tree, c.head = tree{c.last.Size, c.last.Peaks}, c.last.Head
		c.tree = c.tree.clone()
	}
	return err
}
