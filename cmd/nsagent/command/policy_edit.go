package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type policyEditOptions struct {
	from   string
	none   bool
	opener openerFlags
}

func newPolicyEdit(e *env) *cobra.Command {
	var o policyEditOptions
	c := &cobra.Command{
		Use:   "edit",
		Short: "Edit the policy, see the difference in rights, and adopt it",
		Long: `Edit a copy of the draft in VISUAL or EDITOR, see how the rights change, and put
it in force with the passphrase. Where there is no draft, the copy begins with
the policy in force, or with an example. What is adopted is written to
policy.toml as well. With --from nothing is edited: the file is adopted as it
is, and policy.toml stays.`,
		Example: `  nsagent policy edit
  nsagent policy edit --from policy.toml --passphrase-file F
  nsagent policy edit --none`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runPolicyEdit(c.Context(), e, o) },
	}
	f := c.Flags()
	f.StringVar(&o.from, "from", "", "adopt `FILE` as it is; - is stdin")
	f.BoolVar(&o.none, "none", false, "take the policy away: the limits of the profiles are left")
	o.opener.register(c)
	return c
}

func runPolicyEdit(ctx context.Context, e *env, o policyEditOptions) error {
	if o.none && o.from != "" {
		return usage("--none and --from exclude each other", "one takes the policy away, the other adopts one", "give one of them")
	}
	return e.manageSecretly(ctx, func(a *client.Admin, arena *secret.Arena) error {
		old, st, err := inForce(ctx, a)
		if err != nil {
			return err
		}
		n := &newPolicyText{env: e, old: old}
		defer n.close()
		if err := n.get(ctx, o); err != nil {
			return err
		}
		if n.text == old && st.GetFault() == "" {
			if err := n.keep(); err != nil {
				return err
			}
			return e.reportAdopted(st, n.text == "", false)
		}
		if err := n.show(); err != nil {
			return err
		}
		n.noteProfiles(ctx)
		if err := n.noteCodes(ctx, a); err != nil {
			return err
		}
		packed, err := n.packed()
		if err != nil {
			return err
		}
		replaces := st.GetSha256()
		err = e.proved(arena, o.opener, func(proof client.Proof) (err error) {
			st, err = a.AdoptPolicy(ctx, proof, packed, replaces)
			return err
		})
		if err != nil {
			n.save()
			return err
		}
		if err := n.keep(); err != nil {
			return err
		}
		return e.reportAdopted(st, n.text == "", true)
	})
}

func (e *env) reportAdopted(st *pb.PolicyStatus, none, changed bool) error {
	if e.json() {
		return e.printJSON(struct {
			Schema  string `json:"schema"`
			SHA256  string `json:"sha256"`
			Rules   int32  `json:"rules"`
			Changed bool   `json:"changed"`
		}{"nsagent.policy-edit/v1", st.GetSha256(), st.GetRules(), changed})
	}
	switch {
	case !changed && none:
		e.say("no policy is in force, and none was: nothing changes")
	case !changed:
		e.say("the policy in force is the same; nothing changes")
	case none:
		e.say("no policy is in force any more")
	default:
		e.say("the policy is in force: %s", count(uint64(max(st.GetRules(), 0)), "rule")) // #nosec G115 -- not negative
	}
	return nil
}

// newPolicyText is a policy on its way to be adopted.
type newPolicyText struct {
	*env
	old string // the one in force; "": none

	policy *policy.Policy // nil: none is to be in force
	text   string         // with its files copied in
	// copy is the file that was edited; "": none was.
	copy string
}

// get reads the new policy from where the options say, or has it edited.
func (n *newPolicyText) get(ctx context.Context, o policyEditOptions) (err error) {
	switch {
	case o.none:
		return nil
	case o.from != "":
		// With the files, whose bytes are rights too: the difference shows them.
		n.policy, n.text, err = n.readWholePolicy(o.from)
		return err
	default:
		return n.edit(ctx)
	}
}

// show prints how the rights change, and which rules never decide.
func (n *newPolicyText) show() error {
	var old *policy.Policy
	if n.old != "" {
		old, _ = policy.Parse(n.old) // one that cannot be read allows nothing
	}
	for _, c := range policy.Diff(old, n.policy, knownIssuers()) {
		mark := ""
		if c.Wider {
			mark = "  (may allow more)"
		}
		n.say("%s %s%s", c.Sign, oneLine(c.Text), mark)
	}
	if n.policy == nil {
		return nil
	}
	for _, f := range n.policy.Lint(knownIssuers()) {
		if f.Rule == "" {
			n.note("%s", f.Text)
		}
		if f.Never { // the rest is for policy check
			n.noteFinding(f)
		}
	}
	for _, f := range absentPrograms(n.policy) {
		n.noteFinding(f)
	}
	return nil
}

func (n *newPolicyText) noteFinding(f policy.Finding) {
	n.note("line %d, rule %q: %s", f.Line, f.Rule, f.Text)
}

// noteProfiles says which rules are for profiles that are not there, where that can be asked.
func (n *newPolicyText) noteProfiles(ctx context.Context) {
	if n.policy == nil || !slices.ContainsFunc(n.policy.Rules, func(r policy.Rule) bool { return r.Profiles != nil }) {
		return
	}
	have, err := n.ownProfiles(ctx)
	if err != nil { // the policy is no worse for that
		return
	}
	for _, f := range absentProfiles(n.policy, have) {
		n.noteFinding(f)
	}
}

// noteCodes says which rules want a code that nobody can give as long as no authenticator
// app is set up.
func (n *newPolicyText) noteCodes(ctx context.Context, a *client.Admin) error {
	if n.policy == nil {
		return nil
	}
	for _, r := range n.policy.Rules {
		if !r.TOTP {
			continue
		}
		slots, err := a.KeySlots(ctx)
		if err == nil && slots.GetTotp() == nil {
			n.note("rule %q wants a code of the authenticator app, and none is set up: nobody can approve what it asks about; set one up:  nsagent key add totp", r.Name)
		}
		return err
	}
	return nil
}

func (n *newPolicyText) packed() ([]byte, error) {
	if n.text == "" {
		return nil, nil
	}
	b, err := policy.Pack(n.text)
	if err != nil {
		return nil, usage("the policy cannot be sent", plain(err), "")
	}
	return b, nil
}

// keep puts what was edited in the place of policy.toml, or of the file that it links to.
func (n *newPolicyText) keep() error {
	if n.copy == "" {
		return nil
	}
	p, err := n.paths()
	if err != nil {
		return err
	}
	to := p.PolicyFile
	if target, err := filepath.EvalSymlinks(to); err == nil {
		to = target
	}
	if err := os.Rename(n.copy, to); err != nil {
		n.save()
		return usage("policy.toml cannot be written", plain(err), "the policy is in force; see it:  nsagent policy show")
	}
	return nil
}

// save leaves what was edited where it is, for another try.
func (n *newPolicyText) save() {
	if n.copy == "" {
		return
	}
	n.note("what you wrote is kept; adopt it:  nsagent policy edit --from %s", n.copy)
	n.copy = ""
}

// close removes the copy that was edited.
func (n *newPolicyText) close() {
	if n.copy != "" {
		_ = os.RemoveAll(filepath.Dir(n.copy))
	}
}

// edit has the person edit a private copy, again until it is a policy or they give up.
func (n *newPolicyText) edit(ctx context.Context) error {
	p, err := n.paths()
	if err != nil {
		return err
	}
	start, err := n.start(p)
	if err != nil {
		return err
	}
	// In the directory of the draft, which nobody else may write, and in one of its own:
	// editors leave copies beside a file.
	dir := filepath.Dir(p.PolicyFile)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return usage("the policy cannot be edited", plain(err), "")
	}
	own, err := os.MkdirTemp(dir, ".policy-")
	if err != nil {
		return usage("the policy cannot be edited", plain(err), "")
	}
	n.copy = filepath.Join(own, "policy.toml")
	if err := os.WriteFile(n.copy, []byte(start), 0o600); err != nil {
		return usage("the policy cannot be edited", plain(err), "")
	}
	for {
		if err := n.runEditor(ctx, n.copy); err != nil {
			return err
		}
		if n.policy, n.text, err = n.readWholePolicy(n.copy); err == nil {
			return nil
		}
		if !n.again(err) {
			n.save()
			return err
		}
	}
}

// start returns what the copy begins with.
func (n *newPolicyText) start(p socketpath.Paths) (string, error) {
	text, err := os.ReadFile(p.PolicyFile)
	switch {
	case err == nil:
		return string(text), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", usage("policy.toml cannot be read", plain(err), "")
	case n.old != "":
		return n.old, nil
	}
	return firstPolicy, nil
}

// again asks whether a text that is no policy is to be edited once more.
func (n *newPolicyText) again(fault error) bool {
	t, err := n.terminal()
	if err != nil {
		return false
	}
	defer func() { _ = t.Close() }()
	f := failure(fault)
	answer, err := t.Line(fmt.Sprintf("%s: %s.\nEdit it again? [Y/n]: ", oneLine(f.Message), oneLine(f.Why)))
	return err == nil && (answer == "" || answer == "y" || answer == "Y" || answer == "yes")
}

// firstPolicy is what somebody without a policy begins with.
const firstPolicy = `# Who may do what with which profile: the first rule that matches decides, and what
# none matches is denied. docs/policy.md describes everything that may stand here.
version = 1

[[rule]]
name = "read everywhere"
effect = "allow"
what = ["GET /**", "HEAD /**", "suiteql"]

[[rule]]
name = "everything in sandboxes"
effect = "allow"
environment = "sandbox"
what = ["*"]
`
