package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/nearest"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newAudit(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Read and check the log of every use, denial and change",
	}
	c.AddCommand(newAuditQuery(e), newAuditTail(e), newAuditVerify(e), newAuditExport(e), newAuditProve(e))
	for _, sub := range c.Commands() {
		sub.Flags().StringVar(&e.auditDir, "dir", "", "the log in `DIR`, such as that of a bundle (else this machine's)")
	}
	return c
}

// filterFlags are the flags that pick entries.
type filterFlags struct {
	audit.Filter
	since, until moment
	seq          seqRange
	uid, pid     int
}

func (o *filterFlags) register(f *pflag.FlagSet) {
	f.StringVar(&o.Event, "event", "", "only this `EVENT`, such as sign or profile.add")
	f.StringVar(&o.Outcome, "outcome", "", "only this `OUTCOME`: ok, denied or failed")
	f.StringVar(&o.Reason, "reason", "", "only this `CODE`, such as NSA-READONLY")
	f.StringVar(&o.Account, "account", "", "only this `ACCOUNT`")
	f.StringVar(&o.Method, "method", "", "only this HTTP `METHOD`")
	f.StringVar(&o.Host, "host", "", "only requests to this `HOST`; * stands for any text")
	f.StringVar(&o.Path, "path", "", "only requests for this `PATH`; * stands for any text")
	f.StringVar(&o.Exe, "exe", "", "only this `PROGRAM`: its path, or the last part of it")
	f.StringVar(&o.Grant, "grant", "", "only uses by the unlock tokens of this `GRANT`, its ID or 6 characters or more of it")
	f.StringVar(&o.Rule, "rule", "", "only uses on which this `RULE` of the policy decided")
	f.IntVar(&o.pid, "pid", -1, "only the process of this `NUMBER`")
	f.IntVar(&o.uid, "uid", -1, "only the user of this `NUMBER`")
	f.Var(&o.since, "since", "only from this `TIME` on: 24h or 30d ago, or a date such as 2026-11-28 or 2026-11-28T09:30")
	f.Var(&o.until, "until", "only before this `TIME`")
	f.Var(&o.seq, "seq", "only the entries of these `NUMBERS`: 7, 7-90 or 7-")
}

// filter returns what the flags pick. -p picks a profile.
func (o *filterFlags) filter(e *env) (audit.Filter, error) {
	f := o.Filter
	f.Profile = e.profile
	f.Since, f.Until = time.Time(o.since), time.Time(o.until)
	f.First, f.Last = o.seq.first, o.seq.last
	if o.pid >= 0 {
		f.PID = &o.pid
	}
	if o.uid >= 0 {
		f.UID = &o.uid
	}
	f.Method, f.Grant = strings.ToUpper(f.Method), strings.ToLower(f.Grant)
	if f.Grant != "" && len(f.Grant) < unlocktoken.ShortestName {
		return f, usage(fmt.Sprintf("--grant %.20q is too short", f.Grant), fmt.Sprintf("the start of an ID has at least %d characters", unlocktoken.ShortestName), "list them:  nsagent grant ls")
	}
	if why := noEvent(f.Event); why != "" {
		return f, usage(fmt.Sprintf("unknown event %.40q", f.Event), why, "list them:  nsagent audit query --help")
	}
	if f.Reason != "" && !slices.Contains(codeNames(), f.Reason) {
		return f, usage(fmt.Sprintf("unknown code %.40q", f.Reason), cmp.Or(didYouMean(nearest.Name(codeOf(f.Reason), codeNames())), "codes look like NSA-LOCKED"), "list them:  nsagent explain")
	}
	if f.Outcome != "" && !slices.Contains([]string{audit.OutcomeOK, audit.OutcomeDenied, audit.OutcomeFailed}, f.Outcome) {
		return f, usage(fmt.Sprintf("unknown outcome %.20q", f.Outcome), "it is ok, denied or failed", "")
	}
	return f, nil
}

// noEvent says why there is no event of that name, and which there are; "" where there is
// one, or none is named.
func noEvent(name string) string {
	all := audit.Events()
	if name == "" || slices.Contains(all, name) {
		return ""
	}
	if meant := nearest.Misspelt(name, all); meant != "" {
		return didYouMean(meant)
	}
	var of, words []string
	group, _, _ := strings.Cut(name, ".")
	for _, event := range all {
		word, _, _ := strings.Cut(event, ".")
		if word == group {
			of = append(of, event)
		}
		if word != event {
			word += ".*"
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	if len(of) == 0 {
		of = words
	}
	return "it is " + oneOf(of)
}

// seqRange is a flag for numbers of entries. Zero means no bound.
type seqRange struct{ first, last uint64 }

var errSeq = errors.New("it takes a number of an entry, or two such as 7-90")

// Set reads 7, 7-90, 7- or -90.
func (r *seqRange) Set(s string) error {
	from, to, two := strings.Cut(s, "-")
	if !two {
		to = from
	}
	var err, err2 error
	if from != "" {
		r.first, err = strconv.ParseUint(from, 10, 64)
	}
	if to != "" {
		r.last, err2 = strconv.ParseUint(to, 10, 64)
	}
	if s == "" || s == "-" || err != nil || err2 != nil || r.last > 0 && r.last < r.first || to == "0" {
		return errSeq
	}
	return nil
}

// String returns the value as it is shown in the help.
func (r *seqRange) String() string { return "" }

// Type names the value in the help.
func (r *seqRange) Type() string { return "numbers" }

type queryOptions struct {
	filterFlags
	last positive
}

func newAuditQuery(e *env) *cobra.Command {
	var o queryOptions
	c := &cobra.Command{
		Use:   "query",
		Short: "Print the entries of the log",
		Long: `Print the entries of the log, oldest first. It needs no agent and no passphrase.
With -o jsonl each line is as it stands in the log, and has no schema. -p picks
a profile.

` + paragraph("", "Events are "+strings.Join(audit.Events(), ", ")+"."),
		Example: `  nsagent audit query --last 20
  nsagent audit query --outcome denied --since 7d -o jsonl
  nsagent audit query -p acme-sb1 --event sign --path '/services/rest/record/*'`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error { return runAuditQuery(e, o) },
	}
	o.register(c.Flags())
	c.Flags().Var(&o.last, "last", "only the newest `N` that match")
	return c
}

func runAuditQuery(e *env, o queryOptions) error {
	f, err := o.filter(e)
	if err != nil {
		return err
	}
	p := newEntryPrinter(e)
	if o.last > 0 {
		kept, err := e.newest(f, int(o.last)) // #nosec G115 -- Set bounds it
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
	if !e.json() {
		// The log may be long: it is read twice rather than kept.
		if err := e.eachEntry(f, func(x audit.Entry) error { p.fit(x); return nil }); err != nil {
			return err
		}
	}
	if err := e.eachEntry(f, p.print); err != nil {
		return err
	}
	return p.end()
}

// newest returns the last n entries that the filter lets through.
func (e *env) newest(f audit.Filter, n int) ([]audit.Entry, error) {
	var kept []audit.Entry
	err := e.eachEntry(f, func(x audit.Entry) error {
		if len(kept) == n {
			kept = kept[1:]
		}
		kept = append(kept, x)
		return nil
	})
	return kept, err
}

// eachEntry calls f for each entry of the log that the filter lets through.
func (e *env) eachEntry(filter audit.Filter, f func(audit.Entry) error) error {
	r, err := e.openAudit()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	grant := ""
	for x, err := range audit.Query(r, filter) {
		switch {
		case err != nil:
			return auditBroken(plain(err))
		case filter.Grant != "" && grant != "" && grant != x.Grant:
			return usage(fmt.Sprintf("more than one grant begins with %.40q", filter.Grant), "their uses would be taken for those of one", "give more of it:  nsagent grant ls -o json")
		}
		grant = x.Grant
		if err := f(x); err != nil {
			return err
		}
	}
	return nil
}

func auditBroken(why string) error {
	return &client.Error{Code: pb.CodeAuditBad, Message: "the audit log was changed", Why: why, Next: "keep a copy of it, and find out who could write it"}
}

// openAudit opens the log for reading. It needs no agent and no lock.
func (e *env) openAudit() (io.ReadCloser, error) {
	p, err := e.auditPaths()
	if err != nil {
		return nil, err
	}
	r, err := audit.OpenReader(p.AuditDir)
	if err != nil {
		return nil, noAudit(err, p.AuditDir)
	}
	return r, nil
}

// noAudit says why the log of dir cannot be read.
func noAudit(err error, dir string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &client.Error{Code: pb.CodeNotFound, Message: "there is no audit log yet", Why: "no agent has run here: " + dir + " is empty", Next: "start one:  nsagent agent start"}
	case errors.Is(err, audit.ErrLine), errors.Is(err, audit.ErrCheckpoint), errors.Is(err, audit.ErrBroken):
		return auditBroken(plain(err))
	default:
		return agentFailure("the audit log cannot be read", err)
	}
}
