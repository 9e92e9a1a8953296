//go:build !race

// The product is looked at from outside, which has no race detector.

package agent

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/memscan"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// canaries are secrets that are nowhere else, and what would betray each.
type canaries struct {
	consumerSecret, tokenSecret string
	privateKey, certificate     string
	needles                     []memscan.Needle
}

// newCanaries draws them.
func newCanaries(t *testing.T, passphrase string) canaries {
	t.Helper()
	var c canaries
	for _, s := range []*string{&c.consumerSecret, &c.tokenSecret} {
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		*s = hex.EncodeToString(b)
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.privateKey, c.certificate = keyText(t, k, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	scalar, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"passphrase": []byte(passphrase), "consumer secret": []byte(c.consumerSecret), "token secret": []byte(c.tokenSecret),
		"signing key": []byte(c.consumerSecret + "&" + c.tokenSecret), "private key": scalar,
	} {
		c.needles = append(c.needles, memscan.Needles(name, secret)...)
	}
	return c
}

// search looks for the canaries in what a reader of it might find, and in the same
// with all that is hex or base64 in it left as it is: the needles know those forms.
func (c canaries) search(t *testing.T, where string, b []byte) {
	t.Helper()
	r, err := memscan.ScanReader(bytes.NewReader(b), where, c.needles)
	if err != nil {
		t.Fatal(err)
	}
	if r.Total.Unlocked != 0 {
		t.Errorf("%s holds a secret:\n%s", where, r)
	}
}

// TestNoSecretComesOut guards G-01, L-03 and P1 with the product: canary secrets go
// through every call of both sockets, over gRPC and JSON, well and badly. Afterwards
// they are in no answer, no error, no byte that went over a socket, nothing that the
// agent printed and no file that it wrote.
func TestNoSecretComesOut(t *testing.T) {
	d := startDaemon(t, "")
	c := newCanaries(t, testPassphrase)
	onAgent, onAdmin := record(t, d.paths.Agent), record(t, d.paths.Admin)
	signer, err := client.Dial(t.Context(), client.WithSocket(onAgent.path))
	if err != nil {
		t.Fatal(err)
	}
	admin, err := client.DialAdmin(t.Context(), client.WithSocket(onAdmin.path))
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer // every answer and error, as text and as bytes
	note := func(m proto.Message, err error) {
		if m != nil && m.ProtoReflect().IsValid() {
			b, merr := proto.Marshal(m)
			if merr != nil {
				t.Error(merr)
			}
			said.Write(b)
			said.WriteString(m.ProtoReflect().Interface().(interface{ String() string }).String()) //nolint:forcetypeassert // generated messages have it
		}
		if err != nil {
			said.WriteString(err.Error())
		}
		said.WriteByte('\n')
	}
	ctx := t.Context()
	tbaOf := func(cs, ts string) map[string]client.Sealer {
		return map[string]client.Sealer{"consumer_secret": sealWith(d.arena, cs), "token_secret": sealWith(d.arena, ts)}
	}
	keyOf := func(text string) map[string]client.Sealer {
		return map[string]client.Sealer{"private_key": sealWith(d.arena, text)}
	}
	m2m := func() *pb.Profile {
		return &pb.Profile{Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(1), Certificate: c.certificate, Scopes: []string{"restlets"}}
	}
	use := func() {
		note(signer.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL}))
		note(signer.Sign(ctx, client.Request{Profile: "acme", URL: "https://evil.example/"}))
		note(signer.Sign(ctx, client.Request{Profile: "acme", URL: "not a URL"}))
		note(signer.Sign(ctx, client.Request{Profile: "none", URL: sandboxURL}))
		note(signer.Passport(ctx, "acme", ""))
		note(signer.Passport(ctx, "acme", "<"))
		note(signer.ConnectPassword(ctx, "acme"))
		note(signer.ConnectPassword(ctx, "m2m"))
		note(signer.Assertion(ctx, client.AssertionRequest{Profile: "m2m"}))
		note(signer.Assertion(ctx, client.AssertionRequest{Profile: "m2m", Audience: "https://evil.example/"}))
		note(signer.Profiles(ctx))
		note(signer.Status(ctx))
		if s, err := signer.Stream(ctx); err == nil {
			note(s.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL}))
			note(s.Sign(ctx, client.Request{Profile: "none", URL: sandboxURL}))
			_ = s.Close()
		}
		h := overJSON{overUnix(onAgent.path)}
		for call, q := range map[string]map[string]any{
			"sign": {"profile": "acme", "url": sandboxURL}, "passport": {"profile": "acme"}, "connect-password": {"profile": "acme"},
			"assertion": {"profile": "m2m"}, "profiles": nil, "status": nil, "nothing": {"profile": "acme"},
		} {
			b, code := h.ask(ctx, call, q)
			said.Write(b)
			said.WriteString(code)
		}
		h.h.CloseIdleConnections()
		note(admin.ShowProfile(ctx, "acme"))
		note(admin.ShowProfile(ctx, "m2m"))
		note(admin.ShowProfile(ctx, "none"))
		note(admin.TestProfile(ctx, "acme"))
		note(admin.TestProfile(ctx, "m2m"))
		note(admin.TestProfile(ctx, "api"))
		note(admin.CheckVault(ctx))
	}
	add := func(p *pb.Profile, s map[string]client.Sealer) { note(admin.AddProfile(ctx, p, s)) }

	use() // while locked
	note(admin.Unlock(ctx, sealWith(d.arena, testPassphrase+"x"), 0))
	note(admin.Unlock(ctx, sealWith(d.arena, testPassphrase), 0))
	add(tba("acme"), tbaOf(c.consumerSecret, c.tokenSecret))
	add(m2m(), keyOf(c.privateKey))
	add(tba("acme"), tbaOf(c.consumerSecret, c.tokenSecret)) // exists
	add(tba("other"), tbaOf(c.consumerSecret+"\n", c.tokenSecret))
	add(tba("other"), tbaOf(c.consumerSecret, c.consumerSecret))
	add(tba("other"), keyOf(c.consumerSecret))
	add(tba("other"), tbaOf(strings.Repeat(c.consumerSecret, 20), c.tokenSecret))
	add(&pb.Profile{Name: "../x"}, tbaOf(c.consumerSecret, c.tokenSecret))
	other := m2m()
	other.Name, other.Alg = "other", "PS256"
	add(other, keyOf(c.privateKey))
	add(other, keyOf(c.privateKey[:len(c.privateKey)/2]))
	add(other, keyOf(c.privateKey+c.privateKey))
	// Edits and API secrets, well and badly. A long value holds the canaries too.
	long := strings.Repeat(c.consumerSecret+c.tokenSecret, 1_000)
	value, wrong := longSecret(longArena(t), long), longSecret(longArena(t), long+"\n")
	note(admin.AddSecret(ctx, apiSecret("api"), value))
	note(admin.AddSecret(ctx, apiSecret("bad"), wrong))
	add(apiSecret("short"), map[string]client.Sealer{"value": sealWith(d.arena, c.consumerSecret)})
	for _, e := range []client.ProfileEdit{
		{Secrets: tbaOf(c.tokenSecret, c.consumerSecret)}, {UsePrevious: true}, {Secrets: tbaOf(c.tokenSecret, c.tokenSecret)},
		{Secrets: keyOf(c.privateKey)}, {Fields: []string{"access"}, Profile: &pb.Profile{Access: "read"}},
		{Fields: []string{"access"}, Profile: &pb.Profile{Access: "write"}, Proof: client.Proof{Passphrase: sealWith(d.arena, testPassphrase+"x")}},
		{Fields: []string{"access"}, Profile: &pb.Profile{Access: "write"}, Proof: client.Proof{Passphrase: sealWith(d.arena, testPassphrase)}},
	} {
		note(admin.EditProfile(ctx, "acme", e))
	}
	note(admin.EditProfile(ctx, "api", client.ProfileEdit{Value: &value}))
	note(admin.EditProfile(ctx, "api", client.ProfileEdit{Value: &wrong}))
	note(admin.EditProfile(ctx, "m2m", client.ProfileEdit{Secrets: keyOf(c.consumerSecret)}))
	note(admin.RenameProfile(ctx, client.Proof{}, "short", "brief"))
	note(admin.RenameProfile(ctx, client.Proof{}, "brief", "../x"))
	use()
	note(nil, admin.Lock(ctx))
	use()
	note(admin.Unlock(ctx, sealWith(d.arena, testPassphrase), time.Hour))
	use()
	proof := client.Proof{Passphrase: sealWith(d.arena, testPassphrase)}
	for _, kind := range []string{"recovery", "key-file", "passphrase", "keyring", "keyring+passphrase", "age"} {
		for _, opener := range []string{c.tokenSecret, c.tokenSecret[:16]} {
			note(admin.AddKeySlot(ctx, proof, client.NewSlot{Kind: kind, Opener: sealWith(d.arena, opener), Cost: "low"}))
			note(admin.UnlockBy(ctx, client.Proof{Recovery: sealWith(d.arena, opener)}, 0))
			note(admin.UnlockBy(ctx, client.Proof{KeyFile: sealWith(d.arena, opener)}, 0))
		}
	}
	note(admin.KeySlots(ctx))
	note(admin.RemoveKeySlot(ctx, proof, c.tokenSecret[:4]))
	note(admin.AdoptPolicy(ctx, proof, []byte("no policy"), "")) // a policy is sent as it is: it holds no secret
	note(admin.ChangePassphrase(ctx, client.Proof{Passphrase: sealWith(d.arena, c.tokenSecret)}, sealWith(d.arena, c.consumerSecret), "low"))
	note(admin.Recover(ctx, sealWith(d.arena, c.tokenSecret[:16]), client.NewSlot{Kind: "passphrase", Opener: sealWith(d.arena, c.consumerSecret), Cost: "low"}))
	note(nil, admin.RemoveProfile(ctx, "none"))
	note(nil, admin.RemoveProfile(ctx, "m2m"))
	note(nil, admin.Stop(ctx))
	_ = d.awaitEnd()
	_, _ = signer.Close(), admin.Close()

	// The control: the traffic is what was meant, and the scan finds what is there.
	for where, b := range map[string][]byte{"answers": said.Bytes(), "agent.sock": onAgent.bytes()} {
		if !bytes.Contains(b, []byte("oauth_signature=")) || !bytes.Contains(b, []byte("nsagent.sign/v1")) {
			t.Errorf("control: there is no signature among %d bytes of %s", len(b), where)
		}
	}
	for _, form := range []string{c.consumerSecret, hex.EncodeToString([]byte(c.tokenSecret)), c.privateKey} {
		r, err := memscan.ScanReader(strings.NewReader("x"+form), "control", c.needles)
		if err != nil || r.Total.Unlocked == 0 {
			t.Errorf("control: the scan finds nothing in %.20s…: %v", form, err)
		}
	}

	c.search(t, "an answer or an error", said.Bytes())
	c.search(t, "the traffic of agent.sock", onAgent.bytes())
	c.search(t, "the traffic of admin.sock", onAdmin.bytes())
	c.search(t, "standard output", []byte(d.stdout.String()))
	c.search(t, "standard error", []byte(d.stderr.String()))
	c.searchHome(t, d)
}

// searchHome looks into every file of a daemon's home.
func (c canaries) searchHome(t *testing.T, d *daemon) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(d.home, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || path == d.file("passphrase") {
			return err
		}
		files++
		b, err := os.ReadFile(path) // #nosec G304 G122 -- of the test
		c.search(t, path, b)
		return err
	})
	if err != nil || files < 6 { // vault and its .prev, a blob, ledger, machine key, audit log
		t.Errorf("searched %d files, %v", files, err)
	}
}
