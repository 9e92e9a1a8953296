package agent

import (
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/signer"
)

// record writes to the audit log what c did or was refused. The entry survives the end of
// the agent; the fsync follows.
func (a *Agent) record(c *caller, e audit.Event) error {
	_, err := a.audit.Append(a.by(c, e))
	return err
}

// recordDurably is record that returns once the entry has been fsynced: for what is not a
// use.
func (a *Agent) recordDurably(c *caller, e audit.Event) error {
	_, err := a.audit.AppendSync(a.by(c, e))
	return err
}

// by returns e with who and when.
func (a *Agent) by(c *caller, e audit.Event) audit.Event {
	c.fill(&e)
	e.Time = a.clock()
	return e
}

// commit records an administrative change, durably, and then makes it. A change
// that fails after it was recorded is recorded as failed.
func (a *Agent) commit(c *caller, event string, p *profile, detail string, change func() error) error {
	return a.carryOut(c, changeOf(event, p, detail), change)
}

// changeOf describes a change of a profile.
func changeOf(event string, p *profile, detail string) audit.Event {
	e := audit.Event{Event: event, Outcome: audit.OutcomeOK, Profile: p.Name, Account: p.Account, Kind: p.Auth, Detail: detail}
	if t, err := signer.ParseEndpoint(p.Endpoint); err == nil {
		e.Host = t.Host()
	}
	return e
}

// carryOut is commit for a change that is described by e.
func (a *Agent) carryOut(c *caller, e audit.Event, change func() error) error {
	return a.carryOutAll(c, []audit.Event{e}, change)
}

// carryOutAll is commit for a change that is described by all of the entries.
func (a *Agent) carryOutAll(c *caller, all []audit.Event, change func() error) error {
	for _, e := range all {
		if err := a.recordDurably(c, e); err != nil {
			return fmt.Errorf("recording the change: %w", err)
		}
	}
	err := change()
	if err == nil {
		return nil
	}
	for _, e := range all {
		e.Outcome, e.Reason = audit.OutcomeFailed, string(refusalOf(err).Code)
		if werr := a.recordDurably(c, e); werr != nil {
			a.log.Error("audit log not written after a failed change", "error", werr)
		}
	}
	return &recorded{err}
}

// recorded is an error that has its entry in the audit log already.
type recorded struct{ error }

// Unwrap returns the error.
func (r *recorded) Unwrap() error { return r.error }

// denied records that a change was refused before it was tried, and returns why.
func (a *Agent) denied(c *caller, event, name string, err error) error {
	if r := (*recorded)(nil); errors.As(err, &r) {
		return err
	}
	e := audit.Event{Event: event, Outcome: audit.OutcomeDenied, Reason: string(refusalOf(err).Code), Profile: name}
	if werr := a.record(c, e); werr != nil {
		return fmt.Errorf("recording a refusal: %w", unrecorded(werr, err))
	}
	return err
}

// unrecorded is err where that could not be recorded for werr, which is what is answered,
// whatever err is: who reads the log finds every answer with another code in it.
func unrecorded(werr, err error) error {
	return errors.Join(refusalOf(werr), err) // of two refusals the first is the answer
}
