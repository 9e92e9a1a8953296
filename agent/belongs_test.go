package agent

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	"github.com/nsagent/nsagent/vault/bundle"
)

// Each part by which a bundle and a token belong together is looked at before anything of
// the bundle is opened, whatever the keys would say.
func TestBundleBelongs(t *testing.T) {
	const day = int64(24 * time.Hour / time.Second)
	for name, c := range map[string]struct {
		change func(*bundle.Bundle)
		grant  func(*unlocktoken.Authority)
		ok     bool
	}{
		"whole":                 {nil, nil, true},
		"for 90 days":           {nil, func(a *unlocktoken.Authority) { a.Caveats.NotAfter = a.IssuedAt + 90*day }, true},
		"for longer":            {nil, func(a *unlocktoken.Authority) { a.Caveats.NotAfter = a.IssuedAt + 90*day + 1 }, false},
		"for 584 years":         {nil, func(a *unlocktoken.Authority) { a.Caveats.NotAfter = a.IssuedAt + 18_446_744_074 }, false}, // as nanoseconds in 64 bits, 0.29 s
		"for ever":              {nil, func(a *unlocktoken.Authority) { a.Caveats.NotAfter = math.MaxInt64 }, false},
		"of the agent":          {nil, func(a *unlocktoken.Authority) { a.Mode = unlocktoken.Attached }, false},
		"another vault":         {func(b *bundle.Bundle) { b.Vault[15]++ }, nil, false},
		"another grant":         {func(b *bundle.Bundle) { b.Grant[15]++ }, nil, false},
		"the grant, said again": {func(b *bundle.Bundle) { b.Authority[31]++ }, nil, false},
	} {
		b := &bundle.Bundle{Head: bundle.Head{Vault: [16]byte{1}, Grant: [16]byte{2}, Authority: [32]byte{3}}}
		g := &unlocktoken.Grant{AuthorityHash: b.Authority, Authority: unlocktoken.Authority{
			Vault: b.Vault, Grant: b.Grant, Mode: unlocktoken.Detached, IssuedAt: 1, Caveats: unlocktoken.Caveats{NotAfter: 2},
		}}
		if c.change != nil {
			c.change(b)
		}
		if c.grant != nil {
			c.grant(&g.Authority)
		}
		if err := belongs(b, g); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrGrant) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
