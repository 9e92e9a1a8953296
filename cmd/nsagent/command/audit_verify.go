package command

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type verifyOptions struct {
	keys, held []string
}

func newAuditVerify(e *env) *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify [FILE|DIR]",
		Short: "Check that nobody changed the log",
		Long: `Check that nobody changed the log: every entry holds the hash of the one before,
and checkpoints are signed by keys that sign once. It prints ok, or the number
of the first bad entry, and then exits with 9. It needs no agent and no
passphrase.

FILE is what audit export or audit prove wrote, and DIR a copy of the log's
directory; without either it is the log of this machine. What you hold from
elsewhere makes the answer one that no program here could have forged: with
--key the first public key, which init showed and audit export --key prints,
with --checkpoint what audit export --checkpoint printed once. A log whose end
was cut off shows against such a checkpoint, and one whose start was deleted on
purpose verifies from it.`,
		Example: `  nsagent audit verify
  nsagent audit verify --key acme.pub export.txt
  nsagent audit verify --checkpoint kept.txt
  nsagent audit verify --key acme.pub proof.txt`,
		Args: takes("[FILE|DIR]"),
		RunE: func(_ *cobra.Command, args []string) error { return runAuditVerify(e, o, args) },
	}
	c.Flags().StringArrayVar(&o.keys, "key", nil, "the first public `KEY`, or a file with it; may be repeated")
	c.Flags().StringArrayVar(&o.held, "checkpoint", nil, "a `FILE` with checkpoints that you kept, or a directory of such; may be repeated")
	return c
}

func runAuditVerify(e *env, o verifyOptions, args []string) error {
	trust, err := o.trust()
	if err != nil {
		return err
	}
	var place string
	if len(args) > 0 {
		place = args[0]
	} else {
		p, err := e.auditPaths()
		if err != nil {
			return err
		}
		place = p.AuditDir
	}
	r, err := checkAt(place, trust)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(args) > 0:
		return notThere(place)
	case err != nil:
		return noAudit(err, place)
	}
	err = e.printVerdict(r, trust)
	if r.Why == whyNoLog || r.Why == whyEmpty {
		return &client.Error{Code: pb.CodeAuditBad, Message: fmt.Sprintf("%.200q is no audit log", place), Why: r.Why, Next: "write one that can be verified:  nsagent audit export FILE"}
	}
	return err
}

// What is said of a file that never was a log.
const (
	whyEmpty = "it is empty"
	whyNoLog = "it begins with no entry, checkpoint or proof"
)

// checkFile verifies what is meant to be an export, a proof, or a file of the log. To be
// empty, or something else, is no way to be right.
func checkFile(r io.Reader, trust audit.Trust) (audit.Report, error) {
	b := bufio.NewReader(r)
	const entry, checkpoint, proof = `{"seq":`, "nsagent", "c2sp.or" // of one length
	switch head, err := b.Peek(len(entry)); {
	case err != nil && !errors.Is(err, io.EOF):
		return audit.Report{}, fmt.Errorf("reading the export: %w", err)
	case len(head) == 0:
		return audit.Report{Result: audit.Result{FirstBad: 1, Why: whyEmpty}}, nil
	case string(head) != entry && string(head) != checkpoint && string(head) != proof:
		return audit.Report{Result: audit.Result{FirstBad: 1, Why: whyNoLog}}, nil
	}
	return audit.Check(b, trust)
}

// checkAt verifies a directory or, with - for standard input, a file.
func checkAt(place string, trust audit.Trust) (audit.Report, error) {
	if fi, err := os.Stat(place); err == nil && fi.IsDir() {
		return audit.CheckDir(place, trust)
	}
	if place == "-" {
		return checkFile(os.Stdin, trust)
	}
	f, err := os.Open(place)
	if err != nil {
		return audit.Report{}, fmt.Errorf("opening the export: %w", err)
	}
	defer func() { _ = f.Close() }()
	return checkFile(f, trust)
}

func notThere(path string) error {
	return &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("there is no %q", path), Why: "it should be what audit export wrote, or a copy of the log", Next: "write one:  nsagent audit export FILE"}
}

// trust reads what the person holds.
func (o *verifyOptions) trust() (audit.Trust, error) {
	var t audit.Trust
	for _, k := range o.keys {
		text := k
		if b, err := os.ReadFile(k); err == nil {
			text = string(b)
		}
		for line := range strings.FieldsSeq(text) {
			if !audit.ValidKey(line) {
				return t, usage(fmt.Sprintf("%.60q is no key of an audit log, and no file with one", k), "it begins with nsagent/audit/v1/", "print it:  nsagent audit export --key")
			}
			t.Keys = append(t.Keys, line)
		}
	}
	for _, place := range o.held {
		files := []string{place}
		if fi, err := os.Stat(place); err == nil && fi.IsDir() {
			files = nil
			names, err := os.ReadDir(place)
			if err != nil {
				return t, fmt.Errorf("reading the checkpoints: %w", err)
			}
			for _, d := range names {
				if d.Type().IsRegular() {
					files = append(files, filepath.Join(place, d.Name()))
				}
			}
		}
		for _, path := range files {
			held, err := readHeld(path)
			if err != nil {
				return t, err
			}
			t.Held = append(t.Held, held...)
		}
	}
	return t, nil
}

func readHeld(path string) ([]audit.Checkpoint, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("there is no %q", path), Why: "it should be a checkpoint that you kept", Next: "keep one:  nsagent audit export --checkpoint FILE"}
	}
	if err != nil {
		return nil, fmt.Errorf("opening a checkpoint: %w", err)
	}
	defer func() { _ = f.Close() }()
	held, err := audit.ReadCheckpoints(f)
	if err != nil || len(held) == 0 {
		return nil, usage(fmt.Sprintf("%q holds no checkpoint", path), "it should be what audit export --checkpoint printed", "keep one:  nsagent audit export --checkpoint FILE")
	}
	return held, nil
}

func (e *env) printVerdict(r audit.Report, trust audit.Trust) error {
	if e.json() {
		if err := e.printJSON(verdictOf(r)); err != nil {
			return err
		}
	} else if r.OK {
		if err := e.print("ok"); err != nil {
			return err
		}
		e.sayVerdict(r, trust)
	} else if err := e.print(strconv.FormatUint(r.FirstBad, 10)); err != nil {
		return err
	}
	if r.OK {
		return nil
	}
	return brokenAt(r)
}

// brokenAt says of a log that was changed where that shows first.
func brokenAt(r audit.Report) error {
	why := r.Why
	if !strings.Contains(why, "entry ") {
		why = fmt.Sprintf("entry %d: %s", r.FirstBad, why)
	}
	return auditBroken(why + "; what stands before is as it was written")
}

// verdict is a report as JSON.
type verdict struct {
	Schema  string  `json:"schema"`
	OK      bool    `json:"ok"`
	Entries uint64  `json:"entries"`
	Seq     *uint64 `json:"seq"`
	Why     string  `json:"why,omitempty"`
	Head    string  `json:"head"`
	// First is the number of the first entry.
	First       uint64       `json:"first"`
	Checkpoints uint64       `json:"checkpoints"`
	Covered     uint64       `json:"covered"`
	Keys        []string     `json:"keys"`
	Gaps        []verdictGap `json:"gaps"`
	// Proved is the entry of a proof; left out for a log.
	Proved *audit.Entry `json:"proved,omitempty"`
	// KeyOlder is there if an older audit.key was put back.
	KeyOlder bool `json:"key_older,omitzero"`
}

type verdictGap struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	After  uint64    `json:"after"`
	Killed bool      `json:"killed"`
}

func verdictOf(r audit.Report) verdict {
	v := verdict{
		Schema: "nsagent.audit-verify/v1", OK: r.OK, Entries: r.Entries, Why: r.Why, Head: fmt.Sprintf("%x", r.Head.Hash[:]),
		First: r.First, Checkpoints: r.Checkpoints, Covered: r.Covered(), Keys: append([]string{}, r.Starts...), Gaps: []verdictGap{},
		Proved: r.Proved, KeyOlder: r.KeyOlder,
	}
	if !r.OK {
		v.Seq = &r.FirstBad
	}
	for _, g := range r.Gaps {
		v.Gaps = append(v.Gaps, verdictGap(g))
	}
	return v
}

// sayVerdict tells people what was verified, and what that proves.
func (e *env) sayVerdict(r audit.Report, trust audit.Trust) {
	if r.Proved != nil {
		e.say("entry %d is in the log, under the checkpoint of %s of %s", r.Proved.Seq, count(r.Covered(), "entry"), localTime(r.Last.Time))
		e.say("%s", strings.TrimRight(string(r.Proved.AppendLine(nil)), "\n"))
	} else {
		e.sayLog(r)
	}
	if len(r.Starts) > 1 {
		e.say("a signing key was lost %s: a new chain of checkpoints began each time", count(uint64(len(r.Starts)-1), "time")) // #nosec G115 -- not negative
	}
	if r.KeyOlder {
		e.say("audit.key is older than the checkpoints, so that no more can be made: in the agent's own directory, remove it while no agent runs, and a new chain of checkpoints begins")
	}
	if len(trust.Keys)+len(trust.Held) == 0 && len(r.Starts) > 0 {
		e.say("by its own first key %s", r.Starts[0])
	}
}

// sayLog tells of what a log holds.
func (e *env) sayLog(r audit.Report) {
	e.say("%s, head %x", count(r.Entries, "entry"), r.Head.Hash[:])
	if r.First > 1 {
		e.say("it begins with entry %d; those before are not here", r.First)
	}
	switch after := r.Head.Seq - min(r.Head.Seq, r.Covered()); {
	case r.Checkpoints == 0:
		e.say("no checkpoint; the entries are chained, and nothing is signed")
	case after > 0:
		e.say("%s valid; %s after the last, chained and not signed yet", count(r.Checkpoints, "checkpoint"), count(after, "entry"))
	default:
		e.say("%s valid, the last covers all", count(r.Checkpoints, "checkpoint"))
	}
	const shown = 10
	for i, g := range r.Gaps {
		if i == shown {
			e.say("and %s more", count(uint64(len(r.Gaps)-shown), "gap")) // #nosec G115 -- not negative
			break
		}
		what := "agent stopped"
		if g.Killed {
			what = "agent ended without a word"
		}
		e.say("gap after entry %d: %s, %s to %s", g.After, what, localTime(g.From), localTime(g.To))
	}
}
