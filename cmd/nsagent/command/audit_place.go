package command

import (
	"context"
	"path/filepath"
	"strconv"

	"github.com/nsagent/nsagent/internal/socketpath"
)

// auditPaths returns where everything is, and as AuditDir that of the log to read: the one
// that --dir names, that of this machine, or where there is none, that of a bundle. Each
// bundle that was served here has a log of its own.
func (e *env) auditPaths() (socketpath.Paths, error) {
	p, err := e.paths()
	if err != nil || e.auditDir != "" {
		if e.auditDir != "" {
			p.AuditDir = e.auditDir
		}
		return p, err
	}
	if hasLog(p.AuditDir) {
		return p, nil
	}
	logs, _ := filepath.Glob(filepath.Join(p.StateDir, "bundles", "g_*", "audit")) // the pattern is well-formed
	switch len(logs) {
	case 0:
		return p, nil
	case 1:
		p.AuditDir = logs[0]
	default:
		if p.AuditDir = e.logOfServed(p); p.AuditDir == "" {
			return p, usage("there are logs of "+strconv.Itoa(len(logs))+" bundles", "one is meant, and no agent serves any of them now", "name it:  "+e.command+" --dir "+logs[len(logs)-1])
		}
	}
	e.say("nsagent: the log of the bundle %s", shortGrant(filepath.Base(filepath.Dir(p.AuditDir))))
	return p, nil
}

// hasLog reports whether an agent has written a log in a directory.
func hasLog(dir string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "*.jsonl")) // the pattern is well-formed
	return len(files) > 0
}

// logOfServed returns where the agent that serves a bundle has its log; empty: none does.
func (e *env) logOfServed(p socketpath.Paths) string {
	return e.servesBundle(context.Background(), p).GetAudit().GetPath()
}
