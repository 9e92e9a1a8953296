package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newPolicy(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Say which program may do what with which profile",
		Long: `Say which program may do what with which profile, when and how often. The rules
are in policy.toml beside config.toml, as docs/policy.md describes. That file is
a draft: what counts is the policy that was adopted into the vault.`,
	}
	c.AddCommand(newPolicyCheck(e), newPolicyTest(e), newPolicyExplain(e), newPolicyEdit(e), newPolicyShow(e), newPolicyLearn(e))
	return c
}

// maxPolicyFile is more than a policy may have, in bytes.
const maxPolicyFile = 1<<20 + 1

// readPolicyFile reads a text of at most a policy's size; "-" is stdin.
func (e *env) readPolicyFile(path string) (string, error) {
	r := e.stdin
	if path != "-" {
		f, err := os.Open(path) // #nosec G304 -- the user names it
		if err != nil {
			return "", noPolicyFile(err)
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxPolicyFile))
	if err != nil {
		return "", usage("the file cannot be read", plain(err), "")
	}
	return string(b), nil
}

func noPolicyFile(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &client.Error{Code: pb.CodeNotFound, Message: "there is no such file", Why: plain(err), Next: "correct the path"}
	}
	return usage("the file cannot be read", plain(err), "")
}

// withoutDraft returns err, and where there is no draft, what to name in its place.
func withoutDraft(err error, named string) error {
	c := (*client.Error)(nil)
	if named != "" || !errors.As(err, &c) || c.Code != pb.CodeNotFound {
		return err
	}
	return &client.Error{Code: c.Code, Message: "there is no draft of a policy", Why: c.Why, Next: "make one:  nsagent policy edit, or take the one in force:  nsagent policy show > P, and name P (with --file for policy test)"}
}

// draftPath returns path, or where the draft of the policy is.
func (e *env) draftPath(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	p, err := e.paths()
	return p.PolicyFile, err
}

// readDraftPolicy reads the policy in the file that is named, or the draft.
func (e *env) readDraftPolicy(named string) (*policy.Policy, string, error) {
	path, err := e.draftPath(named)
	if err != nil {
		return nil, "", err
	}
	text, err := e.readPolicyFile(path)
	if err != nil {
		return nil, "", withoutDraft(err, named)
	}
	p, err := policy.Parse(text)
	return p, text, notWellFormed(path, err)
}

// notWellFormed says where a file is not what it should be.
func notWellFormed(path string, err error) error {
	if err == nil {
		return nil
	}
	message, why := fmt.Sprintf("%s is not well formed", name(path)), plain(err)
	if s := (*policy.SyntaxError)(nil); errors.As(err, &s) {
		why = s.Place() + ": " + s.Why
	}
	return &client.Error{Code: pb.CodePolicy, Message: message, Why: why, Next: "see what may stand there:  docs/policy.md"}
}

// name returns how a file is called in messages.
func name(path string) string {
	if path == "-" {
		return "the text on stdin"
	}
	return path
}

// withFiles returns the text of a policy, which is in the file of that name, with the files that
// belong to it copied in.
func (e *env) withFiles(p *policy.Policy, text, file string) (string, error) {
	whole := text
	for _, path := range p.Files() {
		content, err := readSmall(path)
		if err == nil {
			whole, err = p.WithFile(whole, path, string(content))
		}
		if err != nil {
			return "", faultOfFile(text, path, file, err)
		}
	}
	return whole, nil
}

// faultOfFile says which key of the policy in text names the file at path, with which something
// is wrong, and what to do about it.
func faultOfFile(text, path, file string, err error) error {
	fault := policy.FileFault(text, path, strings.TrimPrefix(plain(err), policy.ErrSyntax.Error()+": "))
	c, s := (*client.Error)(nil), (*policy.SyntaxError)(nil)
	if err = notWellFormed(file, fault); errors.As(err, &c) && errors.As(fault, &s) {
		c.Next = fmt.Sprintf("correct the path or the file, or leave %s out, so that the keys are fetched", s.Key)
		if s.Key == "ca_file" {
			c.Next = "correct the path or the file, or leave ca_file out, so that the system's CAs count alone"
		}
	}
	return err
}

// readWholePolicy reads the policy at path, or the draft, as it would be adopted: text has
// the files that belong to it copied in.
func (e *env) readWholePolicy(path string) (p *policy.Policy, text string, err error) {
	if p, text, err = e.readDraftPolicy(path); err != nil {
		return nil, "", err
	}
	if path, err = e.draftPath(path); err != nil {
		return nil, "", err
	}
	if text, err = e.withFiles(p, text, path); err != nil {
		return nil, "", err
	}
	const what = "the policy with its files"
	if p, err = policy.Parse(text); err == nil {
		_, err = policy.Pack(text)
	}
	if err != nil {
		return nil, "", notWellFormed(what, err)
	}
	for _, i := range p.Issuers {
		if fault := oidc.NewIssuer(i.URL, i.JWKS, i.CA).Fault(); fault != "" {
			return nil, "", notWellFormed(what, errors.New(fault))
		}
	}
	return p, text, nil
}

func newPolicyCheck(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a policy, by default the draft",
		Long: `Check a policy, by default the draft beside config.toml: whether it is well
formed, with the files that it names, and what in it is hardly meant: rules that
never decide, rules of different effects that overlap, and rules for jobs that
no grant may name so, as by the name of a repository, which can be taken over.
It needs no agent. A policy that is not well formed exits with 2, and one with
rules that never decide with 9.`,
		Example: "  nsagent policy check\n  nsagent policy check policy.toml -o json",
		Args:    takes("[FILE]"),
		RunE: func(_ *cobra.Command, args []string) error {
			return runPolicyCheck(e, argument(args, 0))
		},
	}
}

// argument returns the argument of that number, or "".
func argument(args []string, n int) string {
	if n < len(args) {
		return args[n]
	}
	return ""
}

// findingJSON is what the check found, for programs.
type findingJSON struct {
	Level string `json:"level"`
	Rule  string `json:"rule"`
	Line  int    `json:"line"`
	Never bool   `json:"never"`
	Text  string `json:"text"`
}

func runPolicyCheck(e *env, path string) error {
	p, _, err := e.readWholePolicy(path)
	if err != nil {
		return err
	}
	lint, never := lintPolicy(p), 0
	list := []findingJSON{}
	for _, f := range lint {
		if f.Never {
			never++
		}
		list = append(list, findingJSON{findingLevel(f), f.Rule, f.Line, f.Never, f.Text})
	}
	if e.json() {
		err = e.printJSON(struct {
			Schema   string        `json:"schema"`
			OK       bool          `json:"ok"`
			Rules    int           `json:"rules"`
			Findings []findingJSON `json:"findings"`
		}{"nsagent.policy-check/v1", never == 0, len(p.Rules), list})
	} else {
		err = e.printLint(p, lint)
	}
	if err == nil && never > 0 {
		err = &client.Error{Code: pb.CodeCheck, Message: count(uint64(never), "rule") + " of the policy never decide as they stand", Why: "above it says why of each", Next: "put it right, or move it before what takes all that it matches, or leave it out"} // #nosec G115 -- not negative
	}
	return err
}

// findingLevel is warn for what never decides, and for what the policy is as a whole.
func findingLevel(f policy.Finding) string {
	if f.Never || f.Rule == "" {
		return "warn"
	}
	return "note"
}

// printLint prints what is hardly meant in a policy.
func (e *env) printLint(p *policy.Policy, lint []policy.Finding) error {
	all := []found{{level: "ok", name: "form", text: count(uint64(len(p.Rules)), "rule") + ", well formed"}}
	for _, f := range lint {
		text := fmt.Sprintf("rule %q: %s", f.Rule, f.Text)
		if f.Rule == "" { // of the policy as a whole
			text = f.Text
		}
		all = append(all, found{level: findingLevel(f), name: fmt.Sprintf("line %d", f.Line), text: text})
	}
	return e.printFound(all)
}

func newPolicyShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print the policy in force",
		Long: `Print the policy in force, as it was adopted. The vault has to be unlocked.
Where none is in force, every process of the owner may use every profile within
its limits.`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runPolicyShow(c.Context(), e) },
	}
}

func runPolicyShow(ctx context.Context, e *env) error {
	return e.manage(ctx, func(a *client.Admin) error {
		text, st, err := inForce(ctx, a)
		if err != nil {
			return err
		}
		if e.json() {
			return e.printJSON(struct {
				Schema string `json:"schema"`
				SHA256 string `json:"sha256"`
				Rules  int32  `json:"rules"`
				Fault  string `json:"fault,omitempty"`
				Policy string `json:"policy"`
			}{"nsagent.policy/v1", st.GetSha256(), st.GetRules(), st.GetFault(), text})
		}
		if st.GetFault() != "" {
			e.note("it cannot be used, and nothing is allowed: %s", st.GetFault())
		}
		if text == "" {
			e.say("no policy is in force: every process of the owner may use every profile within its limits")
			return nil
		}
		_, err = fmt.Fprint(e.stdout, text)
		return err
	})
}

// inForce returns the text of the policy in force; "" if there is none.
func inForce(ctx context.Context, a *client.Admin) (string, *pb.PolicyStatus, error) {
	packed, st, err := a.Policy(ctx)
	if err != nil || len(packed) == 0 {
		return "", st, err
	}
	text, err := policy.Unpack(packed)
	if err != nil && st.GetFault() != "" {
		return "", st, nil
	}
	return text, st, err
}
