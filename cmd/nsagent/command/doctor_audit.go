package command

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/doctor"
	"github.com/nsagent/nsagent/internal/socketpath"
)

// examineAudit reads the whole log, as audit verify does: whether its entries follow each
// other, and whether its checkpoints are signed and fit.
func examineAudit(p socketpath.Paths) doctor.Finding {
	const check = "audit.chain"
	r, err := audit.CheckDir(p.AuditDir, audit.Trust{})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return doctor.Finding{Check: check, Level: doctor.OK, Text: "no audit log yet"}
	case err != nil:
		return foundFault(check, noAudit(err, p.AuditDir))
	case !r.OK:
		return foundFault(check, brokenAt(r))
	default:
		return doctor.Finding{Check: check, Level: doctor.OK, Text: fmt.Sprintf("%s, each with the hash of the one before; %s valid", count(r.Entries, "entry"), count(r.Checkpoints, "checkpoint"))}
	}
}
