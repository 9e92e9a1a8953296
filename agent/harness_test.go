package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

const testPassphrase = "correct horse battery staple"

// fixture is an agent that runs in the test's own process, with a vault that a
// passphrase opens, and both clients.
type fixture struct {
	t      testing.TB
	agent  *Agent
	paths  socketpath.Paths
	arena  *secret.Arena // of the test, for what it seals
	signer *client.Client
	admin  *client.Admin
	// clock is added to the boot clock.
	clock  atomic.Int64
	change []func(*Config)
	apart  bool // has a vault of its own
	ended  chan error
	// sockets are those of grants, by path, in place of a supervisor that makes them.
	sockets sync.Map
}

// start runs an agent on an empty vault until the test ends. change may adjust the
// configuration. All these vaults are copies of one.
func start(t testing.TB, change ...func(*Config)) *fixture {
	t.Helper()
	return (&fixture{t: t, change: change}).start()
}

// startApart is start for a vault of its own, which only a passphrase opens.
func startApart(t testing.TB, change ...func(*Config)) *fixture {
	t.Helper()
	return (&fixture{t: t, change: change, apart: true}).start()
}

func (f *fixture) start() *fixture {
	f.t.Helper()
	t := f.t
	home := t.TempDir()
	runtime, err := os.MkdirTemp("", "nsa")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(runtime) })
	env := map[string]string{"HOME": home, "XDG_RUNTIME_DIR": runtime}
	f.paths, err = socketpath.Find(socketpath.Options{Getenv: func(k string) string { return env[k] }})
	if err != nil {
		t.Fatal(err)
	}
	f.arena, err = secret.NewArena(secret.ArenaConfig{Mode: secret.ModeAuto, Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.arena.Close() })
	f.createVault()
	f.run()
	return f
}

// run runs an agent on the vault and connects to it.
func (f *fixture) run() {
	f.t.Helper()
	cfg := Config{Log: slog.New(slog.NewTextHandler(f.t.Output(), nil)), Paths: f.paths, Version: "test", Boottime: func() time.Duration { return Boottime() + time.Duration(f.clock.Load()) }}
	cfg.Listen = func(_ context.Context, path string) (*os.File, error) {
		b, err := socketpath.Listen(path, 0o666, backlog)
		if err != nil {
			return nil, err
		}
		defer func() { _ = b.Close() }()
		f.sockets.Store(path, b)
		return b.File()
	}
	cfg.Unlisten = func(_ context.Context, path string) error {
		b, _ := f.sockets.LoadAndDelete(path)
		return b.(*socketpath.Bound).Remove()
	}
	for _, c := range f.change {
		c(&cfg)
	}
	ready := make(chan struct{})
	cfg.Ready = func() { close(ready) }
	a, err := New(f.t.Context(), cfg)
	if err != nil {
		f.t.Fatalf("New: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	f.agent, f.ended = a, ended
	go func() { ended <- a.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		f.waitEnd()
	})
	select {
	case <-ready:
	case err := <-ended:
		f.t.Fatalf("Run: %v", err)
	}
	f.signer, f.admin = f.dial(), f.dialAdmin()
}

// restart ends the agent and runs another one on the same vault.
func (f *fixture) restart() {
	f.t.Helper()
	if err := f.admin.Stop(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.waitEnd()
	f.run()
}

// emptyVault is the file of a vault without a profile, which testPassphrase opens, and
// quickKey without Argon2id: with the race detector that was four tenths of all that these
// tests compute.
var emptyVault = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "nsv")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	arena, err := secret.NewArena(secret.ArenaConfig{Mode: secret.ModeAuto, Size: 64 << 10})
	if err != nil {
		return nil, err
	}
	defer func() { _ = arena.Close() }()
	key, err := arena.Take([]byte(quickKey))
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "vault.nsv")
	if err := createVault(path, arena, vault.Slot{Kind: vault.SlotKeyFile, Key: key}); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// quickKey is what a key file holds that opens the copies of emptyVault.
const quickKey = "00112233445566778899aabbccddeeff"

// createVault makes a vault that testPassphrase opens, and more does.
func createVault(path string, arena *secret.Arena, more ...vault.Slot) error {
	passphrase, err := arena.Take([]byte(testPassphrase))
	if err != nil {
		return err
	}
	defer passphrase.Destroy()
	v, err := vault.Create(context.Background(), vault.Config{Store: store.NewFile(path), Arena: arena},
		vault.Slot{Kind: vault.SlotPassphrase, Passphrase: passphrase, KDF: vault.KDFLow}, more...)
	if err != nil {
		return err
	}
	v.Lock()
	return nil
}

func (f *fixture) createVault() {
	f.t.Helper()
	err := socketpath.EnsureDir(filepath.Dir(f.paths.Vault))
	if err == nil && f.apart {
		err = createVault(f.paths.Vault, f.arena)
	} else if err == nil {
		var file []byte
		if file, err = emptyVault(); err == nil {
			err = os.WriteFile(f.paths.Vault, file, 0o600)
		}
	}
	if err != nil {
		f.t.Fatalf("making a vault: %v", err)
	}
}

// waitEnd waits for Run to return. It may be called again.
func (f *fixture) waitEnd() {
	select {
	case err, first := <-f.ended:
		if !first {
			return
		}
		if err != nil {
			f.t.Errorf("Run: %v", err)
		}
		close(f.ended)
	case <-time.After(10 * time.Second):
		f.t.Error("Run did not return")
	}
}

func (f *fixture) dial() *client.Client {
	f.t.Helper()
	c, err := client.Dial(f.t.Context(), client.WithSocket(f.paths.Agent))
	if err != nil {
		f.t.Fatalf("Dial: %v", err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (f *fixture) dialAdmin() *client.Admin {
	f.t.Helper()
	a, err := client.DialAdmin(f.t.Context(), client.WithSocket(f.paths.Admin))
	if err != nil {
		f.t.Fatalf("DialAdmin: %v", err)
	}
	f.t.Cleanup(func() { _ = a.Close() })
	return a
}

// secret puts a sample into the test's arena.
func (f *fixture) secret(s string) secret.Bytes {
	f.t.Helper()
	b, err := f.arena.Take([]byte(s))
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// sign signs with a profile and must succeed.
func (f *fixture) sign(profile string) *pb.SignResponse {
	f.t.Helper()
	r, err := f.signer.Sign(f.t.Context(), client.Request{Profile: profile, URL: sandboxURL})
	if err != nil {
		f.t.Fatalf("Sign(%s): %v", profile, err)
	}
	return r
}

// entries returns the audit log so far.
func (f *fixture) entries() []audit.Entry {
	f.t.Helper()
	return readLog(f.t, f.paths.AuditDir)
}

func readLog(t testing.TB, dir string) []audit.Entry {
	t.Helper()
	r, err := audit.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var all []audit.Entry
	for e, err := range audit.Query(r, audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func (f *fixture) sealer(s string) client.Sealer { return sealWith(f.arena, s) }

// sealWith returns a sealer for a sample; arena is the test's own.
func sealWith(arena *secret.Arena, s string) client.Sealer {
	return func(to client.SealTo) ([]byte, error) {
		b, err := arena.Take([]byte(s))
		if err != nil {
			return nil, err
		}
		defer b.Destroy()
		return secret.SealTo(to.PublicKey, secret.SealContext{VaultID: to.VaultID, Instance: to.Instance, Method: to.Method, Profile: to.Profile, Field: to.Field}, b)
	}
}

func (f *fixture) unlock() {
	f.t.Helper()
	by := client.Proof{KeyFile: f.sealer(quickKey)}
	if f.apart {
		by = client.Proof{Passphrase: f.sealer(testPassphrase)}
	}
	if _, err := f.admin.UnlockBy(f.t.Context(), by, 0); err != nil {
		f.t.Fatalf("Unlock: %v", err)
	}
}

// tba is the public part of a sandbox profile, with the secrets that go with it.
func tba(name string) *pb.Profile {
	return &pb.Profile{Name: name, Account: "1234567_SB1", Auth: "tba", ConsumerKey: sample(1), TokenId: sample(3)}
}

func (f *fixture) tbaSecrets() map[string]client.Sealer {
	return map[string]client.Sealer{"consumer_secret": f.sealer(sample(2)), "token_secret": f.sealer(sample(4))}
}

// addTBA stores a profile after change, if any.
func (f *fixture) addTBA(name string, change ...func(*pb.Profile)) {
	f.t.Helper()
	p := tba(name)
	for _, c := range change {
		c(p)
	}
	if _, err := f.admin.AddProfile(f.t.Context(), p, f.tbaSecrets()); err != nil {
		f.t.Fatalf("AddProfile(%s): %v", name, err)
	}
}

// sample returns 64 hex digits that depend on n.
func sample(n byte) string {
	b := make([]byte, 32)
	for i := range b {
		b[i] = n*37 + byte(i)*11 // #nosec G115 -- wraps on purpose
	}
	return hex.EncodeToString(b)
}

// keyPair returns a new EC key and its self-signed certificate, both PEM.
func keyPair(t *testing.T, curve elliptic.Curve, notBefore, notAfter time.Time) (key, certificate string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: notBefore, NotAfter: notAfter}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
}
