package agent

import (
	"context"
	"crypto/ed25519"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault/keyring"
)

// TestMadeUpTokensAskNoKeyring: whoever reaches the socket of a locked agent has it start
// no keyring helper by tokens that it did not make, of a grant that is there included.
func TestMadeUpTokensAskNoKeyring(t *testing.T) {
	var helpers atomic.Int64
	f, good := lockedWith(t, unlocktoken.Caveats{}, func(c *Config) {
		c.Keyring = func(context.Context) (*net.UnixConn, error) { helpers.Add(1); return nil, keyring.ErrNoService }
	})
	said, err := good.Chain.Read()
	if err != nil {
		t.Fatal(err)
	}
	seed := [32]byte{1}
	key := ed25519.NewKeyFromSeed(seed[:])
	p := f.present()
	for what, grant := range map[string]unlocktoken.ID{"no such grant": {9}, "a grant that is there": said.Authority.Grant} {
		a := unlocktoken.Authority{Vault: said.Vault, Grant: grant, Mode: unlocktoken.Attached, IssuedAt: time.Now().Unix(), Caveats: said.Caveats}
		chain, err := unlocktoken.NewChain(a, ed25519.PublicKey(key[32:]), func(m []byte) ([]byte, error) { return ed25519.Sign(key, m), nil })
		if err != nil {
			t.Fatal(err)
		}
		token, err := unlocktoken.New([32]byte{}, good.Shares, chain, seed)
		if err != nil {
			t.Fatal(err)
		}
		before := helpers.Load()
		for range 5 {
			if got := p.redeem(p.request(token)); got != string(pb.CodeGrant) {
				t.Errorf("%s: got %s", what, got)
			}
		}
		if n := helpers.Load() - before; n != 0 {
			t.Errorf("%s: %d helpers", what, n)
		}
	}
	before := helpers.Load()
	f.show(good)
	if helpers.Load() == before {
		t.Error("a token of the vault asks no keyring, so that this test tells nothing")
	}
}

// TestOneFirstLookAtATime: a token that is shown to a locked agent waits while another one
// is looked at, and gives up with its call.
func TestOneFirstLookAtATime(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	f.agent.looking <- struct{}{}
	p := f.present()
	q := p.request(token)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.rpc.Redeem(ctx, q); err == nil {
		t.Error("it did not wait")
	}
	<-f.agent.looking
	f.show(token)
}
