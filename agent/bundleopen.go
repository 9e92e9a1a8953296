package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/nsagent/nsagent/internal/grantkey"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/bundle"
	"github.com/nsagent/nsagent/vault/store"
)

// maxDetached is the longest that a token may open a bundle: nobody but NetSuite can take
// it back sooner.
const maxDetached = 90 * day

// MaxBundle is the most bytes of the text of a bundle, MaxUnlockToken those of its token.
const (
	MaxBundle      = bundle.MaxText
	MaxUnlockToken = unlocktoken.MaxText
)

// BundleConfig is a bundle that an agent serves, in the place of a vault.
type BundleConfig struct {
	// Text is the file.
	Text []byte
	// Token reads the text of the unlock token that opens it.
	Token func(*secret.Arena) (secret.Bytes, error)
	// IDToken reads the ID token of the job; nil means that it has none.
	IDToken func(*secret.Arena) (secret.Bytes, error)
}

// shownToken is an unlock token, taken apart. Its shares are secret.
type shownToken struct {
	issuer [32]byte
	chain  unlocktoken.Chain
	proof  []byte
	shares secret.Bytes
}

// openBundle opens the bundle of the configuration with its token, and moves what is kept
// on disk to a directory of the grant's own. Nothing of a vault is looked at from then on.
func (a *Agent) openBundle(ctx context.Context) error {
	cfg := a.cfg.Bundle
	text, err := cfg.Token(a.arena)
	if err != nil {
		return unread(err, "the unlock token was not taken", "give the token as  nsagent grant new  printed it")
	}
	defer text.Destroy()
	defer a.arena.ReleaseMemory()
	challenge := make([]byte, 32)
	_, _ = rand.Read(challenge) // never fails, crypto/rand says
	t, err := a.takeApart(text, challenge)
	if err != nil {
		return badTokenText(err)
	}
	defer t.shares.Destroy()
	b, err := bundle.Parse(cfg.Text, t.issuer)
	if err != nil {
		return badBundle(err)
	}
	g, err := t.chain.Verify(b.Issuer[:], challenge, t.proof)
	if err != nil {
		return badToken(err)
	}
	if err := belongs(b, g); err != nil {
		return err
	}
	if err := a.readNotice(b.Public); err != nil {
		return badBundle(err)
	}
	if err := a.moveInto(g); err != nil {
		return err
	}
	served := a.newGranted(g, b.Issuer)
	if err := a.admitBundle(ctx, served); err != nil {
		return err
	}
	if served.own, err = a.openBundled(b, served, t); err != nil {
		return err
	}
	a.bundled = &bundled{granted: served, shares: shareDigests(t.shares)}
	if cfg.IDToken != nil {
		if a.bundled.idToken, err = cfg.IDToken(a.arena); err != nil {
			return unread(err, "the ID token of the job was not taken", "see how to get one:  nsagent help ci")
		}
	}
	return nil
}

// unread is the refusal of a token that is longer than one can be, of which err says so;
// other errors are returned as they are.
func unread(err error, message, next string) error {
	if errors.Is(err, secret.ErrTooLong) {
		return refuse(errors.Join(ErrGrant, err), pb.CodeGrant, message, "it is too long", next)
	}
	return err
}

// badTokenText says what is wrong with the text of a token, never what is in it.
func badTokenText(err error) error {
	if errors.Is(err, unlocktoken.ErrEmpty) {
		return refuse(errors.Join(ErrGrant, err), pb.CodeLocked, "the unlock token is empty", "nothing was in the file, or came by the descriptor, that was to have it", "give it as a secret of the job:  nsagent help ci")
	}
	if _, why, known := strings.Cut(err.Error(), unlocktoken.ErrFormat.Error()+": "); known {
		return refuse(errors.Join(ErrGrant, err), pb.CodeGrant, "the unlock token was not taken", why, "give the token as  nsagent grant new  printed it")
	}
	return badToken(err)
}

// takeApart reads the text of a token and proves, for a challenge, that it is whole. What
// the parser leaves on the heap is erased.
func (a *Agent) takeApart(text secret.Bytes, challenge []byte) (t shownToken, err error) {
	err = text.Use(func(p []byte) error {
		var err error
		secret.Do(func() {
			var token *unlocktoken.Token
			if token, err = unlocktoken.ParseLine(p); err != nil {
				return
			}
			defer token.Wipe()
			t.issuer, t.chain, t.proof = token.Issuer, token.Chain, token.Prove(challenge)
			t.shares, err = a.compose(len(token.Shares)*shareSize, func(p []byte) ([]byte, error) {
				for _, s := range token.Shares {
					p = append(append(p, s.Credential[:]...), s.Key[:]...)
				}
				return p, nil
			})
		})
		return err
	})
	return t, err
}

// belongs refuses a bundle that is not the grant's, and a grant that is not for bundles.
func belongs(b *bundle.Bundle, g *unlocktoken.Grant) error {
	bad := func(why, next string) error {
		return refuse(ErrGrant, pb.CodeGrant, "the unlock token does not open this bundle", why, next)
	}
	switch {
	case g.Mode != unlocktoken.Detached:
		return bad("it is for the agent that has the vault", "use a token that came with a bundle:  nsagent grant new --bundle F")
	case b.Vault != g.Vault || b.Grant != g.Authority.Grant || b.Authority != g.AuthorityHash:
		return bad("it is of another grant of the same vault", "give the bundle that was written with this token")
	case g.NotAfter()-g.IssuedAt > int64(maxDetached/time.Second): // neither is negative
		return bad("it is good for more than 90 days, which no bundle is", "have its owner make another:  nsagent grant new --bundle F")
	}
	return nil
}

// badBundle says what is wrong with a bundle, never what is in it.
func badBundle(err error) error {
	why, next := "it is damaged: not a bundle as nsagent wrote it", "take the file from the repository again"
	switch {
	case errors.Is(err, bundle.ErrEmpty):
		why, next = "there is nothing in the file", "take it from the repository, or have its owner write it anew"
	case errors.Is(err, bundle.ErrPointer):
		why, next = "the file is a pointer of Git LFS, which has not fetched it", "fetch it:  git lfs pull"
	case errors.Is(err, bundle.ErrNewer):
		why, next = "it was written by a newer nsagent", "install that version"
	case errors.Is(err, bundle.ErrIssuer):
		why, next = "the unlock token is of another vault", "give the token that came with this bundle"
	case errors.Is(err, bundle.ErrSignature):
		why = "it was changed since it was written"
	}
	return refuse(errors.Join(ErrGrant, err), pb.CodeGrant, "the bundle was not opened", why, next)
}

// moveInto gives the grant a directory of its own for its log and its ledger.
func (a *Agent) moveInto(g *unlocktoken.Grant) error {
	dir := filepath.Join(a.cfg.Paths.StateDir, "bundles", unlocktoken.GrantName(g.Authority.Grant))
	a.cfg.Paths.AuditDir, a.cfg.Paths.Ledger, a.cfg.Paths.Vault = filepath.Join(dir, "audit"), filepath.Join(dir, "grant.nsl"), ""
	if err := socketpath.EnsureDir(dir); err != nil {
		return fmt.Errorf("preparing %s: %w", dir, err)
	}
	return nil
}

// openBundled opens what the shares of a token open of a bundle.
func (a *Agent) openBundled(b *bundle.Bundle, g *granted, t shownToken) (*session, error) {
	s := &session{of: g, profiles: make(map[string]*live)}
	for _, credential := range g.Authority.Caveats.Credentials {
		share, err := a.shareOf(t.shares, credential)
		if !share.IsZero() && g.Covers(credential) && b.Has(credential) {
			err = a.addBundled(s, b, credential, share, t.issuer)
		}
		share.Destroy()
		if err != nil {
			s.destroy()
			return nil, err
		}
	}
	if len(s.profiles) == 0 {
		return nil, refuse(ErrGrant, pb.CodeGrant, "the unlock token opens nothing of this bundle", "it was narrowed to profiles that the bundle does not hold, or to none", "give the token as it was printed")
	}
	return s, nil
}

// addBundled opens one credential with its share.
func (a *Agent) addBundled(s *session, b *bundle.Bundle, credential unlocktoken.ID, share secret.Bytes, issuer [32]byte) error {
	key, err := grantkey.Derive(a.arena, nil, s.of.Grant, issuer, credential, share)
	if err != nil { // no key would open nothing
		return err
	}
	defer key.Destroy()
	o, err := b.Open(a.arena, credential, key)
	if errors.Is(err, bundle.ErrOpen) {
		return refuse(errors.Join(ErrGrant, err), pb.CodeGrant, "the unlock token does not open this bundle", "a key share of it was changed", "give the token as it was printed")
	}
	if err != nil {
		return err
	}
	meta, r, err := a.codec.decodeBundled(o.Meta)
	if err != nil {
		o.SignOnly.Destroy()
		return badBundle(err)
	}
	s.rules.Store(r) // the same with each profile
	return a.addOwn(s, vault.Opened{Record: vault.Record{ID: store.ID(credential), Name: o.Name, Kind: o.Kind, Meta: meta, Version: 1}, SignOnly: o.SignOnly})
}
