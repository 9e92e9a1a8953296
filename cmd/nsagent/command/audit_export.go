package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type exportOptions struct {
	since, until    moment
	seq             seqRange
	key, checkpoint bool
}

func newAuditExport(e *env) *cobra.Command {
	var o exportOptions
	c := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write the log with its checkpoints, to be verified elsewhere",
		Long: `Write the log with its checkpoints to FILE, or to standard output: one text that
audit verify checks on any machine, with no secret. It needs no agent and no
passphrase. A part of the log, picked by time or number, is widened to whole
checkpoints, so that it can be verified by itself.

What makes the log proof against whoever can write it is kept elsewhere, and
small: --key prints the first public key, for auditors to hold from the start;
--checkpoint prints the newest checkpoint, against which a log shows that was
changed or cut off before it.`,
		Example: `  nsagent audit export log.txt
  nsagent audit export --since 2026-07-01 --until 2026-10-01 q3.txt
  nsagent audit export --key acme.pub
  nsagent audit export --checkpoint kept.txt`,
		Args: takes("[FILE]"),
		RunE: func(_ *cobra.Command, args []string) error { return runAuditExport(e, o, args) },
	}
	f := c.Flags()
	f.Var(&o.since, "since", "only from this `TIME` on: 24h or 30d ago, or a date such as 2026-11-28")
	f.Var(&o.until, "until", "only before this `TIME`")
	f.Var(&o.seq, "seq", "only the entries of these `NUMBERS`: 7, 7-90 or 7-")
	f.BoolVar(&o.key, "key", false, "only the first public key")
	f.BoolVar(&o.checkpoint, "checkpoint", false, "only the newest checkpoint")
	return c
}

func runAuditExport(e *env, o exportOptions, args []string) error {
	if o.key && o.checkpoint {
		return usage("--key and --checkpoint exclude each other", "each prints one thing, and the log is left out", "do one after the other")
	}
	p, err := e.auditPaths()
	if err != nil {
		return err
	}
	return e.written(e.writeTo(args, func(w io.Writer) error { return o.export(w, p.AuditDir) }), p.AuditDir)
}

// writeTo lets write fill the file that the argument names, or standard output.
func (e *env) writeTo(args []string, write func(io.Writer) error) error {
	if len(args) == 0 || args[0] == "-" {
		return write(e.stdout)
	}
	return intoNewFile(args[0], write)
}

// written says what went wrong with reading the log of dir or writing what was asked for.
func (e *env) written(err error, dir string) error {
	var shown *client.Error
	if err == nil || errors.As(err, &shown) || e.stdout.failed() != nil {
		return err
	}
	return noAudit(err, dir)
}

// export writes what the flags ask for.
func (o *exportOptions) export(w io.Writer, dir string) error {
	noneYet := &client.Error{Code: pb.CodeNotFound, Message: "there is no checkpoint yet", Why: "they are made while the vault is unlocked", Next: "nsagent unlock"}
	switch {
	case o.key:
		starts, err := audit.Starts(dir)
		if err == nil && len(starts) == 0 {
			return noneYet
		}
		for _, key := range starts {
			if err == nil {
				_, err = fmt.Fprintln(w, key)
			}
		}
		return err
	case o.checkpoint:
		last, err := audit.LastCheckpoint(dir)
		if err == nil && last == nil {
			return noneYet
		}
		if err == nil {
			_, err = w.Write(last.AppendNote(nil))
		}
		return err
	}
	return audit.Export(w, dir, audit.Range{
		First: o.seq.first, Last: o.seq.last, Since: time.Time(o.since), Until: time.Time(o.until),
	})
}

// intoNewFile lets write fill a file that is not there yet. If it fails there is none.
func intoNewFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the user names it
	switch {
	case errors.Is(err, fs.ErrExist):
		return &client.Error{Code: pb.CodeExists, Message: fmt.Sprintf("%q is there already", path), Why: "an export does not overwrite anything", Next: "name another file, or remove it"}
	case err != nil:
		return &client.Error{Code: pb.CodeInternal, Message: "the export cannot be written", Why: plain(err), Next: "name another file"}
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}
