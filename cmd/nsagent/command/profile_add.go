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
or, for OAuth 2.0 with a login in the browser (client_secret unless public),
  {"account":"1234567","auth":"authcode","client_id":"…","client_secret":"…",
   "scopes":["restlets"],"redirect_uri":"https://127.0.0.1:8443/callback"}
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
		RunE: func(c *cobra.Command, args []string) error { return runProfileAdd(c.Context(), e, args[0], from) },
	}
	c.Flags().StringVar(&from, "from", "", "read the JSON from `FILE`, or - for stdin")
	return c
}

func runProfileAdd(ctx context.Context, e *env, name, from string) error {
	if err := checkName(name); err != nil {
		return err
	}
	arena, err := arenaFor(from)
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	if from == "" {
		return e.addAsked(ctx, arena, name)
	}
	d, err := e.readDraft(arena, from)
	if err != nil {
		return err
	}
	defer d.destroy()
	if err := e.manage(ctx, func(a *client.Admin) error { return e.store(ctx, a, name, d) }); err != nil {
		return err
	}
	e.warnOfFile(from)
	return nil
}

// addAsked asks for the profile, once it is known that the agent could store one of that
// name: nobody types a credential in vain.
func (e *env) addAsked(ctx context.Context, arena *secret.Arena, name string) error {
	t, err := e.terminal()
	if err != nil {
		return e.cannotAsk("ask", "give the profile as JSON:  --from FILE, or --from - for stdin")
	}
	_ = t.Close()
	return e.manage(ctx, func(a *client.Admin) error {
		switch _, err := a.ShowProfile(ctx, name); {
		case err == nil:
			return &client.Error{
				Code: pb.CodeExists, Message: fmt.Sprintf("profile %q exists already", name), Why: "a profile is never replaced by adding it again",
				Next: "change it:  nsagent profile edit " + name,
			}
		case !errors.Is(err, client.ErrNoProfile):
			return err
		}
		d, err := e.askDraft(arena)
		if err != nil {
			return err
		}
		defer d.destroy()
		return e.store(ctx, a, name, d)
	})
}

// store has the agent store a profile under a name, and says so.
func (e *env) store(ctx context.Context, a *client.Admin, name string, d *draft) error {
	d.profile.Name = name
	if err := d.complete(e); err != nil {
		return err
	}
	p, err := d.add(ctx, a)
	if err != nil {
		return err
	}
	if e.json() {
		return e.printJSON(p.JSON())
	}
	e.say("stored %s: %s", p.GetName(), summary(p))
	return nil
}

// summary says in a line what a profile is for.
func summary(p *pb.Profile) string {
	return fmt.Sprintf("account %s (%s), %s, access %s", p.GetAccount(), strings.ToUpper(p.GetEnvironment()), p.GetAuth(), p.GetAccess())
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
			Why:  "a name has 1 to 63 of a-z, 0-9, dot, hyphen and underscore, and begins with a letter or digit",
			Next: "such as:  nsagent profile add acme-sb1",
		}
	}
	return nil
}

// readDraft reads the JSON of a profile from a file or stdin, straight into the
// arena.
func (e *env) readDraft(arena *secret.Arena, from string) (*draft, error) {
	r := e.stdin
	if from != "-" {
		f, err := os.Open(from) // #nosec G304 -- the user names it
		if err != nil {
			return nil, usage("the profile cannot be read", unreadable(fileOf("from"), err), "")
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
