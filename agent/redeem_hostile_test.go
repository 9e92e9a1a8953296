package agent

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// presentation shows tokens with no code of the client's in between.
type presentation struct {
	t    testing.TB
	conn grpc.ClientConnInterface
	rpc  pb.SignerClient
}

// presentOver shows tokens on a connection.
func presentOver(t testing.TB, c grpc.ClientConnInterface) *presentation {
	return &presentation{t, c, pb.NewSignerClient(c)}
}

func (f *fixture) present() *presentation { return f.presentAt(f.paths.Agent) }

// presentAt is present on another socket.
func (f *fixture) presentAt(path string) *presentation { return presentOver(f.t, rawGRPC(f.t, path)) }

// request makes a Redeem of a token with a fresh seal key.
func (p *presentation) request(token *unlocktoken.Token) *pb.RedeemRequest {
	p.t.Helper()
	return p.requestWith(token, shareBytes(token), pb.Signer_Redeem_FullMethodName)
}

// requestWith is request with these shares, sealed for that method.
func (p *presentation) requestWith(token *unlocktoken.Token, shares []byte, method string) *pb.RedeemRequest {
	p.t.Helper()
	keys, err := p.rpc.SealKey(p.t.Context(), &pb.SealKeyRequest{})
	if err != nil {
		p.t.Fatal(err)
	}
	k := keys.GetKeys()[0]
	box, err := secret.SealSlice(k.GetPublicKey(), secret.SealContext{VaultID: keys.GetVaultId(), Instance: keys.GetInstance(), Method: method, Field: "shares"}, shares)
	if err != nil {
		p.t.Fatal(err)
	}
	return &pb.RedeemRequest{
		Chain: token.Chain.Encode(), Proof: token.Prove(unlocktoken.Challenge(keys.GetVaultId(), keys.GetInstance(), k.GetId(), k.GetPublicKey())),
		Shares: &pb.Sealed{Field: "shares", KeyId: k.GetId(), Box: box},
	}
}

func shareBytes(token *unlocktoken.Token) []byte {
	var b []byte
	for _, s := range token.Shares {
		b = append(append(b, s.Credential[:]...), s.Key[:]...)
	}
	return b
}

// redeem returns the code of the answer.
func (p *presentation) redeem(q *pb.RedeemRequest) string {
	p.t.Helper()
	_, err := p.rpc.Redeem(p.t.Context(), q)
	return codeOf(err)
}

// seedOf returns the key that narrows a token, as its text has it.
func seedOf(t testing.TB, token *unlocktoken.Token) []byte {
	t.Helper()
	text := token.Text()
	b, err := base64.RawURLEncoding.DecodeString(string(text[len(unlocktoken.Prefix) : len(text)-6]))
	if err != nil {
		t.Fatal(err)
	}
	return b[33:65]
}

// appendBlock returns the chain with one more block of this payload, signed by who may, and
// the key of who may after that.
func appendBlock(t testing.TB, chain unlocktoken.Chain, signer ed25519.PrivateKey, payload []byte) (unlocktoken.Chain, ed25519.PrivateKey) {
	t.Helper()
	next, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	message, err := cbor.Marshal([]any{"nsagent/v1 unlock token block", chain[len(chain)-1].Signature, payload, []byte(next)})
	if err != nil {
		t.Fatal(err)
	}
	return append(slices.Clone(chain), unlocktoken.Block{Payload: payload, Next: next, Signature: ed25519.Sign(signer, message)}), private
}

// proofBy proves possession of the key of the last block.
func proofBy(t testing.TB, chain unlocktoken.Chain, key ed25519.PrivateKey, challenge []byte) []byte {
	t.Helper()
	message, err := cbor.Marshal([]any{"nsagent/v1 unlock token proof", chain[len(chain)-1].Signature, challenge})
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.Sign(key, message)
}

// hostileToken is a way to show a token that is not taken.
type hostileToken struct {
	token  *unlocktoken.Token
	change func(*presentation, *pb.RedeemRequest)
	want   string // the code of the answer
}

// hostileTokens returns such ways for a vault with the profiles acme and other, of which mint
// makes tokens; token is one of both.
func hostileTokens(t testing.TB, token *unlocktoken.Token, mint func(unlocktoken.Caveats, ...string) *unlocktoken.Token) map[string]hostileToken {
	t.Helper()
	narrow, err := token.Narrow(unlocktoken.Caveats{Methods: []string{"GET"}}, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	foreign := startApart(t)
	foreign.unlock()
	foreign.addTBA("acme")
	stranger := foreign.mint(unlocktoken.Caveats{}, "acme")
	const refused = string(pb.CodeGrant)
	return map[string]hostileToken{
		"no chain":        {token, func(_ *presentation, q *pb.RedeemRequest) { q.Chain = nil }, refused},
		"no proof":        {token, func(_ *presentation, q *pb.RedeemRequest) { q.Proof = nil }, refused},
		"a long proof":    {token, func(_ *presentation, q *pb.RedeemRequest) { q.Proof = append(q.Proof, 0) }, refused},
		"over-long":       {token, func(_ *presentation, q *pb.RedeemRequest) { q.Chain = make([]byte, unlocktoken.MaxChain+1) }, refused},
		"bytes behind it": {token, func(_ *presentation, q *pb.RedeemRequest) { q.Chain = append(q.Chain, 0) }, refused},
		"another vault's": {stranger, func(*presentation, *pb.RedeemRequest) {}, refused},
		"blocks in another order": {narrow, func(_ *presentation, q *pb.RedeemRequest) {
			q.Chain = unlocktoken.Chain{narrow.Chain[1], narrow.Chain[0]}.Encode()
		}, refused},
		"without its last block": {narrow, func(_ *presentation, q *pb.RedeemRequest) { q.Chain = token.Chain.Encode() }, refused},
		"with a block twice": {narrow, func(_ *presentation, q *pb.RedeemRequest) {
			q.Chain = append(slices.Clone(narrow.Chain), narrow.Chain[1]).Encode()
		}, refused},
		"signed by another": {token, func(_ *presentation, q *pb.RedeemRequest) {
			_, key, _ := ed25519.GenerateKey(rand.Reader)
			message, _ := cbor.Marshal([]any{"nsagent/v1 unlock token block", []byte{}, token.Chain[0].Payload, token.Chain[0].Next})
			q.Chain = unlocktoken.Chain{{Payload: token.Chain[0].Payload, Next: token.Chain[0].Next, Signature: ed25519.Sign(key, message)}}.Encode()
		}, refused},
		"another proof of it": {token, func(p *presentation, q *pb.RedeemRequest) { q.Proof = p.request(token).GetProof() }, refused},
		"expired":             {mint(unlocktoken.Caveats{NotAfter: time.Now().Unix() - 5}, "acme"), func(*presentation, *pb.RedeemRequest) {}, string(pb.CodeExpired)},
		"not yet good":        {mint(unlocktoken.Caveats{NotBefore: time.Now().Unix() + 600}, "acme"), func(*presentation, *pb.RedeemRequest) {}, string(pb.CodeGrantScope)},
		"no shares":           {token, func(_ *presentation, q *pb.RedeemRequest) { q.Shares = nil }, string(pb.CodeRequest)},
		"another field":       {token, func(_ *presentation, q *pb.RedeemRequest) { q.Shares.Field = "passphrase" }, string(pb.CodeRequest)},
		"an unknown key":      {token, func(_ *presentation, q *pb.RedeemRequest) { q.Shares.KeyId = []byte("x") }, string(pb.CodeRequest)},
		"a changed box":       {token, func(_ *presentation, q *pb.RedeemRequest) { q.Shares.Box[40] ^= 1 }, string(pb.CodeRequest)},
		"oversized shares":    {token, func(_ *presentation, q *pb.RedeemRequest) { q.Shares.Box = make([]byte, 100<<10) }, string(pb.CodeCredential)},
		"an identity by no key": {token, func(_ *presentation, q *pb.RedeemRequest) {
			q.OidcToken = &pb.Sealed{Field: "oidc_token", KeyId: []byte("x"), Box: []byte("x")}
		}, string(pb.CodeRequest)},
	}
}

// refuseHostile shows tokens in all of these ways, each on a connection of its own to the
// agent at path, and after it the good one there.
func refuseHostile(t *testing.T, path string, good *unlocktoken.Token, ways map[string]hostileToken) {
	t.Helper()
	for name, c := range ways {
		t.Run(name, func(t *testing.T) {
			p := presentOver(t, rawGRPC(t, path))
			q := p.request(c.token)
			c.change(p, q)
			if got := p.redeem(q); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if got := p.redeem(p.request(good)); got != "ok" {
				t.Errorf("a good one afterwards: %s", got)
			}
		})
	}
}

// redeemsRefused counts the tokens that were refused, as a log has them.
func redeemsRefused(entries []audit.Entry) (n int) {
	for _, e := range entries {
		if e.Event == audit.EventGrantRedeem && e.Outcome == audit.OutcomeDenied {
			n++
		}
	}
	return n
}

// Requirement T-02: a token that was changed in any way is not taken, and is no way around
// the right that the connection has.
func TestHostileTokens(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	token := f.mint(unlocktoken.Caveats{}, "acme", "other")
	ways := hostileTokens(t, token, f.mint)
	refuseHostile(t, f.paths.Agent, token, ways)
	if n := redeemsRefused(f.entries()); n != len(ways) {
		t.Errorf("%d refusals are in the log, of %d", n, len(ways))
	}
}

// A share list that is cut, too long, or out of order is refused, and so are shares that
// were sealed for another call. Without any there is nothing that a locked agent could open,
// and so nothing that would prove a right.
func TestHostileShares(t *testing.T) {
	f, token := startLocked(t)
	before := f.agent.arena.Info().Used
	good := shareBytes(token)
	other := bytes.Clone(good)
	other[20] ^= 1
	for name, shares := range map[string][]byte{
		"cut": good[:len(good)-1], "a byte more": append(bytes.Clone(good), 0), "one twice": append(bytes.Clone(good[:48]), good[:48]...),
		"another order": append(bytes.Clone(good[48:]), good[:48]...), "a wrong one": other,
	} {
		p := f.present()
		if got := p.redeem(p.requestWith(token, shares, pb.Signer_Redeem_FullMethodName)); got != string(pb.CodeGrant) {
			t.Errorf("%s: got %s", name, got)
		}
	}
	p := f.present()
	if got := p.redeem(p.requestWith(token, good, pb.Signer_Sign_FullMethodName)); got != string(pb.CodeRequest) {
		t.Errorf("sealed for another call: got %s", got)
	}
	if got := f.agent.arena.Info().Used; got != before {
		t.Errorf("%d bytes of locked memory are in use, %d were before", got, before)
	}
	if got := p.redeem(p.requestWith(token, nil, pb.Signer_Redeem_FullMethodName)); got != string(pb.CodeLocked) {
		t.Errorf("a token without shares: got %s", got)
	}
	f.unlock()
	if got := p.redeem(p.requestWith(token, nil, pb.Signer_Redeem_FullMethodName)); got != "ok" {
		t.Errorf("without shares, unlocked: got %s", got)
	}
}

// Every truncation of a chain, and a flip in each of its bytes, is refused.
func TestDamagedChains(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	refuseDamaged(t, f.present(), f.mint(unlocktoken.Caveats{}, "acme"))
}

// refuseDamaged shows a token with its chain cut, and changed, and as it is.
func refuseDamaged(t *testing.T, p *presentation, token *unlocktoken.Token) {
	t.Helper()
	whole := token.Chain.Encode()
	step := 7
	if needs.Long() {
		step = 1
	}
	for i := 0; i < len(whole); i += step {
		cut, flipped := p.request(token), p.request(token)
		cut.Chain, flipped.Chain = whole[:i], bytes.Clone(whole)
		flipped.Chain[i] ^= 1 << (i % 8)
		if got := p.redeem(cut); got != string(pb.CodeGrant) {
			t.Fatalf("cut at %d: %s", i, got)
		}
		if got := p.redeem(flipped); got != string(pb.CodeGrant) {
			t.Fatalf("byte %d changed: %s", i, got)
		}
	}
	if got := p.redeem(p.request(token)); got != "ok" {
		t.Errorf("unchanged: %s", got)
	}
}

// Requirement T-03: a caveat of a later version is refused, and said to be that.
func TestUnknownCaveatIsNotTaken(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	refuseUnknownCaveat(t, f.present(), f.mint(unlocktoken.Caveats{}, "acme"))
}

// refuseUnknownCaveat shows a token with a caveat more, of which nobody knows.
func refuseUnknownCaveat(t *testing.T, p *presentation, token *unlocktoken.Token) {
	t.Helper()
	payload, err := cbor.Marshal([]any{"nsagent/v1 narrowing", map[int]any{99: true}})
	if err != nil {
		t.Fatal(err)
	}
	chain, key := appendBlock(t, token.Chain, ed25519.NewKeyFromSeed(seedOf(t, token)), payload)
	keys, err := p.rpc.SealKey(t.Context(), &pb.SealKeyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	k := keys.GetKeys()[0]
	q := &pb.RedeemRequest{Chain: chain.Encode(), Shares: &pb.Sealed{Field: "shares", KeyId: k.GetId()}}
	q.Proof = proofBy(t, chain, key, unlocktoken.Challenge(keys.GetVaultId(), keys.GetInstance(), k.GetId(), k.GetPublicKey()))
	if _, err := p.rpc.Redeem(t.Context(), q); codeOf(err) != string(pb.CodeGrant) || !strings.Contains(whyOf(err), "does not know") {
		t.Errorf("got %v", err)
	}
}

// What was shown on one connection is worth nothing on another, nor a second time; and a
// connection takes one token.
func TestPresentationIsForOneConnection(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	token, wider := f.mint(unlocktoken.Caveats{}, "acme"), f.mint(unlocktoken.Caveats{}, "acme", "other")
	one, two := f.present(), f.present()
	q := one.request(token)
	if got := two.redeem(q); got != string(pb.CodeRequest) {
		t.Errorf("replayed before: got %s", got)
	}
	if got := one.redeem(q); got != "ok" {
		t.Fatalf("its own connection: %s", got)
	}
	for name, p := range map[string]*presentation{"on its own": one, "on another": two} {
		if got := p.redeem(q); got == "ok" {
			t.Errorf("replayed %s: taken", name)
		}
	}
	if got := one.redeem(one.request(wider)); got != string(pb.CodeGrant) {
		t.Errorf("a second token: got %s", got)
	}
	if _, err := one.rpc.Sign(t.Context(), &pb.SignRequest{Profile: "other", Url: sandboxURL}); codeOf(err) != string(pb.CodeGrantScope) {
		t.Errorf("after all that, outside of the first: got %v", err)
	}
}

// A stream that began before the token was shown has the token's right afterwards.
func TestStreamBeforeTheToken(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	token := f.mint(unlocktoken.Caveats{}, "acme")
	p := f.present()
	stream, err := p.rpc.SignStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func() *pb.SignStreamResponse {
		t.Helper()
		if err := stream.Send(&pb.SignStreamRequest{Request: &pb.SignRequest{Profile: "other", Url: sandboxURL}}); err != nil {
			t.Fatal(err)
		}
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ask(); r.GetError() != nil {
		t.Fatalf("before: %v", r.GetError())
	}
	if got := p.redeem(p.request(token)); got != "ok" {
		t.Fatal(got)
	}
	if r := ask(); r.GetError().GetCode() != string(pb.CodeGrantScope) {
		t.Errorf("after: got %v", r)
	}
}

// whyOf returns the reason that a gRPC error carries.
func whyOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetMetadata()["why"]
		}
	}
	return ""
}
