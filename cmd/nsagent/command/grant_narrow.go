package command

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/tokenenv"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// tokenFlags say where an unlock token comes from. No flag takes it.
type tokenFlags struct{ file string }

func (f *tokenFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.file, "token-file", "", "read the token from `FILE`, or - for stdin (else NSAGENT_TOKEN, _FILE, _FD)")
}

// read returns the token, which the caller wipes.
func (f *tokenFlags) read(e *env) (*unlocktoken.Token, error) {
	text, from, err := f.text(e)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	token, err := tokenenv.Parse(text, from)
	return token, tokenError(err)
}

// text returns the text of the token, and where it is.
func (f *tokenFlags) text(e *env) (text []byte, from string, err error) {
	source, from := e.stdin, "stdin"
	switch f.file {
	case "":
		text, err := client.AmbientToken()
		if text == nil && err == nil {
			return nil, "", usage("no unlock token is given", "NSAGENT_TOKEN, NSAGENT_TOKEN_FILE and NSAGENT_TOKEN_FD are not set", "name a file:  --token-file F, or - for stdin")
		}
		return text, "", err // it was parsed before
	case "-":
	default:
		file, err := os.Open(f.file)
		if err != nil {
			return nil, "", usage("the unlock token cannot be read", unreadable(fileOf("token-file"), err), "")
		}
		defer func() { _ = file.Close() }()
		e.noteReadable(f.file)
		source, from = file, f.file
	}
	if text, err = tokenenv.Read(source, unlocktoken.MaxText); err != nil {
		return nil, "", usage("the unlock token cannot be read", plain(err), "")
	}
	if len(bytes.TrimSpace(text)) == 0 {
		why := from + " is empty"
		if f.file == "-" {
			why = "nothing came on stdin"
		}
		return nil, "", usage("no unlock token is given", why, "name a file:  --token-file F, or - for stdin")
	}
	return text, from, nil
}

type grantNarrowOptions struct {
	from        tokenFlags
	limits      limitFlags
	credentials []string
}

func newGrantNarrow(e *env) *cobra.Command {
	var o grantNarrowOptions
	c := &cobra.Command{
		Use:   "narrow",
		Short: "Make an unlock token that can do less of one that you have",
		Long: `Print an unlock token that can do less than the one that is given. It takes no
agent and no network; what a token was limited to stays, and nothing widens it.
The grant stays one: revoking it ends both tokens.

A token names its profiles by the IDs of their credentials, which grant show
tells.`,
		Example: `  nsagent grant narrow --token-file token --ttl 15m --method GET
  nsagent grant narrow --uses 1`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runGrantNarrow(e, o) },
	}
	o.from.register(c)
	o.limits.register(c)
	c.Flags().StringArrayVar(&o.credentials, "credential", nil, "keep the credential `ID` only; more than one may be given")
	return c
}

func runGrantNarrow(e *env, o grantNarrowOptions) error {
	caveats, err := o.limits.caveats(time.Now())
	if err != nil {
		return err
	}
	if e.profile != "" {
		return usage("a token does not know the names of its profiles", "it names them by the IDs of their credentials", "keep some by --credential ID; see:  nsagent grant show --token-file F")
	}
	if len(o.credentials) == 0 && reflect.DeepEqual(caveats, unlocktoken.Caveats{}) {
		return usage("it is not said what the token is narrowed to", "one that is narrowed to nothing can do as much as before", "say it:  --ttl 15m, or --method GET")
	}
	e.noteLimits(caveats)
	token, err := o.from.read(e)
	if err != nil {
		return err
	}
	defer token.Wipe()
	if caveats.Credentials, err = o.keep(token); err != nil {
		return err
	}
	g, err := readToken(token)
	if err != nil {
		return err
	}
	if err := notEnded(g, time.Now()); err != nil {
		return err
	}
	if end := g.NotAfter(); caveats.NotAfter >= end {
		e.note("the token ends at %s already: --ttl limits nothing", day(end, ""))
	}
	if why := g.Conflict(caveats); why != "" { // which is narrower, and may be what somebody tries out
		e.note("the narrower token can do nothing: %s", why)
	}
	narrower, err := token.Narrow(caveats, caveats.Credentials, rand.Reader)
	switch {
	case errors.Is(err, unlocktoken.ErrFormat) && len(token.Chain) < unlocktoken.MaxBlocks:
		return usage("the token has no room for these limits", fmt.Sprintf("with them its chain would have more than %d bytes, the most there may be", unlocktoken.MaxChain), "give fewer or shorter ones, or narrow one from before")
	case errors.Is(err, unlocktoken.ErrFormat):
		return usage("the token cannot be narrowed any more", fmt.Sprintf("it has %d blocks, the most there may be", unlocktoken.MaxBlocks), "narrow one from before")
	case err != nil:
		return err
	}
	defer narrower.Wipe()
	return e.printNarrowed(narrower)
}

// notEnded refuses to narrow a token that has ended.
func notEnded(g *unlocktoken.Grant, now time.Time) error {
	if end := g.NotAfter(); now.Unix() > end {
		next := "have its owner make another:  nsagent grant new"
		if g.Mode == unlocktoken.Detached {
			next += " --bundle FILE"
		}
		return &client.Error{Code: pb.CodeExpired, Message: "the unlock token has expired", Why: "it ended at " + day(end, "") + ", and so would a narrower one", Next: next}
	}
	return nil
}

// keep returns the credentials to keep, which the token has; nil for all.
func (o grantNarrowOptions) keep(token *unlocktoken.Token) ([]unlocktoken.ID, error) {
	var ids []unlocktoken.ID
	for _, s := range o.credentials {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != len(unlocktoken.ID{}) {
			return nil, usage(fmt.Sprintf("%.40q is not the ID of a credential", s), "it has 32 hexadecimal digits", "see:  nsagent grant show --token-file F")
		}
		id := unlocktoken.ID(b)
		if !slices.ContainsFunc(token.Shares, func(s unlocktoken.Share) bool { return s.Credential == id }) {
			return nil, &client.Error{Code: pb.CodeNotFound, Message: "the token has no credential " + s, Why: "a narrower one has no more", Next: "see:  nsagent grant show --token-file F"}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// printNarrowed prints a narrower token.
func (e *env) printNarrowed(token *unlocktoken.Token) error {
	f, err := describeToken(token, time.Now())
	if err != nil {
		return err
	}
	text := token.Text()
	defer clear(text)
	if e.json() {
		value := quoted(text)
		defer clear(value)
		return e.printJSON(tokenJSON{Schema: "nsagent.grant-narrow/v1", ID: f.ID, Token: value, ExpiresAt: f.ExpiresAt, Scope: f.Scope, Narrowed: f.Narrowed})
	}
	e.say("nsagent: %s, narrowed · until %s", f.ID, dayOf(f.ExpiresAt))
	return e.printLine(text)
}

// tokenShowJSON is what grant show prints of a token.
type tokenShowJSON struct {
	Schema string `json:"schema"`
	ID     string `json:"id"`
	// State is active, pending or expired by the clock of this machine; whether the grant was
	// revoked no token says.
	State string `json:"state"`
	// Opens is where the token works: "bundle" or "vault".
	Opens       string      `json:"opens"`
	Vault       string      `json:"vault"`
	Mode        string      `json:"mode"`
	IssuedAt    string      `json:"issued_at"`
	ExpiresAt   string      `json:"expires_at"`
	Credentials []string    `json:"credentials"`
	Scope       scopeJSON   `json:"scope"`
	Narrowed    []scopeJSON `json:"narrowed,omitempty"`
}

// readToken returns the grant of a token, as it says it.
func readToken(token *unlocktoken.Token) (*unlocktoken.Grant, error) {
	g, err := token.Chain.Read()
	if err != nil {
		return nil, &client.Error{Code: pb.CodeGrant, Message: "the unlock token cannot be read", Why: plain(err), Next: "have its owner make another:  nsagent grant new"}
	}
	return g, nil
}

// describeToken returns what a token says, as it says it, and its state by the clock now.
func describeToken(token *unlocktoken.Token, now time.Time) (tokenShowJSON, error) {
	g, err := readToken(token)
	if err != nil {
		return tokenShowJSON{}, err
	}
	out := tokenShowJSON{
		Schema: "nsagent.unlock-token/v1", ID: unlocktoken.GrantName(g.Authority.Grant), State: "active", Opens: "vault", Vault: fmt.Sprintf("%x", g.Vault[:]), Mode: g.Mode,
		IssuedAt: rfc3339(g.IssuedAt), ExpiresAt: rfc3339(g.NotAfter()), Credentials: []string{},
	}
	if g.Mode == unlocktoken.Detached {
		out.Opens = "bundle"
	}
	switch at := now.Unix(); {
	case at > g.NotAfter():
		out.State = "expired"
	case at < g.NotBefore():
		out.State = "pending"
	}
	for _, s := range token.Shares {
		out.Credentials = append(out.Credentials, fmt.Sprintf("%x", s.Credential[:]))
	}
	for i, c := range g.Blocks() {
		if i == 0 {
			out.Scope = scopeForm(c)
		} else {
			out.Narrowed = append(out.Narrowed, scopeForm(c))
		}
	}
	return out, nil
}

func runTokenShow(e *env, from tokenFlags) error {
	token, err := from.read(e)
	if err != nil {
		return err
	}
	defer token.Wipe()
	f, err := describeToken(token, time.Now())
	if err != nil {
		return err
	}
	if e.json() {
		return e.printJSON(f)
	}
	state, opens := f.State, "profiles of the vault that made it, at its agent"
	if state != "expired" {
		state += ", unless it was revoked"
	}
	if f.Mode == unlocktoken.Detached {
		opens = "the bundle that was written with it:  nsagent exec --bundle FILE -- PROGRAM"
	}
	rows := [][2]string{{"grant", f.ID}, {"state", state}, {"opens", opens}, {"vault", f.Vault}, {"made", dayOf(f.IssuedAt)}, {"ends", dayOf(f.ExpiresAt)}, {"credentials", strings.Join(f.Credentials, " ")}}
	rows = append(rows, f.Scope.rows()...)
	for i, s := range f.Narrowed {
		rows = append(rows, [2]string{fmt.Sprintf("narrowed %d", i+1), "to what follows, in addition"}, [2]string{"ends", dayOf(s.NotAfter)}, [2]string{"credentials", strings.Join(s.Credentials, " ")})
		rows = append(rows, s.rows()...)
	}
	return e.sheet(filled(rows))
}
