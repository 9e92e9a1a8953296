package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
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
	since duration
	last  int
}

func newAuditQuery(e *env) *cobra.Command {
	var o queryOptions
	c := &cobra.Command{
		Use:   "query",
		Short: "Print the entries of the log",
		Long: `Print the entries of the log, oldest first. It needs no agent and no passphrase.
With -o jsonl each line is as it stands in the log. -p picks a profile.`,
		Example: `  nsagent audit query --last 20
  nsagent audit query --outcome denied --since 7d -o jsonl
  nsagent audit query -p acme-sb1 --event sign`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error { return runAuditQuery(e, o) },
	}
	f := c.Flags()
	f.StringVar(&o.Event, "event", "", "only this `EVENT`, such as sign or profile.add")
	f.StringVar(&o.Outcome, "outcome", "", "only this `OUTCOME`: ok, denied or failed")
	f.StringVar(&o.Host, "host", "", "only requests to this `HOST`")
	f.Var(&o.since, "since", "only the last `TIME`, such as 24h or 30d")
	f.IntVar(&o.last, "last", 0, "only the newest `N` that match")
	return c
}

func runAuditQuery(e *env, o queryOptions) error {
	o.Profile = e.profile
	if o.since > 0 {
		o.Since = time.Now().Add(-time.Duration(o.since))
	}
	if o.last < 0 {
		return usage("--last is negative", "it takes a number of entries", "")
	}
	if o.Outcome != "" && !slices.Contains([]string{audit.OutcomeOK, audit.OutcomeDenied, audit.OutcomeFailed}, o.Outcome) {
		return usage(fmt.Sprintf("unknown outcome %.20q", o.Outcome), "it is ok, denied or failed", "")
	}
	p := newEntryPrinter(e)
	if !e.json() && o.last == 0 {
		// The log may be long: it is read twice rather than kept.
		if err := e.eachEntry(o, func(x audit.Entry) error { p.fit(x); return nil }); err != nil {
			return err
		}
	}
	var kept []audit.Entry
	err := e.eachEntry(o, func(x audit.Entry) error {
		if o.last == 0 {
			return p.print(x)
		}
		if len(kept) == o.last {
			kept = kept[1:]
		}
		kept = append(kept, x)
		return nil
	})
	if err != nil {
		return err
	}
	for _, x := range kept {
		p.fit(x)
	}
	for _, x := range kept {
		if err := p.print(x); err != nil {
			return err
		}
	}
	return p.end()
}

// eachEntry calls f for each entry of the log that the filter lets through.
func (e *env) eachEntry(o queryOptions, f func(audit.Entry) error) error {
	r, err := e.openAudit()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	for x, err := range audit.Query(r, o.Filter) {
		if err != nil {
			return auditBroken(plain(err))
		}
		if err := f(x); err != nil {
			return err
		}
	}
	return nil
}

func newAuditVerify(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Check that nobody changed the log",
		Long: `Check that nobody changed the log: every entry holds the hash of the one before.
It prints ok, or the number of the first bad entry, and then exits with 9. It
needs no agent and no passphrase.`,
		Args: takes(),
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
		e.say("%s, head %x", count(res.Entries, "entry"), res.Head.Hash[:])
	} else if err := e.print(strconv.FormatUint(res.FirstBad, 10)); err != nil {
		return err
	}
	if res.OK {
		return nil
	}
	why := res.Why
	if !strings.Contains(why, "entry ") {
		why = fmt.Sprintf("entry %d: %s", res.FirstBad, why)
	}
	return auditBroken(why + "; what stands before is as it was written")
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
		return nil, &client.Error{Code: pb.CodeNotFound, Message: "there is no audit log yet", Why: "no agent has run here: " + p.AuditDir + " is empty", Next: "start one:  nsagent unlock"}
	case err != nil:
		return nil, agentFailure("the audit log cannot be read", err)
	}
	return r, nil
}
