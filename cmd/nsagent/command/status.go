package command

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newStatus(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Tell how the agent is, and how well it is protected",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.dial(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = cl.Close() }()
			r, err := cl.Status(c.Context())
			if err != nil {
				return err
			}
			if e.json() {
				return e.printJSON(r.JSON())
			}
			return e.printStatus(r)
		},
	}
}

func (e *env) printStatus(r *pb.StatusResponse) error {
	u := r.GetUnlock()
	state := "locked"
	if !r.GetLocked() {
		state = fmt.Sprintf("unlocked, %s; locks in %s unused, in %s at most",
			count(r.GetProfiles(), "profile"), seconds(u.GetIdleLeft()), seconds(u.GetHardLeft()))
	}
	rows := [][]string{
		{"agent", fmt.Sprintf("%s, pid %d", r.GetVersion(), r.GetPid())},
		{"vault", state},
	}
	if !r.GetLocked() {
		rows = append(rows,
			[]string{"unlock", strings.Join(u.GetSlots(), ", ") + "; the weakest is " + u.GetWeakest()},
			[]string{"rollback", u.GetRollback()})
	}
	audit := fmt.Sprintf("%d entries in %s", r.GetAudit().GetSeq(), r.GetAudit().GetPath())
	if !r.GetAudit().GetOk() {
		audit = "cannot be written: " + r.GetAudit().GetPath()
	}
	rows = append(rows,
		[]string{"memory", r.GetMemory().GetGrade() + " (" + r.GetMemory().GetWhy() + ")"},
		[]string{"sandbox", sandbox(r.GetSandbox())},
		[]string{"audit", audit})
	for _, s := range r.GetSockets() {
		rows = append(rows, []string{s.GetName() + ".sock", s.GetPath()})
	}
	for _, w := range r.GetWarnings() {
		rows = append(rows, []string{"note", w})
	}
	return e.table(rows)
}

func sandbox(s *pb.SandboxStatus) string {
	var parts []string
	if s.GetSeccomp() {
		parts = append(parts, "seccomp")
	}
	if s.GetLandlockAbi() > 0 {
		parts = append(parts, fmt.Sprintf("Landlock ABI %d", s.GetLandlockAbi()))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// count returns "1 profile", "2 profiles".
func count(n int32, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// seconds shows a number of seconds the way people say it: 1h, 5m30s.
func seconds(n int64) string {
	s := (time.Duration(n) * time.Second).String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if s == "" {
		return "0s"
	}
	return s
}
