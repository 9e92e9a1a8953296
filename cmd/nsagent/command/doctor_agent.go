package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/doctor"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// askTime bounds each question to the agent, which answers within milliseconds.
const askTime = 5 * time.Second

// examineAgent looks at the sockets, and asks an agent that is there.
func (e *env) examineAgent(ctx context.Context, p socketpath.Paths) []doctor.Finding {
	if err := e.elsewhere(p); err != nil {
		return []doctor.Finding{foundFault("agent", err)}
	}
	if e.asleep(p) != nil {
		return []doctor.Finding{{Check: "socket", Level: doctor.OK, Text: "no agent runs here; systemd has " + p.Agent + ", or an agent left it behind",
			Fix: "none is needed yet: a command that needs one starts it, or:  nsagent agent start"}}
	}
	out, there := e.examineSockets(p)
	if !there {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	// Nothing here starts an agent.
	cl, err := client.Dial(ctx, client.WithSocket(p.Agent))
	if err != nil {
		return append(out, foundFault("agent", err))
	}
	defer func() { _ = cl.Close() }()
	r, err := cl.Status(ctx)
	if err != nil {
		return append(out, foundFault("agent", err))
	}
	out = append(out, judgeAgent(r)...)
	if r.GetLocked() && r.GetBundle() != nil {
		return append(out, doctor.Finding{Check: "expiry", Level: doctor.OK, Text: "not known while the bundle is locked", Fix: "start it again, and look:  nsagent agent stop && nsagent agent start --bundle FILE"})
	}
	if r.GetLocked() {
		return append(out, doctor.Finding{Check: "expiry", Level: doctor.OK, Text: "not known while the vault is locked", Fix: "open it, and look again:  nsagent unlock"})
	}
	list, err := cl.Profiles(ctx)
	if err != nil {
		return append(out, foundFault("expiry", err))
	}
	return append(append(append(out, e.judgeDefault(p, list)...), expiries(r.GetExpiring())...), needy(list)...)
}

// examineSockets looks at the sockets themselves. there is false where no agent
// listens.
func (e *env) examineSockets(p socketpath.Paths) (out []doctor.Finding, there bool) {
	const check = "socket"
	uids := []uint32{uint32(os.Geteuid())} // #nosec G115 -- a uid fits
	if n, err := strconv.ParseUint(e.getenv("NSAGENT_SOCK_UID"), 10, 32); err == nil {
		uids = append(uids, uint32(n))
	}
	for _, path := range []string{p.Agent, p.Admin} {
		err := socketpath.CheckSocket(path, uids...)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			continue
		case err != nil:
			out = append(out, doctor.Finding{Check: check, Level: doctor.Problem, Text: strings.TrimPrefix(plain(err), "unsafe place: "), Why: "nsagent does not connect to it",
				Fix: "look at what it is, then remove it:  rm " + path})
			continue
		}
		conn, err := net.DialTimeout("unix", path, askTime)
		if err == nil {
			_ = conn.Close()
			out = append(out, doctor.Finding{Check: check, Level: doctor.OK, Text: "somebody listens at " + path})
			there = there || path == p.Agent
			continue
		}
		f := doctor.Finding{Check: check, Level: doctor.Warn, Text: "nobody listens any more at " + path, Why: "an agent ended without removing it", Fix: "start one, which takes it over:  nsagent agent start"}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			f = doctor.Finding{Check: check, Level: doctor.Problem, Text: "there is no way to connect to " + path, Why: plain(err), Fix: "end the agent there, and start one:  nsagent agent start"}
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		out = append(out, doctor.Finding{Check: check, Level: doctor.OK, Text: "no agent runs here: there is no " + p.Agent, Fix: "none is needed yet: a command that needs one starts it, or:  nsagent agent start"})
	}
	return out, there
}

// judgeAgent says what the agent's status means.
func judgeAgent(r *pb.StatusResponse) []doctor.Finding {
	state := "unlocked"
	if r.GetLocked() {
		state = "locked"
	}
	out := []doctor.Finding{{Check: "agent", Level: doctor.OK, Text: fmt.Sprintf("version %s, pid %d, %s", r.GetVersion(), r.GetPid(), state)}}
	add := func(level doctor.Level, check, text, why, fix string) {
		out = append(out, doctor.Finding{Check: check, Level: level, Text: text, Why: why, Fix: fix})
	}
	if v, _, _ := buildVersion(); r.GetVersion() != v {
		add(doctor.Warn, "agent.version", fmt.Sprintf("the agent is version %s, and this program is %s", r.GetVersion(), v), "one of them was updated while the agent ran",
			"start the new one:  nsagent agent stop && nsagent agent start && nsagent unlock")
	}
	if s := r.GetSandbox(); !s.GetSeccomp() || s.GetLandlockAbi() == 0 {
		add(doctor.Warn, "agent.sandbox", "the agent is not wholly confined: "+sandbox(s), "a fault in it would reach further", "see the kernel's findings, and start the agent again")
	}
	if a := r.GetAudit(); !a.GetOk() {
		add(doctor.Problem, "audit", "the audit log cannot be written: "+a.GetPath(), "what cannot be recorded is not done", "make room or repair it; the agent tries again by itself")
	}
	for _, w := range r.GetWarnings() {
		if strings.Contains(w, "audit log") || strings.Contains(w, "the keyring alone") {
			continue // a finding of its own
		}
		add(doctor.Warn, "agent.note", w, "", "see what opens the vault, how well, and what the machine key is:  nsagent help modes")
	}
	return out
}

// judgeDefault looks whether the profile that is named once and for all is there.
func (e *env) judgeDefault(p socketpath.Paths, list *pb.ListProfilesResponse) []doctor.Finding {
	name, err := e.profileName(p)
	if err != nil || name == "" {
		return nil
	}
	if slices.ContainsFunc(list.GetProfiles(), func(s *pb.ProfileSummary) bool { return s.GetName() == name }) {
		return nil
	}
	return []doctor.Finding{{Check: "profile", Level: doctor.Problem, Text: fmt.Sprintf("there is no profile %.80q, which -p, NSAGENT_PROFILE or default_profile names", name),
		Why: "commands without another name fail", Fix: "see what there is:  nsagent profile ls"}}
}

// expiries lists what has ended or will soon. Each is a problem: who looks once a month
// has the time that a renewal takes.
func expiries(all []*pb.Expiry) []doctor.Finding {
	const check = "expiry"
	if len(all) == 0 {
		return []doctor.Finding{{Check: check, Level: doctor.OK, Text: "no credential ends within 60 days"}}
	}
	var out []doctor.Finding
	for _, x := range all {
		f := doctor.Finding{Check: check, Level: doctor.Problem, Text: ending(x), Fix: renewal(x)}
		if x.GetWithinDays() == 0 {
			f.Why = "nothing is signed with it"
		}
		out = append(out, f)
	}
	return out
}

// renewal says how a credential that ends is replaced.
func renewal(x *pb.Expiry) string {
	switch {
	case x.GetAuth() == "authcode":
		return "log in again:  nsagent login -p " + x.GetProfile()
	case x.GetAuth() != "m2m":
		return "get a new secret from whoever gave it out, and store it:  nsagent profile edit " + x.GetProfile()
	case x.GetWithinDays() == 0: // it can upload no other one
		return "make a new certificate, and upload it by hand:  nsagent cert new -p " + x.GetProfile()
	default:
		return "put a new one into its place:  nsagent cert rotate -p " + x.GetProfile()
	}
}

// needy lists the profiles that nothing is done with until somebody does something: those
// from before a refresh of their sandbox, and those that need a consent.
func needy(list *pb.ListProfilesResponse) []doctor.Finding {
	var out []doctor.Finding
	for _, p := range list.GetProfiles() {
		switch p.GetState() {
		case "stale":
			out = append(out, doctor.Finding{Check: "refresh", Level: doctor.Problem, Text: fmt.Sprintf("%s is from before the refresh of %s", p.GetName(), p.GetAccount()),
				Why: "nothing is signed with it", Fix: "see what to do:  nsagent profile refreshed " + p.GetName()})
		case "consent":
			out = append(out, doctor.Finding{Check: "consent", Level: doctor.Problem, Text: p.GetName() + " needs somebody's consent in NetSuite",
				Why: "there is no access token for it until then", Fix: "log in:  nsagent login -p " + p.GetName()})
		}
	}
	return out
}
