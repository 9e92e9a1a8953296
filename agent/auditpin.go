package agent

import (
	"encoding/binary"
	"fmt"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/vault/store"
)

// The audit log is pinned in the ledger at each unlock: how many entries its newest
// checkpoint covers, and the first eight bytes of the hash of the last of them. An older
// copy of the whole log, put back with its checkpoints and its key, is right by itself, and
// does not hold that entry.

// auditPin returns the entries of the ledger that pin the log as it is now: zeros while
// there is no checkpoint.
func (a *Agent) auditPin(vaultID []byte) []store.Entry {
	last := a.audit.CheckpointStatus()
	return []store.Entry{
		{Kind: ledgerAuditSize, Subject: vaultID, Value: last.Size},
		{Kind: ledgerAuditHead, Subject: vaultID, Value: binary.BigEndian.Uint64(last.Head[:])},
	}
}

// notePin looks whether the log holds the entry that the ledger remembers, and notes in s
// where it does not. That refuses nothing: to move a log aside that cannot be continued is
// what we tell people to do ourselves.
func (a *Agent) notePin(seen sightings, s *session) {
	size, head := seen.auditSize, seen.auditHead
	if size == 0 {
		return
	}
	held, err := a.audit.Holds(size, head)
	if err != nil {
		a.log.Warn("audit log not compared with the ledger", "error", err)
		return
	}
	if !held {
		s.auditCut = fmt.Sprintf("pinned=%d:%016x", size, head)
		s.notes = append(s.notes, fmt.Sprintf("the audit log does not hold entry %d, which was signed on this machine: the log was cut off, replaced, or put back as it once was", size))
	}
}

// recordCut records that s found the log cut off.
func (a *Agent) recordCut(c *caller, s *session) error {
	if s.auditCut == "" {
		return nil
	}
	return a.recordDurably(c, audit.Event{Event: audit.EventAuditCut, Outcome: audit.OutcomeFailed, Detail: s.auditCut})
}
