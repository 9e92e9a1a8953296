//go:build !race

package agent

import (
	"context"
	"crypto/elliptic"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

// proofWorld is an agent on a vault of some slots, for one call.
type proofWorld struct {
	f      *fixture
	p      *phone
	ctx    context.Context
	rpc    pb.AdminClient
	set    proofSet
	vault  *vault.Vault
	slots  []vault.SlotInfo
	method string
	verb   proofVerb
	seen   int // bytes of the audit log
}

// mapKeyring is a keyring that answers.
type mapKeyring struct {
	arena *secret.Arena
	items map[string][]byte
}

func (k mapKeyring) Get(_ context.Context, item string) (secret.Bytes, error) {
	b, ok := k.items[item]
	if !ok {
		return secret.Bytes{}, keyring.ErrNotFound
	}
	return k.arena.Take(slices.Clone(b))
}

func (k mapKeyring) Set(_ context.Context, item string, v secret.Bytes) error {
	return v.Use(func(p []byte) error { k.items[item] = slices.Clone(p); return nil })
}

func (k mapKeyring) Delete(_ context.Context, item string) error { delete(k.items, item); return nil }

// startProofs runs an agent on a vault that the slots of set open, and the recovery code.
func startProofs(t *testing.T, set proofSet) *proofWorld {
	m2m := &tokenWorld{}
	f, p := startWithPhone(t, func(c *Config) { c.Gateway = m2m.gateways.start })
	m2m.fixture = f
	m2m.addToUnlisting(t, p)
	if set.app {
		f.enrol(p)
	}
	ctx := t.Context()
	v, err := vault.Open(ctx, vault.Config{Store: store.NewFile(f.paths.Vault), Arena: f.arena, Keyring: mapKeyring{f.arena, map[string][]byte{}}, MachineKeyFile: f.paths.MachineKey})
	if err == nil {
		err = v.Unlock(ctx, f.secret(testPassphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &proofWorld{f: f, p: p, ctx: ctx, rpc: pb.NewAdminClient(rawGRPC(t, f.paths.Admin)), set: set, vault: v}
	first := v.Slots()[0]
	for _, kind := range append(slices.Clone(set.kinds), vault.SlotRecovery) {
		w.add(kind)
	}
	if err := v.RemoveSlot(ctx, first.ID); err != nil {
		t.Fatal(err)
	}
	w.slots = v.Slots()
	f.agent.mu.Lock()
	f.agent.session.vault.Lock()
	f.agent.session.vault = v
	f.agent.mu.Unlock()
	w.stage()
	return w
}

// addToUnlisting adds the profile "m2m" of a NetSuite that takes any certificate and lists
// none.
func (w *tokenWorld) addToUnlisting(t *testing.T, p *phone) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/token"):
			grant(rw, 1, 3600)
		case r.Method == http.MethodGet:
			_, _ = io.WriteString(rw, "[]")
		default:
			_, _ = io.WriteString(rw, "{}")
		}
	}))
	w.t.Cleanup(s.Close)
	now := time.Unix(p.now.Load(), 0)
	key, cert := keyPair(t, elliptic.P256(), now.Add(-day), now.Add(300*day))
	w.addM2M("m2m", key, cert, s.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	w.agent.probePause = 0
}

// stage has the profile "m2m" have a next certificate.
func (w *proofWorld) stage() {
	w.f.t.Helper()
	a := w.f.agent
	if a.stagedFor(a.session, "m2m") != nil {
		return
	}
	if _, err := w.rpc.NewCertificate(w.ctx, &pb.NewCertificateRequest{Profile: &pb.Profile{Name: "m2m"}}); err != nil {
		w.f.t.Fatal(err)
	}
}

// underAPolicy has the vault hold a policy, if it has none.
func (w *proofWorld) underAPolicy() {
	if w.f.agent.session.policy().policy == nil {
		w.f.keepPolicy("version = 1\n")
	}
}

func (w *proofWorld) underNoPolicy() { w.f.keepPolicy("") }

// box seals a sample for the call.
func (w *proofWorld) box(field, content string) *pb.Sealed { return w.sealed(w.method, field, content) }

func (w *proofWorld) sealed(method, field, content string) *pb.Sealed {
	w.f.t.Helper()
	keys, err := w.rpc.SealKey(w.ctx, &pb.SealKeyRequest{})
	if err != nil {
		w.f.t.Fatal(err)
	}
	k := keys.GetKeys()[0]
	box, err := secret.SealSlice(k.GetPublicKey(), secret.SealContext{VaultID: keys.GetVaultId(), Instance: keys.GetInstance(), Method: method, Profile: w.verb.profile, Field: field}, []byte(content))
	if err != nil {
		w.f.t.Fatal(err)
	}
	return &pb.Sealed{Field: field, KeyId: k.GetId(), Box: box}
}

// spare adds a key slot, and returns its ID.
func (w *proofWorld) spare() string {
	w.add(vault.SlotRecovery)
	i := slices.IndexFunc(w.vault.Slots(), func(s vault.SlotInfo) bool { return !slices.Contains(w.slots, s) })
	return w.vault.Slots()[i].ID.String()
}

// give seals what a form gives.
func (w *proofWorld) give(g proofForm) *pb.Proof {
	method := w.method
	if g.otherCall {
		method = pb.Admin_Unlock_FullMethodName
	}
	one := func(s [2]string) *pb.Sealed {
		if s[0] == "" {
			return nil
		}
		return w.sealed(method, s[0], s[1])
	}
	out := &pb.Proof{Passphrase: one(g.passphrase), Key: one(g.key), Confirmed: g.yes}
	if g.code[0] != "" {
		out.Totp = one([2]string{g.code[0], w.code(g.code[1])})
	}
	return out
}

// code returns a code of the phone that is as content says.
func (w *proofWorld) code(content string) string {
	f := w.f
	switch content {
	case "wrong":
		return w.p.wrong()
	case "used":
		if !w.set.app {
			break
		}
		l, err := f.agent.openLedger(w.ctx, w.vault)
		if err != nil {
			f.t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		if err := f.agent.checkCode(l, w.vault.ID(), f.agent.session.authenticator, f.secret(w.p.code(0))); err != nil {
			f.t.Fatal(err)
		}
	case "now":
	default:
		return content
	}
	return w.p.code(0)
}

// try makes a call with a proof of one form, twice where it is one.
func (w *proofWorld) try(t *testing.T, method string, verb proofVerb, g proofForm) {
	w.method, w.verb = method, verb
	w.p.wait(20) // wrong ones do not add up
	if w.set.stepUp {
		w.f.stepUp()
	}
	proves := proofSet.proves
	if verb.proves != nil {
		proves = verb.proves
	}
	if method == pb.Admin_RenameProfile_FullMethodName {
		w.underAPolicy()
		defer w.underNoPolicy()
	}
	want := proves(w.set, g)
	p := w.give(g)
	w.log()
	generation := w.vault.Generation()
	err := verb.call(w, proto.CloneOf(p))
	got := w.proved()
	if (err == nil) != (want != "") || got != want {
		t.Errorf("%s, %s: got proof %q, %v, want %q", method, g.name, got, err, want)
	}
	if method == pb.Admin_RemoveKeySlot_FullMethodName { // the spare one was added
		generation++
	}
	if want == "" && w.vault.Generation() != generation {
		t.Errorf("%s, %s: refused, and something has changed", method, g.name)
	}
	if want != "" && want != "confirmed" {
		w.restore()
		if err := verb.call(w, p); err == nil {
			t.Errorf("%s, %s: the same once more goes ahead", method, g.name)
		}
	}
	w.restore()
}

// proved returns what the log says since the last time that a call was proved by; "" if none
// went ahead by a proof.
func (w *proofWorld) proved() (by string) {
	w.f.t.Helper()
	for line := range strings.Lines(w.log()) {
		if _, rest, ok := strings.Cut(line, "proof="); ok && strings.Contains(line, `"outcome":"ok"`) {
			by, _, _ = strings.Cut(rest, `"`)
			by, _, _ = strings.Cut(by, " ")
		}
	}
	return by
}

// log returns what the audit log has since the last time.
func (w *proofWorld) log() string {
	w.f.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.f.paths.AuditDir, "audit.jsonl"))
	if err != nil {
		w.f.t.Fatal(err)
	}
	fresh := string(b[w.seen:])
	w.seen = len(b)
	return fresh
}

// restore has the slots of the vault be those of the set again, whatever their ids.
func (w *proofWorld) restore() {
	w.f.t.Helper()
	has := func(kind vault.SlotKind) bool {
		return slices.ContainsFunc(w.vault.Slots(), func(s vault.SlotInfo) bool { return s.Kind == kind })
	}
	for _, kind := range w.set.kinds {
		if !has(kind) {
			w.add(kind)
		}
	}
	for _, s := range w.vault.Slots() {
		if spare := s.Kind == vault.SlotRecovery && !slices.Contains(w.slots, s); spare || s.Kind == vault.SlotKeyring && !w.set.has(s.Kind) {
			if err := w.vault.RemoveSlot(w.ctx, s.ID); err != nil {
				w.f.t.Fatal(err)
			}
		}
	}
	w.slots = w.vault.Slots()
	w.stage()
	if s := w.f.agent.session; !w.set.app && s.authenticator != nil {
		if err := w.f.agent.removeTOTP(w.ctx, s).make(); err != nil {
			w.f.t.Fatal(err)
		}
	}
}

// add adds a key slot of a kind.
func (w *proofWorld) add(kind vault.SlotKind) {
	w.f.t.Helper()
	slot := vault.Slot{Kind: kind, KDF: vault.KDFLow}
	switch {
	case kind == vault.SlotKeyFile:
		slot.Key = w.f.secret(testKeyFile)
	case kind == vault.SlotRecovery:
		slot.Key = w.f.secret(testCode)
	case kind.NeedsPassphrase():
		slot.Passphrase = w.f.secret(testPassphrase)
	}
	defer destroySlot(slot)
	if err := w.vault.AddSlot(w.ctx, slot); err != nil {
		w.f.t.Fatal(err)
	}
}
