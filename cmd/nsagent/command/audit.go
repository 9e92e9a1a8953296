package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newAudit(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Read and check the log of every use, denial and change",
	}
	c.AddCommand(newAuditQuery(e), newAuditVerify(e))
	return c
}

type queryOptions struct {
	audit.Filter
	since time.Duration
	last  int
}

func newAuditQuery(e *env) *cobra.Command {
	var o queryOptions
	c := &cobra.Command{
		Use:   "query",
		Short: "Print the entries of the log",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return runAuditQuery(e, o) },
	}
	f := c.Flags()
	f.StringVar(&o.Event, "event", "", "only this event, such as sign")
	f.StringVar(&o.Outcome, "outcome", "", "only ok, denied or failed")
	f.StringVar(&o.Host, "host", "", "only this host")
	f.DurationVar(&o.since, "since", 0, "only the last while, such as 24h")
	f.IntVar(&o.last, "last", 0, "only the newest N entries that match")
	return c
}

func runAuditQuery(e *env, o queryOptions) error {
	o.Profile = e.profile
	if o.since > 0 {
		o.Since = time.Now().Add(-o.since)
	}
	if o.last < 0 {
		return usage("--last is negative", "", "")
	}
	r, err := e.openAudit()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	var kept []audit.Entry
	for entry, err := range audit.Query(r, o.Filter) {
		if err != nil {
			return auditBroken(err.Error())
		}
		if o.last == 0 {
			if err := e.printEntry(entry); err != nil {
				return err
			}
			continue
		}
		if len(kept) == o.last {
			kept = kept[1:]
		}
		kept = append(kept, entry)
	}
	for _, entry := range kept {
		if err := e.printEntry(entry); err != nil {
			return err
		}
	}
	return nil
}

// printEntry writes an entry: as it stands in the log for programs, in columns
// for people.
func (e *env) printEntry(x audit.Entry) error {
	if e.json() {
		_, err := e.stdout.Write(x.AppendLine(nil))
		return err
	}
	line := fmt.Sprintf("%6d  %s  %-7s %-16s %s", x.Seq, x.Time.Local().Format("2006-01-02 15:04:05"), x.Outcome, x.Event, x.Profile)
	for _, more := range []string{x.Method, x.Host + x.Path, x.Reason, x.Detail} {
		if more != "" {
			line += " " + more
		}
	}
	return e.print(line)
}

func newAuditVerify(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Check that nobody changed the log",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			r, err := e.openAudit()
			if err != nil {
				return err
			}
			defer func() { _ = r.Close() }()
			res, err := audit.Verify(r)
			if err != nil {
				return fmt.Errorf("reading the audit log: %w", err)
			}
			return e.printVerdict(res)
		},
	}
}

func (e *env) printVerdict(res audit.Result) error {
	if e.json() {
		var firstBad *uint64
		if !res.OK {
			firstBad = &res.FirstBad
		}
		if err := e.printJSON(struct {
			Schema  string  `json:"schema"`
			OK      bool    `json:"ok"`
			Entries uint64  `json:"entries"`
			Seq     *uint64 `json:"seq"`
			Why     string  `json:"why,omitempty"`
			Head    string  `json:"head"`
		}{"nsagent.audit-verify/v1", res.OK, res.Entries, firstBad, res.Why, fmt.Sprintf("%x", res.Head.Hash[:])}); err != nil {
			return err
		}
	} else if res.OK {
		if err := e.print("ok"); err != nil {
			return err
		}
		e.say("%d entries, head %x", res.Entries, res.Head.Hash[:])
	} else if err := e.print(strconv.FormatUint(res.FirstBad, 10)); err != nil {
		return err
	}
	if res.OK {
		return nil
	}
	return auditBroken(fmt.Sprintf("entry %d: %s; the %d before it are as they were written", res.FirstBad, res.Why, res.Entries))
}

func auditBroken(why string) error {
	return &client.Error{Code: pb.CodeAuditBad, Message: "the audit log was changed", Why: why, Next: "keep a copy of it, and find out who could write it"}
}

// openAudit opens the log for reading. It needs no agent and no lock.
func (e *env) openAudit() (io.ReadCloser, error) {
	p, err := e.paths()
	if err != nil {
		return nil, err
	}
	r, err := audit.OpenReader(p.AuditDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &client.Error{Code: pb.CodeNotFound, Message: "there is no audit log yet", Why: "no agent has run: " + p.AuditDir + " is empty"}
	case err != nil:
		return nil, agentFailure(err)
	}
	return r, nil
}
