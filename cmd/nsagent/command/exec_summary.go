package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// summaryFile is the variable that names the file to which a step of a GitHub job appends
// Markdown for the page of its run.
//
// Source: GitHub Docs, "Workflow commands", "Adding a job summary".
const summaryFile = "GITHUB_STEP_SUMMARY"

// maxSummary is how many kinds of uses a summary names.
const maxSummary = 50

// summarize appends to the page of a job what its program has done with a bundle, as the
// log of the agent, which is still there, has it. The job goes on where that fails.
func (e *env) summarize(ctx context.Context, cl *client.Client, o *pb.SocketOpened) {
	path := e.getenv(summaryFile)
	if path == "" {
		return
	}
	st, err := cl.Status(ctx)
	if err == nil {
		var r run
		if r, err = readRun(st.GetAudit().GetPath()); err == nil {
			err = appendTo(path, r.markdown(o, st.GetAudit(), time.Now()))
		}
	}
	if err != nil {
		e.note("there is no summary of the job: %s", plain(err))
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) // #nosec G304 -- the CI service names it
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// run is what a log says of the use of a bundle since its agent has started.
type run struct {
	grant       string
	until       time.Time // when the grant ends; zero: it is not said
	first, last uint64    // entries
	uses        map[use]int
}

// use is what uses have in common that are counted together.
type use struct{ what, verdict string }

// readRun reads the newest run of a log: one agent at a time serves a bundle.
func readRun(dir string) (r run, err error) {
	log, err := audit.OpenReader(dir)
	if err != nil {
		return run{}, err
	}
	defer func() { _ = log.Close() }()
	for x, err := range audit.Query(log, audit.Filter{}) {
		if err != nil {
			return run{}, err
		}
		if x.Event == audit.EventGrantRedeem {
			r = run{grant: x.Grant, first: x.Seq, uses: make(map[use]int)}
			_, until, _ := strings.Cut(x.Detail, "until=")
			r.until, _ = time.Parse(time.RFC3339, until) // zero where it is not there
		}
		r.last = x.Seq
		if u := usedFor(x); u != (use{}) && r.uses != nil {
			r.uses[u]++
		}
	}
	return r, nil
}

// usedFor returns what an entry is counted as; nothing for one that is no use.
func usedFor(x audit.Entry) use {
	u := use{what: x.Event, verdict: x.Outcome}
	switch x.Event {
	case audit.EventSign, audit.EventSend:
		u.what = x.Method + " " + x.Path
	case audit.EventPassport, audit.EventConnectPassword, audit.EventAssertion, audit.EventToken:
	default:
		return use{}
	}
	if x.Reason != "" {
		u.verdict += ", " + x.Reason
	}
	return u
}

// markdown returns a table of the uses, the most frequent first, and what is to be known
// of the grant and the log.
func (r run) markdown(o *pb.SocketOpened, log *pb.AuditStatus, now time.Time) string {
	var b strings.Builder
	title := "nsagent"
	if o.GetProfile() != "" {
		title = fmt.Sprintf("nsagent: %s (%s)", o.GetProfile(), strings.ToUpper(o.GetEnvironment()))
	}
	fmt.Fprintf(&b, "### %s\n\n| use | verdict | times |\n|---|---|---:|\n", title)
	all := slices.SortedFunc(maps.Keys(r.uses), func(x, y use) int {
		return cmp.Or(r.uses[y]-r.uses[x], strings.Compare(x.what, y.what), strings.Compare(x.verdict, y.verdict))
	})
	for _, u := range all[:min(len(all), maxSummary)] {
		fmt.Fprintf(&b, "| %s | %s | %d |\n", verbatim(u.what), verbatim(u.verdict), r.uses[u])
	}
	if more := len(all) - maxSummary; more > 0 {
		fmt.Fprintf(&b, "\nand uses of %d other kinds\n", more)
	}
	b.WriteString("\n")
	if !r.until.IsZero() {
		fmt.Fprintf(&b, "Grant %s ends on %s; days left: %d. ", verbatim(r.grant), r.until.Format(time.DateOnly), max(0, r.until.Sub(now)/(24*time.Hour)))
	}
	fmt.Fprintf(&b, "On record as entries %d to %d of the log in %s, head %s.\n\n", r.first, r.last, verbatim(log.GetPath()), verbatim(log.GetHead()))
	return b.String()
}

// verbatim returns text as Markdown that shows it and nothing else, in tables too: a path
// is what some program wanted.
func verbatim(s string) string {
	return "`" + strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '`' || r == '|' {
			return '?'
		}
		return r
	}, s) + "`"
}
