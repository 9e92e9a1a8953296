package command

import (
	"cmp"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// agentFailure returns an error of the agent's packages in the form that the
// command line prints; what says what failed where the error itself does not.
func agentFailure(what string, err error) error {
	code, message, why, next := agent.Explain(err)
	switch {
	case code != pb.CodeInternal:
		next = cmp.Or(next, system(err))
	case what != "":
		message, why, next = what, plain(err), system(err)
	default:
		why, next = plain(err), system(err)
	}
	return &client.Error{Code: code, Message: message, Why: why, Next: next}
}
