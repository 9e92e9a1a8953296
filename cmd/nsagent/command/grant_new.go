package command

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/grantlimits"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type grantNewOptions struct {
	profiles []string
	limits   limitFlags
	listen   string
	opener   openerFlags
	bundle   string
}

func newGrantNew(e *env) *cobra.Command {
	var o grantNewOptions
	c := &cobra.Command{
		Use:   "new",
		Short: "Make a grant, and print its unlock token",
		Long: `Make a grant, and print its unlock token: this once, on stdout. Put it into the
secrets of the CI system as NSAGENT_TOKEN. It asks for the passphrase again, or
takes it from a file; in a vault that the keyring alone opens, a yes at the
terminal has to do.

What is not limited is as the profiles and the policy have it. Limits may be
given more than once; one of each sort has to fit. Where methods, paths, hosts
or scripts are limited, whoever shows the token can sign and send and nothing
else. In a pattern * stands for anything within a part of the path, ** at the
end for one or more parts: /x itself is another pattern than /x/**.

With --bundle the token opens that file, in the place of this vault: on a
machine that has nothing else, for 30 days where nothing is said, 90 at most.
The file is sealed, and safe to commit. The policy that is in force goes into it
and decides there as well; what it asks about is refused there. What the file
holds of a TBA profile can sign until NetSuite's own token is revoked: give each
runner one of its own. For an M2M profile a key and a certificate are made that
end with the grant.`,
		Example: `  nsagent grant new -p acme-sb1 --ttl 8h
  nsagent grant new -p acme-sb1 -p acme-prod --ttl 30d --method GET --rate 200/h
  nsagent grant new --ttl 1h --path '/services/rest/record/v1/customer/**'`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runGrantNew(c.Context(), e, o) },
	}
	c.Flags().StringArrayVarP(&o.profiles, "profile", "p", nil, "for the profile `NAME`; more than one may be given")
	c.Flags().StringVar(&o.bundle, "bundle", "", "write what the token opens to this `FILE`")
	o.limits.register(c)
	c.Flags().StringVar(&o.listen, "listen", "", "make a socket at `unix:PATH` too, on which the grant applies to all")
	o.opener.register(c)
	return c
}

func runGrantNew(ctx context.Context, e *env, o grantNewOptions) error {
	if o.bundle != "" && o.limits.ttl == 0 {
		o.limits.ttl = duration(bundleLife)
	}
	now := time.Now()
	caveats, err := o.limits.caveats(now)
	if err != nil {
		return err
	}
	if o.limits.ttl == 0 {
		return usage("it is not said how long the grant lasts", "a grant without an end is not made", "say it:  --ttl 8h")
	}
	listen, err := listenPath(o.listen)
	if err != nil {
		return err
	}
	if err := profilesFault(o.profiles); err != nil {
		return err
	}
	if len(o.profiles) == 0 {
		p, err := e.paths()
		if err != nil {
			return err
		}
		name, err := e.profileName(p)
		if err != nil {
			return err
		}
		o.profiles = []string{name} // "": the only one there is
	}
	if err := roomFault(caveats, len(o.profiles), now); err != nil {
		return err
	}
	e.noteLimits(caveats)
	if o.bundle != "" && caveats.Rate != nil {
		e.note("--rate holds within each run that serves the bundle; over all of them on a machine --uses does")
	}
	file, err := newBundleFile(o.bundle)
	if err != nil {
		return err
	}
	defer file.discard()
	return e.manageSecretly(ctx, func(a *client.Admin, arena *secret.Arena) error {
		shares, err := arena.Random(32 * len(o.profiles))
		if err != nil {
			return err
		}
		seed, err := arena.Random(ed25519.SeedSize)
		if err != nil {
			return err
		}
		next, err := publicHalf(seed)
		if err != nil {
			return err
		}
		spec := client.NewGrant{Profiles: o.profiles, Limits: grantlimits.Limits(caveats), TTL: time.Duration(o.limits.ttl), Next: next, Shares: sealer(shares), Listen: listen, Detached: file != nil}
		var r *pb.NewGrantResponse
		err = e.proved(arena, o.opener, func(proof client.Proof) (err error) {
			r, err = a.NewGrant(ctx, proof, spec)
			return err
		})
		if err != nil {
			return err
		}
		token, err := tokenOf(r, shares, seed)
		if err != nil {
			return err
		}
		defer token.Wipe()
		if file != nil {
			if err := file.finish(r.GetBundle()); err != nil {
				_, revoked := a.RevokeGrant(ctx, r.GetGrant().GetId(), false) // nobody gets its token
				return withoutBundle(r.GetGrant().GetId(), err, revoked)
			}
			e.say("nsagent: wrote %s (encrypted; safe to commit; holds these profiles and the policy alone)", o.bundle)
			e.noteSigning(r.GetGrant())
			if file.replaced != "" {
				e.noteReplaced(ctx, a, file.replaced)
			}
		}
		e.sayWhoConnects(listen)
		e.noteIdle(ctx, a, r.GetGrant(), file != nil)
		return e.printToken(r.GetGrant(), token)
	})
}

// profilesFault returns an error for names that are given as one, or twice.
func profilesFault(names []string) error {
	for i, name := range names {
		switch {
		case strings.Contains(name, ","):
			return usage(fmt.Sprintf("%.80q is not the name of a profile", name), "no name has a comma", "give the flag once for each:  -p "+strings.Join(split(names), " -p "))
		case slices.Contains(names[:i], name):
			return usage(fmt.Sprintf("profile %.80q is named twice", name), "a grant is for each of its profiles once", "give the flag once for each")
		}
	}
	return nil
}

// listenPath returns the path that --listen names; "" for none.
func listenPath(flag string) (string, error) {
	if flag == "" {
		return "", nil
	}
	path, ok := strings.CutPrefix(flag, "unix:")
	if !ok || path == "" {
		return "", usage("wrong value for --listen", "it takes unix: and a path, such as unix:$HOME/.local/state/acme/nsagent.sock", "")
	}
	path, err := filepath.Abs(path)
	if err == nil {
		err = socketpath.CheckLength(path)
	}
	switch {
	case errors.Is(err, socketpath.ErrTooLong):
		return "", &client.Error{
			Code: pb.CodeSocket, Message: "the socket cannot be made",
			Why:  fmt.Sprintf("its path has %d bytes, and %d fit into a socket address", len(path), socketpath.MaxSocketPath),
			Next: "name a shorter one:  --listen unix:PATH",
		}
	case err != nil:
		return "", &client.Error{Code: pb.CodeSocket, Message: "the socket cannot be made", Why: plain(err), Next: "name another place:  --listen unix:PATH"}
	}
	return path, nil
}

// sayWhoConnects says who gets at the socket of a grant.
func (e *env) sayWhoConnects(listen string) {
	if listen == "" {
		return
	}
	e.say("nsagent: it listens at %s while the vault is unlocked", listen)
	if fi, err := os.Stat(filepath.Dir(listen)); err == nil && fi.Mode().Perm()&0o011 != 0 {
		e.note("others get at that socket, too: its directory has mode %04o", fi.Mode().Perm())
	}
}

// publicHalf returns the public key of an Ed25519 seed.
func publicHalf(seed secret.Bytes) (public ed25519.PublicKey, err error) {
	err = seed.Use(func(p []byte) error {
		secret.Do(func() {
			key := ed25519.NewKeyFromSeed(p)
			public = append(public, key[ed25519.SeedSize:]...)
			secret.Wipe(key)
		})
		return nil
	})
	return public, err
}

// tokenOf makes the token of what the agent answered, and of what it was never told or has
// forgotten.
func tokenOf(r *pb.NewGrantResponse, shares, seed secret.Bytes) (*unlocktoken.Token, error) {
	chain, err := unlocktoken.DecodeChain(r.GetChain())
	if err != nil {
		return nil, err
	}
	if len(r.GetCredentials())*32 != shares.Len() {
		return nil, fmt.Errorf("the agent answered for %d profiles of %d", len(r.GetCredentials()), shares.Len()/32)
	}
	var all []unlocktoken.Share
	defer func() { clear(all) }()
	err = shares.Use(func(p []byte) error {
		for i, id := range r.GetCredentials() {
			if len(id) != 16 {
				return fmt.Errorf("the agent answered with a credential of %d bytes", len(id))
			}
			all = append(all, unlocktoken.Share{Credential: unlocktoken.ID(id), Key: [32]byte(p[32*i : 32*i+32])})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var token *unlocktoken.Token
	err = seed.Use(func(p []byte) error {
		token, err = unlocktoken.New(unlocktoken.IssuerHash(r.GetIssuer()), all, chain, [32]byte(p))
		return err
	})
	return token, err
}

// tokenJSON is what grant new and grant narrow print for programs. Narrowed are the blocks
// that were added to the grant's own scope; all of them have to hold.
type tokenJSON struct {
	Schema string `json:"schema"`
	ID     string `json:"id"`
	// Token is a text, and no Go string, since it is secret.
	Token     jsontext.Value `json:"token"`
	ExpiresAt string         `json:"expires_at"`
	Scope     scopeJSON      `json:"scope"`
	Narrowed  []scopeJSON    `json:"narrowed,omitempty"`
}

// printToken prints a new token as data, and says for people what it is.
func (e *env) printToken(g *pb.Grant, token *unlocktoken.Token) error {
	text := token.Text()
	defer clear(text)
	if e.json() {
		f, value := grantForm(g), quoted(text)
		defer clear(value)
		return e.printJSON(tokenJSON{Schema: "nsagent.grant-new/v1", ID: f.ID, Token: value, ExpiresAt: rfc3339(g.GetNotAfter()), Scope: *f.Scope})
	}
	e.say("nsagent: %s · %s · %s · until %s", g.GetId(), strings.Join(profilesOf(g), ", "), grantForm(g).Scope.summary(), day(g.GetNotAfter(), ""))
	if e.screen.columns > 0 {
		e.note("the token is shown this once; put it where the job finds it as NSAGENT_TOKEN")
	}
	return e.printLine(text)
}

// quoted returns the text of a token as JSON has it: none of its characters needs an escape.
// The caller wipes it.
func quoted(text []byte) jsontext.Value { return slices.Concat([]byte{'"'}, text, []byte{'"'}) }
