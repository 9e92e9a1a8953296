package command

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// maxProfile bounds the JSON of a profile, in bytes.
const maxProfile = 16 << 10

func newProfileAdd(e *env) *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Store a credential under a name",
		Long: `Store a credential under a name. Without --from it asks, and shows no secret.

--from reads one JSON object, such as
  {"account":"1234567_SB1","auth":"tba","consumer_key":"…","consumer_secret":"…",
   "token_id":"…","token_secret":"…","access":"write"}
or, for machine to machine,
  {"account":"1234567","auth":"m2m","client_id":"…","certificate":"-----BEGIN…",
   "private_key":"-----BEGIN…","scopes":["rest_webservices"]}`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runProfileAdd(c, e, args[0], from) },
	}
	c.Flags().StringVar(&from, "from", "", "file with the JSON, or - for stdin")
	return c
}

// draft is a profile on its way in: what is public, and the secrets.
type draft struct {
	profile *pb.Profile
	caFile  string
	secrets map[string]secret.Bytes
}

func (d *draft) destroy() {
	for _, b := range d.secrets {
		b.Destroy()
	}
}

func runProfileAdd(c *cobra.Command, e *env, name, from string) error {
	arena, err := newArena()
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	var d *draft
	if from != "" {
		d, err = e.readDraft(arena, from)
	} else {
		d, err = e.askDraft(arena)
	}
	if err != nil {
		return err
	}
	defer d.destroy()
	d.profile.Name = name
	if d.caFile != "" {
		ca, err := readSmall(d.caFile)
		if err != nil {
			return usage("ca_file cannot be read", err.Error(), "")
		}
		d.profile.Ca = string(ca)
	}
	if err := e.askAccess(d.profile); err != nil {
		return err
	}
	a, err := e.dialAdmin(c.Context())
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	sealers := make(map[string]client.Sealer, len(d.secrets))
	for field, b := range d.secrets {
		sealers[field] = sealer(b)
	}
	p, err := a.AddProfile(c.Context(), d.profile, sealers)
	if err != nil {
		return err
	}
	if e.json() {
		return e.printJSON(p.JSON())
	}
	e.say("stored %s: account %s (%s), %s, access %s", p.GetName(), p.GetAccount(), strings.ToUpper(p.GetEnvironment()), p.GetAuth(), p.GetAccess())
	if from != "" && from != "-" {
		e.say("nsagent: note: %s still holds the secrets in clear; delete it", from)
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
			return nil, usage("the profile cannot be read", err.Error(), "")
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	text, err := arena.ReadAll(r, maxProfile)
	if err != nil {
		return nil, usage("the profile cannot be read", err.Error(), "")
	}
	defer text.Destroy()
	return parseDraft(arena, text)
}

// askDraft asks for a profile at the terminal.
func (e *env) askDraft(arena *secret.Arena) (*draft, error) {
	t, err := e.terminal()
	if err != nil {
		return nil, usage("there is no terminal to ask on", "", "give the profile as JSON:  --from FILE, or --from - for stdin")
	}
	defer func() { _ = t.Close() }()
	d := &draft{profile: &pb.Profile{}, secrets: make(map[string]secret.Bytes)}
	ask := func(to *string, prompt string) {
		if err == nil {
			*to, err = t.Line(prompt)
		}
	}
	hide := func(field, prompt string) {
		if err == nil {
			d.secrets[field], err = t.Secret(arena, prompt, maxPassphrase)
		}
	}
	ask(&d.profile.Account, "Account ID (such as 1234567_SB1): ")
	ask(&d.profile.Auth, "Kind of credential, tba or m2m [tba]: ")
	if d.profile.Auth == "" {
		d.profile.Auth = "tba"
	}
	if d.profile.Auth == "tba" {
		ask(&d.profile.ConsumerKey, "Consumer key: ")
		hide("consumer_secret", "Consumer secret (not shown): ")
		ask(&d.profile.TokenId, "Token ID: ")
		hide("token_secret", "Token secret (not shown): ")
	} else {
		var certificate, key, scopes string
		ask(&d.profile.ClientId, "Client ID: ")
		ask(&certificate, "File with the certificate (PEM): ")
		ask(&key, "File with the private key (PEM): ")
		ask(&scopes, "Scopes, separated by blanks [rest_webservices restlets]: ")
		if err == nil {
			err = d.readFiles(arena, certificate, key)
		}
		d.profile.Scopes = strings.Fields(scopes)
		if len(d.profile.Scopes) == 0 {
			d.profile.Scopes = []string{"rest_webservices", "restlets"}
		}
	}
	if err != nil {
		d.destroy()
		return nil, err
	}
	return d, nil
}

// readFiles reads an M2M certificate and, into the arena, its key.
func (d *draft) readFiles(arena *secret.Arena, certificate, key string) error {
	pem, err := readSmall(certificate)
	if err != nil {
		return usage("the certificate cannot be read", err.Error(), "")
	}
	d.profile.Certificate = string(pem)
	f, err := os.Open(key) // #nosec G304 -- the user names it
	if err != nil {
		return usage("the private key cannot be read", err.Error(), "")
	}
	defer func() { _ = f.Close() }()
	if d.secrets["private_key"], err = arena.ReadAll(f, maxProfile); err != nil {
		return usage("the private key cannot be read", err.Error(), "")
	}
	return nil
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
	b, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err == nil && len(b) > maxProfile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxProfile)
	}
	return b, err
}
