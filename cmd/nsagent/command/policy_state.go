package command

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"

	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// policyRows tells of the policy in force, and whether the draft is another one.
func (e *env) policyRows(st *pb.PolicyStatus, p socketpath.Paths) [][2]string {
	if st == nil {
		return nil
	}
	state := count(uint64(max(st.GetRules(), 0)), "rule") + " in force" // #nosec G115 -- not negative
	switch {
	case st.GetFault() != "":
		state = "cannot be used, so that nothing is allowed: " + st.GetFault()
	case st.GetSha256() == "":
		state = "none in force: the limits of the profiles decide"
	}
	rows := [][2]string{{"policy", state}}
	switch e.draftState(st, p) {
	case draftMalformed:
		rows = append(rows, [2]string{"", p.PolicyFile + " is a draft that is not well formed:  nsagent policy check"})
	case draftDiffers:
		rows = append(rows, [2]string{"", p.PolicyFile + " differs from it, and does not count:  nsagent policy edit"})
	}
	return rows
}

// What the draft is beside the policy in force, as statusJSON says it.
const (
	draftNone      = "none"
	draftSame      = "same"
	draftDiffers   = "differs"
	draftMalformed = "malformed"
)

// draftState says how the draft differs from the policy in force.
func (e *env) draftState(st *pb.PolicyStatus, p socketpath.Paths) string {
	if _, err := os.Lstat(p.PolicyFile); errors.Is(err, fs.ErrNotExist) {
		return draftNone
	}
	draft, text, err := e.readDraftPolicy("")
	if err != nil {
		return draftMalformed
	}
	if text, err = e.withFiles(draft, text, ""); err == nil {
		if sum := sha256.Sum256([]byte(text)); hex.EncodeToString(sum[:]) == st.GetSha256() {
			return draftSame
		}
	}
	return draftDiffers
}

// statusJSON is the status for programs, with the draft beside the policy in force.
type statusJSON struct {
	pb.StatusJSON
	Policy *policyJSON `json:"policy"`
}

type policyJSON struct {
	pb.PolicyJSON
	Draft string `json:"draft"`
}

func (e *env) statusForm(r *pb.StatusResponse, p socketpath.Paths) statusJSON {
	s := statusJSON{StatusJSON: r.JSON()}
	if s.StatusJSON.Policy != nil {
		s.Policy = &policyJSON{*s.StatusJSON.Policy, e.draftState(r.GetPolicy(), p)}
	}
	return s
}
