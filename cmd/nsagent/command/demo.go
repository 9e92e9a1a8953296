package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newDemo(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show it all against a NetSuite for tests",
		Long: `Show it all in a temporary home: a vault, an agent, a NetSuite for tests that
checks every signature, and one request over each channel. It leaves nothing
behind, and exits with 0 only if everything went as it should.`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runDemo(c.Context(), e) },
	}
}

// demoTime bounds the demo.
const demoTime = 60 * time.Second

// step is one thing that the demo shows. It returns what happened, in a few words.
type step struct {
	name string
	run  func(*demoWorld, context.Context) (string, error)
}

// stepJSON is one line of the demo for programs.
type stepJSON struct {
	Schema string `json:"schema"`
	Step   string `json:"step"`
	OK     bool   `json:"ok"`
	Result string `json:"result"`
}

func runDemo(ctx context.Context, e *env) (err error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	begin := time.Now()
	leaveTokens()
	w, err := newDemoWorld()
	if err != nil {
		return fmt.Errorf("preparing the demo: %w", err)
	}
	defer func() { err = errors.Join(err, w.close()) }()
	failed := 0
	for _, s := range demoSteps() {
		result, err := s.run(w, ctx)
		if err != nil {
			failed++
			result = oneLine(err.Error())
		}
		if err := e.printStep(s.name, result, err == nil); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		return &client.Error{Code: pb.CodeCheck, Message: "the demo did not go as it should", Why: count(uint64(failed), "step") + " failed", Next: "see what this machine lacks:  nsagent doctor"} // #nosec G115 -- a handful
	}
	e.say("all as it should be, in %s; nothing is left behind", time.Since(begin).Round(10*time.Millisecond))
	return nil
}

func (e *env) printStep(name, result string, ok bool) error {
	if e.json() {
		return e.printJSON(stepJSON{"nsagent.demo-step/v1", name, ok, result})
	}
	mark := "ok  "
	if !ok {
		mark = "FAIL"
	}
	return e.print(fmt.Sprintf("%s  %-30s %s", mark, name, result))
}

func demoSteps() []step {
	return []step{
		{"vault", (*demoWorld).vault},
		{"agent", (*demoWorld).startAgent},
		{"unlock", (*demoWorld).unlock},
		{"profiles", (*demoWorld).addProfiles},
		{"REST record", (*demoWorld).rest},
		{"SuiteQL", (*demoWorld).suiteQL},
		{"RESTlet, repeated parameter", (*demoWorld).restlet},
		{"SOAP TokenPassport", (*demoWorld).soap},
		{"SuiteAnalytics Connect", (*demoWorld).connect},
		{"M2M assertion for a token", (*demoWorld).exchange},
		{"M2M access token", (*demoWorld).accessToken},
		{"M2M key made in the agent", (*demoWorld).newKey},
		{"M2M certificate rotated", (*demoWorld).rotate},
		{"three-step login", (*demoWorld).login},
		{"a wrong signature", (*demoWorld).wrongSignature},
		{"a foreign host", (*demoWorld).foreignHost},
		{"a production write", (*demoWorld).productionWrite},
		{"an unlock token", (*demoWorld).grant},
		{"a token out of its scope", (*demoWorld).outOfScope},
		{"a token narrowed offline", (*demoWorld).narrowed},
		{"a token, vault locked", (*demoWorld).whileLocked},
		{"a token revoked", (*demoWorld).revoked},
		{"audit chain", (*demoWorld).auditChain},
		{"memory scan", (*demoWorld).memoryScan},
		{"lock", (*demoWorld).lock},
		{"stop", (*demoWorld).stopAgent},
	}
}

// unexpected is the result of a step that did not end as it should.
func unexpected(format string, args ...any) error { return fmt.Errorf(format, args...) }

// refusedWith checks that err is a refusal with this code.
func refusedWith(err error, code pb.Code) (string, error) {
	var f *client.Error
	switch {
	case err == nil:
		return "", unexpected("it was not refused")
	case !errors.As(err, &f) || f.Code != code:
		return "", unexpected("refused for another reason: %v", err)
	default:
		return fmt.Sprintf("denied: %s [%s]", f.Message, f.Code), nil
	}
}
