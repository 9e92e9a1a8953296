package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const statusName = "status"

func newStatus(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   statusName,
		Short: "Tell how the agent is, and how well it is protected",
		Args:  takes(),
		RunE:  func(c *cobra.Command, _ []string) error { return e.beforeTheFirst(runStatus(c.Context(), e)) },
	}
}

func runStatus(ctx context.Context, e *env) error {
	return e.ask(ctx, func(cl *client.Client) error {
		r, err := cl.Status(ctx)
		if err != nil {
			return err
		}
		p, err := e.paths()
		if err != nil {
			return err
		}
		if e.json() {
			return e.printJSON(e.statusForm(r, p))
		}
		var profiles *pb.ListProfilesResponse
		if !r.GetLocked() && r.GetBundle() == nil {
			profiles, _ = cl.Profiles(ctx) // who may not list them is told the rest
		}
		return e.printStatus(r, profiles, p)
	})
}

// beforeTheFirst tells who has no vault yet to make one, rather than to start an agent
// that has nothing to open.
func (e *env) beforeTheFirst(err error) error {
	if err == nil {
		return nil
	}
	p, lost := e.paths()
	f := failure(err)
	if lost != nil || f.Code != pb.CodeAgent || !noVaultYet(p) {
		return err
	}
	next := "there is no vault yet, either; make one:  nsagent init"
	if vaultGone(p) {
		next = "the vault is gone, too; see what can be put back:  nsagent vault fsck"
	}
	if client.UnlockTokenNamed() {
		next = "no vault is here; serve a bundle:  nsagent agent start --bundle FILE"
	}
	return &client.Error{Code: f.Code, Message: f.Message, Why: f.Why, Next: next}
}

func (e *env) printStatus(r *pb.StatusResponse, profiles *pb.ListProfilesResponse, p socketpath.Paths) error {
	u := r.GetUnlock()
	what, state := "vault", "locked; open it:  nsagent unlock"
	if len(r.GetSockets()) == 1 { // of a grant or of exec, which has none to manage
		state = "locked; have its owner open it:  nsagent unlock"
	}
	switch {
	case r.GetBundle() != nil:
		what, state = "bundle", bundleSentence(r.GetBundle(), r.GetLocked())
	case noVaultYet(p) && vaultGone(p):
		state = "gone; see what can be put back:  nsagent vault fsck"
	case noVaultYet(p):
		state = "none yet; make one:  nsagent init"
	case !r.GetLocked():
		state = fmt.Sprintf("unlocked, %s; locks in %s without use, in %s at the latest",
			count(uint64(max(r.GetProfiles(), 0)), "profile"), // #nosec G115 -- not negative
			seconds(min(u.GetIdleLeft(), u.GetHardLeft())), seconds(u.GetHardLeft()))
	}
	rows := [][2]string{
		{"agent", fmt.Sprintf("%s, pid %d", r.GetVersion(), r.GetPid())},
		{what, state},
	}
	if len(u.GetSlots()) > 0 {
		rows = append(rows, [2]string{"opens by", opensBy(u.GetSlots(), u.GetWeakest())})
	}
	if !r.GetLocked() && r.GetBundle() == nil {
		rows = append(rows, [2]string{"rollback", rollback(u)})
	}
	rows = append(rows, e.policyRows(r.GetPolicy(), p)...)
	audit := auditSentence(r.GetAudit())
	rows = append(rows,
		[2]string{"memory", r.GetMemory().GetGrade() + " (" + r.GetMemory().GetWhy() + ")"},
		[2]string{"sandbox", sandbox(r.GetSandbox())},
		[2]string{"audit", audit},
		[2]string{"checkpoint", checkpoint(r.GetAudit())})
	for _, s := range r.GetSockets() {
		rows = append(rows, [2]string{s.GetName() + ".sock", s.GetPath()})
	}
	rows = append(rows, grantSocketRows(r.GetGrantSockets())...)
	rows = append(rows, endings(r.GetExpiring())...)
	rows = append(rows, needyRows(profiles)...)
	for _, w := range r.GetWarnings() {
		if u.GetRollback() != "" && strings.Contains(w, u.GetRollback()) {
			continue // the row of that name says it
		}
		rows = append(rows, [2]string{"note", w})
	}
	return e.sheet(rows)
}

// grantSocketRows tells of the sockets that others may use, the first few of them.
func grantSocketRows(all []*pb.GrantSocketStatus) [][2]string {
	const most = 5
	var rows [][2]string
	for i, s := range all {
		if i == most {
			rows = append(rows, [2]string{"socket", fmt.Sprintf("and %d more:  nsagent status -o json", len(all)-most)})
			break
		}
		rights := "exec"
		if s.GetStanding() {
			rights = "grant new --listen"
		}
		if s.GetGrant() != "" {
			rights += ", " + shortGrant(s.GetGrant())
		}
		if s.GetProfile() != "" {
			rights += ", " + s.GetProfile()
		}
		rows = append(rows, [2]string{"socket", fmt.Sprintf("%s (%s) until %s", s.GetPath(), rights, day(s.GetExpiresAt(), ""))})
	}
	return rows
}

// endings tells of credentials that end, the first few of them.
func endings(all []*pb.Expiry) [][2]string {
	const most = 5
	var rows [][2]string
	for i, x := range all {
		if i == most {
			rows = append(rows, [2]string{"ends", fmt.Sprintf("and %d more:  nsagent doctor", len(all)-most)})
			break
		}
		rows = append(rows, [2]string{"ends", ending(x)})
	}
	return rows
}

// needyRows tells of profiles that nothing is done with until somebody does something, the
// first few of them.
func needyRows(all *pb.ListProfilesResponse) [][2]string {
	const most = 5
	var rows [][2]string
	for _, p := range all.GetProfiles() {
		switch p.GetState() {
		case "stale":
			rows = append(rows, [2]string{"stale", p.GetName() + " is from before a refresh of " + p.GetAccount() + ":  nsagent profile refreshed " + p.GetName()})
		case "consent":
			rows = append(rows, [2]string{"consent", p.GetName() + " needs somebody's consent:  nsagent login -p " + p.GetName()})
		}
	}
	if len(rows) > most {
		rows = append(rows[:most], [2]string{"", fmt.Sprintf("and %d more:  nsagent profile ls", len(rows)-most)})
	}
	return rows
}

// ending says when a credential ends, or that it has.
func ending(x *pb.Expiry) string {
	who := fmt.Sprintf("%s (%s)", x.GetProfile(), x.GetAccount())
	if x.GetWithinDays() == 0 {
		return who + " ended at " + day(x.GetExpiresAt(), "")
	}
	within := "1 day"
	if n := x.GetWithinDays(); n != 1 {
		within = fmt.Sprintf("%d days", n)
	}
	return fmt.Sprintf("%s ends within %s, at %s", who, within, day(x.GetExpiresAt(), ""))
}

// noVaultYet reports whether this user's own agent has no vault to open. Of an agent
// that was named it is not known.
func noVaultYet(p socketpath.Paths) bool {
	_, err := os.Lstat(p.Vault)
	return errors.Is(err, fs.ErrNotExist) && !p.SocketNamed
}

// bundleSentence says what an agent serves that has no vault.
func bundleSentence(b *pb.BundleStatus, locked bool) string {
	if locked {
		return "locked; start again:  nsagent agent stop && nsagent agent start --bundle FILE"
	}
	return fmt.Sprintf("open, %s: %s; of %s, until %s", count(uint64(len(b.GetProfiles())), "profile"), strings.Join(b.GetProfiles(), ", "), shortGrant(b.GetGrant()), day(b.GetNotAfter(), ""))
}

// auditSentence tells of the audit log. Where it is, the agent says to its owner alone, and
// not on the socket of a grant.
func auditSentence(a *pb.AuditStatus) string {
	state, in := count(a.GetSeq(), "entry"), " in "
	switch {
	case !a.GetOk():
		state, in = "cannot be written", ": "
	case a.GetDurability() == "strict":
		state, in = state+", each on the disk before its answer", ", in "
	}
	if a.GetPath() == "" {
		return state
	}
	return state + in + a.GetPath()
}

// checkpoint tells of the last checkpoint of the audit log.
func checkpoint(a *pb.AuditStatus) string {
	if a.GetCheckpointSize() == 0 {
		return "none yet"
	}
	return fmt.Sprintf("of %s at %s", count(a.GetCheckpointSize(), "entry"), localTime(time.Unix(a.GetCheckpointTime(), 0)))
}

// rollback says how an older vault would be noticed, without what went on between
// processes to find out.
func rollback(u *pb.UnlockStatus) string {
	s, _, _ := strings.Cut(u.GetRollback(), ": reading keyring item")
	s, _, _ = strings.Cut(s, ": writing keyring item")
	return s
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
