package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// maxProfile bounds the JSON of a profile, in bytes: a value of 1,000,000 characters,
// each of them escaped, and the rest. maxSmall bounds files that are part of one.
const (
	maxProfile = 6_000_000 + 16<<10
	maxSmall   = 16 << 10
)

func newProfileAdd(e *env) *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Store a credential under a name",
		Long: `Store a credential under a name. Without --from it asks, and shows no secret.

--from reads one JSON object, such as
  {"account":"1234567_SB1","auth":"tba","consumer_key":"…",
   "consumer_secret":"…","token_id":"…","token_secret":"…","access":"write"}
or, for machine to machine,
  {"account":"1234567","auth":"m2m","client_id":"…","certificate":"-----BEGIN…",
   "private_key":"-----BEGIN…","scopes":["rest_webservices"]}
or, for an API secret of up to 1,000,000 characters,
  {"account":"1234567","auth":"secret","value":"…","hosts":["sftp.example.com"],
   "header":"Authorization","expires":"2027-03-01"}
Also known are owner, note, certificate_id (in place of certificate), alg,
endpoint (an origin to use in place of NetSuite's) and ca_file.

access is read or write. Left out, it is write for sandboxes; for production it
is asked at a terminal, and read without one.`,
		Example: `  nsagent profile add acme-sb1
  nsagent profile add acme-sb1 --from acme-sb1.json
  secret-tool lookup netsuite sb1 | nsagent profile add acme-sb1 --from -`,
		Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error { return runProfileAdd(c, e, args[0], from) },
	}
	c.Flags().StringVar(&from, "from", "", "read the JSON from `FILE`, or - for stdin")
	return c
}

func runProfileAdd(c *cobra.Command, e *env, name, from string) error {
	if err := checkName(name); err != nil {
		return err
	}
	arena, err := arenaFor(from)
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	var d *draft
	var a *client.Admin
	if from != "" {
		if d, err = e.readDraft(arena, from); err == nil {
			defer d.destroy()
			a, err = e.dialAdmin(c.Context())
		}
	} else {
		// Nobody types a credential for an agent that cannot take it.
		if a, err = e.dialForAdd(c, name); err == nil {
			if d, err = e.askDraft(arena); err == nil {
				defer d.destroy()
			}
		}
	}
	if a != nil {
		defer func() { _ = a.Close() }()
	}
	if err != nil {
		return err
	}
	d.profile.Name = name
	if err := d.complete(e); err != nil {
		return err
	}
	p, err := d.add(c.Context(), a)
	if err != nil {
		return err
	}
	defer e.warnOfFile(from)
	if e.json() {
		return e.printJSON(p.JSON())
	}
	e.say("stored %s: account %s (%s), %s, access %s", p.GetName(), p.GetAccount(), strings.ToUpper(p.GetEnvironment()), p.GetAuth(), p.GetAccess())
	return nil
}

// add stores the profile.
func (d *draft) add(ctx context.Context, a *client.Admin) (*pb.Profile, error) {
	if long := d.longValue(); long != nil {
		return a.AddSecret(ctx, d.profile, *long)
	}
	sealers := make(map[string]client.Sealer, len(d.secrets))
	for field, b := range d.secrets {
		sealers[field] = sealer(b)
	}
	return a.AddProfile(ctx, d.profile, sealers)
}

// warnOfFile says of a file that secrets came from that it still holds them.
func (e *env) warnOfFile(from string) {
	if fi, err := os.Stat(from); err == nil && from != "-" && fi.Mode().IsRegular() {
		e.note("%s still holds the secrets in clear; delete it", from)
	}
}

// checkName refuses what cannot be the name of a profile, before anything is asked
// for it. The agent checks again.
func checkName(name string) error {
	const first = "abcdefghijklmnopqrstuvwxyz0123456789"
	if name == "" || len(name) > 63 || !strings.ContainsRune(first, rune(name[0])) || strings.Trim(name, first+"._-") != "" || strings.Contains(name, "..") {
		return &client.Error{
			Code: pb.CodeRequest, Message: fmt.Sprintf("%.80q is not a name for a profile", name),
			Why: "a name has 1 to 63 of a-z, 0-9, dot, hyphen and underscore, and begins with a letter or digit",
		}
	}
	return nil
}

// dialForAdd connects to the agent, and refuses where it could not store a profile
// of that name.
func (e *env) dialForAdd(c *cobra.Command, name string) (*client.Admin, error) {
	t, err := e.terminal()
	if err != nil {
		return nil, usage("there is no terminal to ask on", "", "give the profile as JSON:  --from FILE, or --from - for stdin")
	}
	_ = t.Close()
	a, err := e.dialAdmin(c.Context())
	if err != nil {
		return nil, err
	}
	switch _, err := a.ShowProfile(c.Context(), name); {
	case err == nil:
		return a, &client.Error{
			Code: pb.CodeExists, Message: fmt.Sprintf("profile %q exists already", name), Why: "a profile is never replaced by adding it again",
			Next: "remove it first:  nsagent profile rm " + name,
		}
	case !errors.Is(err, client.ErrNoProfile):
		return a, err
	}
	return a, nil
}

// readDraft reads the JSON of a profile from a file or stdin, straight into the
// arena.
func (e *env) readDraft(arena *secret.Arena, from string) (*draft, error) {
	r := e.stdin
	if from != "-" {
		f, err := os.Open(from) // #nosec G304 -- the user names it
		if err != nil {
			return nil, usage("the profile cannot be read", err.Error(), "")
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	text, err := arena.ReadAll(r, maxProfile)
	if err != nil {
		why := readFault(err)
		if errors.Is(err, secret.ErrTooLong) {
			why = fmt.Sprintf("it has more than %d bytes; is that the right file?", maxProfile)
		}
		if errors.Is(err, secret.ErrFull) {
			return nil, &client.Error{
				Code: pb.CodeMemory, Message: "there is too little lockable memory for so long a profile",
				Why: "a secret is read into memory that never reaches the disk, and RLIMIT_MEMLOCK says how much there is", Next: "raise it (ulimit -l), and give the profile as a file",
			}
		}
		return nil, usage("the profile cannot be read", why, "")
	}
	defer text.Destroy()
	return parseDraft(arena, text)
}

// askAccess asks whether a production profile may write, where somebody can
// answer. Without an answer the agent decides, and decides for reading only.
func (e *env) askAccess(p *pb.Profile) error {
	if p.GetAccess() != "" || p.GetEnvironment() == "sandbox" || sandboxAccount(p.GetAccount()) {
		return nil
	}
	t, err := e.terminal()
	if err != nil {
		return nil
	}
	defer func() { _ = t.Close() }()
	answer, err := t.Line("This is PRODUCTION. May the profile write? [y/N]: ")
	if err != nil {
		return err
	}
	p.Access = "read"
	if a := strings.ToLower(answer); a == "y" || a == "yes" {
		p.Access = "write"
	}
	return nil
}

// sandboxAccount tells an account ID that carries a suffix, as sandboxes and
// release previews do. It only decides whether to ask; the agent knows better.
func sandboxAccount(id string) bool { return strings.ContainsAny(id, "_-") }

// readSmall reads a file that has no business being large.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 -- the user names it
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err == nil && len(b) > maxSmall {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxSmall)
	}
	return b, err
}
