package command

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/doctor"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newDoctor(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong here, and say what to type",
		Long: `Look at all that nsagent needs of this machine: clock, keyring, lockable memory,
swap and hibernation, protections of the kernel, directories and files, the
vault and its blobs, its share in the keyring, whether a newer vault was seen
here, the audit log, the agent and its socket, and dates on which credentials
end.

Each finding is ok, warn or problem, and says what to type. With problems it
exits with 9; warnings alone do not count. It changes nothing but for a test
entry in the keyring, which it removes again. It needs no agent, no vault and no
terminal; what an unlocked agent knows, it asks the agent.`,
		Example: `  nsagent doctor
  nsagent doctor -o json`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return e.reportFindings(e.examine(c.Context())) },
	}
}

// examine makes every check.
func (e *env) examine(ctx context.Context) []doctor.Finding {
	var host doctor.Host
	mode := secret.ModeAuto
	p, place, err := e.examinePlace(host)
	if err != nil {
		place = []doctor.Finding{foundFault("place", err)}
	} else if c, err := e.config(p); err != nil {
		place = append(place, foundFault("config", err))
	} else {
		if c.Memory != "" {
			mode = secret.Mode(c.Memory)
		}
		place = append(place, examinePinentry(c.Pinentry)...)
	}

	out := host.Clock(marks(p))
	memory := host.Memory(mode)
	out = append(append(out, memory...), host.Swap(), host.Hibernation(modeOf(memory)))
	out = append(append(append(out, host.Kernel()...), place...), tools(e.getenv)...)
	if err == nil {
		if st := e.servesBundle(ctx, p); st != nil {
			out = append(out, doctor.Finding{Check: "bundle", Level: doctor.OK, Text: "the agent serves that of " + shortGrant(st.GetBundle().GetGrant()) + ", which needs no vault and no keyring"})
			if path := st.GetAudit().GetPath(); path != "" { // not told on a grant's socket
				p.AuditDir = path
			}
		} else {
			out = append(out, e.examineVault(ctx, p)...)
		}
		out = append(out, examineAudit(p))
		out = append(out, e.examineAgent(ctx, p)...)
	}
	return out
}

// foundFault returns an error of ours as a problem.
func foundFault(check string, err error) doctor.Finding {
	f := failure(err)
	return doctor.Finding{Check: check, Level: doctor.Problem, Text: oneLine(f.Message), Why: plainText(oneLine(f.Why)), Fix: orExplain(f)}
}

// orExplain returns what an error says to type, or how to read more on it.
func orExplain(f *client.Error) string {
	if f.Next != "" {
		return oneLine(f.Next)
	}
	return "see:  nsagent explain " + string(f.Code)
}

// levels are in the order in which they are printed: what matters most stands last,
// next to the prompt.
func levels() []doctor.Level { return []doctor.Level{doctor.OK, doctor.Warn, doctor.Problem} }

// reportFindings prints what was found, and fails where there are problems.
func (e *env) reportFindings(all []doctor.Finding) error {
	slices.SortStableFunc(all, func(a, b doctor.Finding) int {
		return slices.Index(levels(), a.Level) - slices.Index(levels(), b.Level)
	})
	n := map[doctor.Level]uint64{}
	for _, f := range all {
		n[f.Level]++
	}
	if err := e.printFindings(all, n); err != nil {
		return err
	}
	found := count(n[doctor.Problem], "problem")
	if n[doctor.Problem] == 0 {
		found = "no problem"
	}
	if n[doctor.Warn] > 0 {
		found += " and " + count(n[doctor.Warn], "warning")
	}
	if n[doctor.Problem] > 0 {
		return &client.Error{Code: pb.CodeCheck, Message: "the doctor found " + found, Why: "nothing was changed", Next: "each says behind -> what to do; begin with the first problem"}
	}
	if !e.json() {
		e.say("nsagent: %s", found)
	}
	return nil
}

func (e *env) printFindings(all []doctor.Finding, n map[doctor.Level]uint64) error {
	switch e.output {
	case "json":
		return e.printJSON(struct {
			Schema   string           `json:"schema"`
			OK       bool             `json:"ok"`
			Problems uint64           `json:"problems"`
			Warnings uint64           `json:"warnings"`
			Findings []doctor.Finding `json:"findings"`
		}{"nsagent.doctor/v1", n[doctor.Problem] == 0, n[doctor.Problem], n[doctor.Warn], all})
	case "jsonl":
		for _, f := range all {
			if err := e.printJSON(struct {
				Schema string `json:"schema"`
				doctor.Finding
			}{"nsagent.doctor-finding/v1", f}); err != nil {
				return err
			}
		}
		return nil
	}
	rows := make([]found, 0, len(all))
	for _, f := range all {
		rows = append(rows, found{string(f.Level), f.Check, f.Text, f.Why, f.Fix})
	}
	return e.printFound(rows)
}
