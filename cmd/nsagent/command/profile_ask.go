package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// askDraft asks for a profile at the terminal.
func (e *env) askDraft(arena *secret.Arena) (*draft, error) {
	t, err := e.terminal()
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Close() }()
	q := &questions{t: t, arena: arena, draft: newDraft()}
	p := q.draft.profile
	q.line(&p.Account, "Account ID (such as 1234567_SB1): ")
	q.or(&p.Auth, "Kind of credential, tba, m2m, authcode or secret", "tba")
	if q.err == nil {
		_, q.err = q.draft.wanted()
	}
	switch p.Auth {
	case "tba":
		q.consumer()
		q.line(&p.TokenId, "Token ID: ")
		q.hidden("token_secret", "Token secret (not shown): ")
	case "authcode":
		q.client()
		q.or(&p.RedirectUri, "Redirect URI, as on the integration record", defaultRedirect)
		q.scopes()
	case "secret":
		var hosts string
		q.line(&hosts, "Hosts that it may go to, separated by blanks: ")
		q.line(&p.Header, "HTTP header that takes it (empty: none): ")
		p.Hosts = strings.Fields(hosts)
		q.hidden("value", "Value (not shown; a longer one than fits on a line comes by --from): ")
	default:
		var certificate, key string
		q.line(&p.ClientId, "Client ID: ")
		q.line(&certificate, "File with the certificate (PEM): ")
		q.line(&key, "File with the private key (PEM): ")
		q.scopes()
		if q.err == nil {
			q.err = q.draft.readFiles(arena, certificate, key)
		}
	}
	return q.answered()
}

// askEdit asks for the parts of a profile at the terminal.
func (e *env) askEdit(arena *secret.Arena, old *pb.Profile) (*draft, error) {
	t, err := e.terminal()
	if err != nil {
		return nil, e.cannotAsk("ask", "give the changes as JSON:  --from FILE, or --from - for stdin")
	}
	defer func() { _ = t.Close() }()
	d := newDraft()
	p := d.profile
	ask := func(key, label string, to *string, was string) {
		if err != nil {
			return
		}
		prompt := label + ": "
		if was != "" {
			prompt = fmt.Sprintf("%s [%s]: ", label, oneLine(was))
		}
		if *to, err = t.Line(prompt); err == nil && *to != "" && *to != was {
			d.given = append(d.given, key)
		}
	}
	hide := func(key, prompt string) {
		if err != nil {
			return
		}
		var b secret.Bytes
		if b, err = t.Secret(arena, prompt, maxPassphrase); err == nil && b.Len() > 0 {
			d.secrets[key] = b
			d.given = append(d.given, key)
		}
	}
	e.say("an empty answer keeps what there is")
	ask("access", "Access, read or write", &p.Access, old.GetAccess())
	ask("owner", "Owner", &p.Owner, old.GetOwner())
	ask("note", "Note", &p.Note, old.GetNote())
	switch old.GetAuth() {
	case "tba":
		ask("consumer_key", "Consumer key", &p.ConsumerKey, old.GetConsumerKey())
		hide("consumer_secret", "New consumer secret (not shown): ")
		ask("token_id", "Token ID", &p.TokenId, old.GetTokenId())
		hide("token_secret", "New token secret (not shown): ")
	case "authcode":
		ask("redirect_uri", "Redirect URI", &p.RedirectUri, old.GetRedirectUri())
		hide("client_secret", "New client secret (not shown): ")
	case "secret":
		hide("value", "New value (not shown; a longer one than fits on a line comes by --from): ")
	default:
		var certificate, key string
		ask("", "File with the new certificate (PEM)", &certificate, "")
		ask("", "File with the new private key (PEM)", &key, "")
		d.given = slices.DeleteFunc(d.given, func(k string) bool { return k == "" })
		if err == nil {
			err = d.readFiles(arena, certificate, key)
		}
	}
	if err != nil {
		d.destroy()
		return nil, err
	}
	return d, nil
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
	writes, err := yesOrNo(t, "This is PRODUCTION. May the profile write? [y/N]: ", false)
	if err != nil {
		return err
	}
	p.Access = "read"
	if writes {
		p.Access = "write"
	}
	return nil
}

// sandboxAccount tells an account ID that carries a suffix, as sandboxes and
// release previews do. It only decides whether to ask; the agent knows better.
func sandboxAccount(id string) bool { return strings.ContainsAny(id, "_-") }
