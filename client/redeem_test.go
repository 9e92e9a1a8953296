package client

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// redeemer is the agent at the other end of redeem: it gives seal keys, and keeps what it
// is shown.
type redeemer struct {
	keys    []hpke.PrivateKey
	answer  *pb.SealKeyResponse
	err     error // of SealKey
	asked   int
	redeems []*pb.RedeemRequest
}

func newRedeemer(t *testing.T) *redeemer {
	t.Helper()
	r := &redeemer{answer: &pb.SealKeyResponse{VaultId: []byte("vault"), Instance: []byte("instance")}}
	for range 2 {
		k, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		r.keys = append(r.keys, k)
		r.answer.Keys = append(r.answer.Keys, &pb.SealKey{Id: []byte{byte(len(r.keys))}, PublicKey: k.PublicKey().Bytes()})
	}
	return r
}

func (r *redeemer) Invoke(_ context.Context, method string, q, reply any, _ ...grpc.CallOption) error {
	if method == pb.Signer_Redeem_FullMethodName {
		r.redeems = append(r.redeems, proto.CloneOf(q.(*pb.RedeemRequest)))
		return nil
	}
	r.asked++
	n := min(int(q.(*pb.SealKeyRequest).GetCount()), len(r.answer.GetKeys()))
	answer := proto.CloneOf(r.answer)
	answer.Keys = answer.Keys[:n]
	proto.Merge(reply.(proto.Message), answer)
	return r.err
}

func (r *redeemer) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("redeem opens no stream")
}

// opened returns what was sealed to key n.
func (r *redeemer) opened(t *testing.T, n int, m *pb.Sealed) []byte {
	t.Helper()
	info := prefixed([]byte("nsagent/v1 seal"), r.answer.GetVaultId(), r.answer.GetInstance())
	enc, box := m.GetBox()[:32], m.GetBox()[32:]
	to, err := hpke.NewRecipient(enc, r.keys[n], hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info)
	if err != nil {
		t.Fatal(err)
	}
	text, err := to.Open(prefixed([]byte(pb.Signer_Redeem_FullMethodName), nil, []byte(m.GetField())), box)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// someToken returns a token with one share, that no agent knows.
func someToken(t *testing.T) *unlocktoken.Token {
	t.Helper()
	issuer, seed := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), [32]byte{7}
	id := unlocktoken.ID{1}
	a := unlocktoken.Authority{Vault: unlocktoken.ID{2}, Grant: unlocktoken.ID{3}, Mode: unlocktoken.Attached, IssuedAt: 1, Caveats: unlocktoken.Caveats{NotAfter: 2, Credentials: []unlocktoken.ID{id}}}
	chain, err := unlocktoken.NewChain(a, ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey), func(m []byte) ([]byte, error) { return ed25519.Sign(issuer, m), nil })
	if err != nil {
		t.Fatal(err)
	}
	token, err := unlocktoken.New(unlocktoken.IssuerHash(issuer.Public().(ed25519.PublicKey)), []unlocktoken.Share{{Credential: id, Key: [32]byte{9}}}, chain, seed)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// The ID token of a job goes to the agent beside the shares, each sealed to a key of its
// own, and once.
func TestRedeemWithAnIDToken(t *testing.T) {
	r, token, job := newRedeemer(t), someToken(t), &idToken{text: []byte("header.claims.signature")}
	if err := redeem(t.Context(), r, token, job); err != nil {
		t.Fatal(err)
	}
	q := r.redeems[0]
	if got := r.opened(t, 0, q.GetShares()); !bytes.Equal(got, sharesOf(token)) {
		t.Errorf("shares: got %x", got)
	}
	if got := r.opened(t, 1, q.GetOidcToken()); string(got) != "header.claims.signature" {
		t.Errorf("ID token: got %q", got)
	}
	if err := redeem(t.Context(), r, token, job); !errors.Is(err, ErrGrant) || !strings.Contains(fmt.Sprint(err), "used already") || r.asked != 1 || len(r.redeems) != 1 {
		t.Errorf("again: got %v after %d calls", err, r.asked)
	}
	if err := redeem(t.Context(), r, token, nil); err != nil || r.redeems[1].GetOidcToken() != nil {
		t.Errorf("without one: got %v", err)
	}
}

// Nothing is shown to an agent whose seal keys are not what was asked for.
func TestRedeemByWrongSealKeys(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		change func(*redeemer)
		want   string
	}{
		"an error":                     {func(r *redeemer) { r.err = broken }, "broken"},
		"one less":                     {func(r *redeemer) { r.answer.Keys = r.answer.Keys[:1] }, "the wrong number of seal keys"},
		"a short one for the shares":   {func(r *redeemer) { r.answer.Keys[0].PublicKey = []byte{1} }, "a seal key that is none"},
		"a weak one for the shares":    {func(r *redeemer) { clear(r.answer.Keys[0].PublicKey) }, "a seal key that is none"},
		"a short one for the ID token": {func(r *redeemer) { r.answer.Keys[1].PublicKey = []byte{1} }, "a seal key that is none"},
		"a weak one for the ID token":  {func(r *redeemer) { clear(r.answer.Keys[1].PublicKey) }, "a seal key that is none"},
	} {
		r := newRedeemer(t)
		c.change(r)
		if err := redeem(t.Context(), r, someToken(t), &idToken{text: []byte("x")}); err == nil || !strings.Contains(err.Error(), c.want) || len(r.redeems) != 0 {
			t.Errorf("%s: got %v, and %d were shown", name, err, len(r.redeems))
		}
	}
}

// An ID token comes from one of two variables, which no child inherits.
func TestRedeemFromTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, []byte("a.b.c\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(env map[string]string) (string, error) {
		for name, v := range env {
			t.Setenv(name, v)
		}
		job, err := readIDToken()
		for name := range env {
			if _, there := os.LookupEnv(name); there {
				t.Errorf("a child would inherit %s", name)
			}
		}
		if job == nil || err != nil {
			return "none", err
		}
		text, err := job.take()
		return string(text), err
	}
	for name, c := range map[string]struct {
		env        map[string]string
		text, want string
	}{
		"none":    {nil, "none", ""},
		"file":    {map[string]string{"NSAGENT_OIDC_TOKEN_FILE": file}, "a.b.c", ""},
		"both":    {map[string]string{"NSAGENT_OIDC_TOKEN_FILE": file, "NSAGENT_OIDC_TOKEN_FD": "99"}, "none", "more than one ID token of the job is named"},
		"empty":   {map[string]string{"NSAGENT_OIDC_TOKEN_FILE": os.DevNull}, "none", "what NSAGENT_OIDC_TOKEN_FILE names is empty: the CI service has given none"},
		"no file": {map[string]string{"NSAGENT_OIDC_TOKEN_FILE": "/nowhere"}, "none", "the ID token of the job cannot be used: the file that NSAGENT_OIDC_TOKEN_FILE names cannot be read"},
	} {
		got, err := read(c.env)
		if got != c.text || (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}
