package agent

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	testCode    = "0123456789abcdef"                 // the 16 bytes of a recovery code
	testKeyFile = "fedcba9876543210fedcba9876543210" // the 32 bytes of a key file
)

// passphrase is the fresh proof of the tests' vault.
func (f *fixture) passphrase(s string) client.Proof { return client.Proof{Passphrase: f.sealer(s)} }

func (f *fixture) addSlot(kind, opener string) {
	f.t.Helper()
	if _, err := f.admin.AddKeySlot(f.t.Context(), f.passphrase(testPassphrase), client.NewSlot{Kind: kind, Opener: f.sealer(opener), Cost: "low"}); err != nil {
		f.t.Fatalf("AddKeySlot(%s): %v", kind, err)
	}
}

// kinds returns the kinds of the key slots, sorted, and the weakest.
func (f *fixture) kinds() (kinds, weakest string) {
	f.t.Helper()
	r, err := f.admin.KeySlots(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return kindsOf(r.GetSlots()), r.GetWeakest()
}

func kindsOf(slots []*pb.KeySlot) string {
	var l []string
	for _, s := range slots {
		l = append(l, s.GetKind())
	}
	slices.Sort(l)
	return strings.Join(l, " ")
}

func (f *fixture) slotID(kind string) string {
	f.t.Helper()
	r, err := f.admin.KeySlots(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, s := range r.GetSlots() {
		if s.GetKind() == kind {
			return s.GetId()
		}
	}
	f.t.Fatalf("no slot of kind %s", kind)
	return ""
}

func TestKeySlots(t *testing.T) {
	f := startApart(t)
	ctx := t.Context()
	if kinds, weakest := f.kinds(); kinds != "passphrase" || weakest != "passphrase" || !f.locked() {
		t.Errorf("locked: got %s, weakest %s", kinds, weakest)
	}
	add := func(proof client.Proof, kind, opener string) error {
		s := client.NewSlot{Kind: kind, Cost: "low"}
		if opener != "" {
			s.Opener = f.sealer(opener)
		}
		_, err := f.admin.AddKeySlot(ctx, proof, s)
		return err
	}
	right := f.passphrase(testPassphrase)
	if err := add(right, "recovery", testCode); !errors.Is(err, client.ErrLocked) {
		t.Errorf("while locked: got %v", err)
	}
	f.unlock()
	for name, c := range map[string]struct {
		proof        client.Proof
		kind, opener string
		want         error
	}{
		"no proof":              {client.Proof{}, "recovery", testCode, client.ErrProof},
		"a yes in its place":    {client.Proof{Confirmed: true}, "recovery", testCode, client.ErrProof},
		"wrong passphrase":      {f.passphrase("wrong"), "recovery", testCode, client.ErrPassphrase},
		"empty passphrase":      {f.passphrase(""), "recovery", testCode, client.ErrPassphrase},
		"a code that is none":   {client.Proof{Recovery: f.sealer(testCode)}, "recovery", testCode, &client.Error{Code: pb.CodeNotFound}},
		"a file that is none":   {client.Proof{KeyFile: f.sealer(testKeyFile)}, "recovery", testCode, &client.Error{Code: pb.CodeNotFound}},
		"short code":            {right, "recovery", "short", client.ErrRequest},
		"short key file":        {right, "key-file", testCode, client.ErrRequest},
		"no code":               {right, "recovery", "", client.ErrRequest},
		"unknown kind":          {right, "age", testCode, client.ErrRequest},
		"empty new passphrase":  {right, "passphrase", "", client.ErrRequest},
		"no keyring to be had":  {right, "keyring", "", client.ErrKeyring},
		"keyring with a secret": {right, "keyring", "x", client.ErrRequest},
	} {
		if err := add(c.proof, c.kind, c.opener); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if kinds, _ := f.kinds(); kinds != "passphrase" {
		t.Fatalf("after refusals: %s", kinds)
	}
	f.addSlot("recovery", testCode)
	f.addSlot("key-file", testKeyFile)
	if kinds, weakest := f.kinds(); kinds != "key-file passphrase recovery" || weakest != "key-file" {
		t.Errorf("got %s, weakest %s", kinds, weakest)
	}
	s, err := f.signer.Status(ctx)
	if err != nil || s.GetUnlock().GetWeakest() != "key-file" || !slices.Contains(s.GetWarnings(), "the key file alone opens the vault: who can read both files can open it") {
		t.Errorf("status: weakest %q, warnings %q, %v", s.GetUnlock().GetWeakest(), s.GetWarnings(), err)
	}

	// Each opens the vault, after any number of wrong passphrases, and is a proof.
	if err := f.admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		_, _ = f.admin.Unlock(ctx, f.sealer("wrong"), 0)
	}
	for name, proof := range map[string]client.Proof{"code": {Recovery: f.sealer(testCode)}, "file": {KeyFile: f.sealer(testKeyFile)}} {
		if _, err := f.admin.UnlockBy(ctx, proof, 0); err != nil {
			t.Errorf("unlock by %s: %v", name, err)
		}
		if err := add(proof, "passphrase", "added by "+name); err != nil {
			t.Errorf("proof by %s: %v", name, err)
		}
	}
	for name, proof := range map[string]client.Proof{"code": {Recovery: f.sealer("X123456789abcdef")}, "file": {KeyFile: f.sealer(testCode + testCode)}} {
		if _, err := f.admin.UnlockBy(ctx, proof, 0); !errors.Is(err, client.ErrKey) {
			t.Errorf("unlock by a wrong %s: got %v", name, err)
		}
	}
}

// TestRemoveKeySlot: the last slot stays, and what gets weaker is said.
func TestRemoveKeySlot(t *testing.T) {
	f := startApart(t)
	ctx := t.Context()
	f.unlock()
	if _, err := f.admin.RemoveKeySlot(ctx, f.passphrase(testPassphrase), f.slotID("passphrase")); !errors.Is(err, client.ErrRequest) || !strings.Contains(err.Error(), "the last key slot") {
		t.Errorf("the last slot: got %v", err)
	}
	f.addSlot("recovery", testCode)
	f.addSlot("key-file", testKeyFile)
	if _, err := f.admin.RemoveKeySlot(ctx, client.Proof{}, f.slotID("recovery")); !errors.Is(err, client.ErrProof) {
		t.Errorf("without proof: got %v", err)
	}
	if _, err := f.admin.RemoveKeySlot(ctx, f.passphrase(testPassphrase), "0123"); !errors.Is(err, &client.Error{Code: pb.CodeNotFound}) {
		t.Errorf("an id that is none: got %v", err)
	}
	remove := func(proof client.Proof, kind, want, left string) {
		t.Helper()
		r, err := f.admin.RemoveKeySlot(ctx, proof, f.slotID(kind))
		if err != nil || kindsOf(r.GetSlots()) != left || strings.Join(r.GetWarnings(), "; ") != want {
			t.Errorf("removing %s: left %s, warnings %q, %v", kind, kindsOf(r.GetSlots()), r.GetWarnings(), err)
		}
	}
	remove(f.passphrase(testPassphrase), "passphrase", "what opens the vault now is weaker than what was removed: key-file instead of passphrase", "key-file recovery")
	if _, err := f.admin.RemoveKeySlot(ctx, f.passphrase(testPassphrase), f.slotID("recovery")); !errors.Is(err, client.ErrKey) {
		t.Errorf("by the passphrase that is gone: got %v", err)
	}
	file := client.Proof{KeyFile: f.sealer(testKeyFile)}
	remove(file, "recovery", "no recovery code opens the vault any more: who forgets the passphrase or loses the keyring loses the vault", "key-file")
	if _, err := f.admin.AddKeySlot(ctx, file, client.NewSlot{Kind: "recovery", Opener: f.sealer(testCode)}); err != nil {
		t.Fatal(err)
	}
	remove(client.Proof{Recovery: f.sealer(testCode)}, "key-file", "only the recovery code opens the vault now", "recovery")
	for name, proof := range map[string]client.Proof{"nothing": {}, "a yes": {Confirmed: true}} {
		if _, err := f.admin.AddKeySlot(ctx, proof, client.NewSlot{Kind: "passphrase", Opener: f.sealer("mine"), Cost: "low"}); !errors.Is(err, client.ErrKey) {
			t.Errorf("%s where the recovery code alone opens the vault: got %v", name, err)
		}
	}
	if _, err := f.admin.UnlockBy(ctx, file, 0); !errors.Is(err, &client.Error{Code: pb.CodeNotFound}) {
		t.Errorf("unlock by the key file that is gone: got %v", err)
	}
}

func TestChangePassphrase(t *testing.T) {
	f := start(t)
	ctx := t.Context()
	f.unlock()
	f.addTBA("acme")
	f.addSlot("recovery", testCode)
	if _, err := f.admin.ChangePassphrase(ctx, f.passphrase("wrong"), f.sealer("new"), ""); !errors.Is(err, client.ErrPassphrase) {
		t.Errorf("by a wrong one: got %v", err)
	}
	r, err := f.admin.ChangePassphrase(ctx, f.passphrase(testPassphrase), f.sealer("new"), "")
	if err != nil || r.GetChanged() != 1 {
		t.Fatalf("changed %d, %v", r.GetChanged(), err)
	}
	f.sign("acme") // the session goes on
	f.restart()
	if _, err := f.admin.Unlock(ctx, f.sealer(testPassphrase), 0); !errors.Is(err, client.ErrPassphrase) {
		t.Errorf("the old one: got %v", err)
	}
	if _, err := f.admin.Unlock(ctx, f.sealer("new"), 0); err != nil {
		t.Errorf("the new one: %v", err)
	}
	f.sign("acme")
}

// TestRecover: a forgotten passphrase costs nothing but the recovery code, which stays.
func TestRecover(t *testing.T) {
	f := startApart(t)
	ctx := t.Context()
	f.unlock()
	f.addTBA("acme")
	f.addSlot("recovery", testCode)
	f.restart()
	slot := client.NewSlot{Kind: "passphrase", Opener: f.sealer("new"), Cost: "low"}
	if _, err := f.admin.Recover(ctx, f.sealer(testCode), slot); !errors.Is(err, client.ErrLocked) {
		t.Errorf("while locked: got %v", err)
	}
	if _, err := f.admin.UnlockBy(ctx, client.Proof{Recovery: f.sealer(testCode)}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.admin.Recover(ctx, f.sealer("X123456789abcdef"), slot); !errors.Is(err, client.ErrKey) {
		t.Errorf("by a wrong code: got %v", err)
	}
	for kind, want := range map[string]error{"recovery": client.ErrRequest, "key-file": client.ErrRequest, "keyring+passphrase": client.ErrKeyring} {
		if _, err := f.admin.Recover(ctx, f.sealer(testCode), client.NewSlot{Kind: kind, Opener: f.sealer(testCode)}); !errors.Is(err, want) {
			t.Errorf("to %s: got %v, want %v", kind, err, want)
		}
	}
	r, err := f.admin.Recover(ctx, f.sealer(testCode), slot)
	if err != nil || kindsOf(r.GetSlots()) != "passphrase recovery" || len(r.GetWarnings()) != 0 {
		t.Errorf("got %s, %q, %v", kindsOf(r.GetSlots()), r.GetWarnings(), err)
	}
	f.restart()
	if _, err := f.admin.Unlock(ctx, f.sealer(testPassphrase), 0); !errors.Is(err, client.ErrPassphrase) {
		t.Errorf("the old passphrase: got %v", err)
	}
	for _, proof := range []client.Proof{f.passphrase("new"), {Recovery: f.sealer(testCode)}} {
		if _, err := f.admin.UnlockBy(ctx, proof, 0); err != nil {
			t.Error(err)
		}
	}
	f.sign("acme")
}

// TestLostMachineKey: where the machine key is gone, the recovery code opens the vault
// without the ledger and says so; Recover begins a new one, and keeps the old beside it.
func TestLostMachineKey(t *testing.T) {
	f := start(t)
	ctx := t.Context()
	f.unlock()
	f.addSlot("recovery", testCode)
	if err := os.Remove(f.paths.MachineKey); err != nil {
		t.Fatal(err)
	}
	f.restart()
	if _, err := f.admin.Unlock(ctx, f.sealer(testPassphrase), 0); !errors.Is(err, &client.Error{Code: pb.CodeDamaged}) {
		t.Fatalf("by the passphrase: got %v", err)
	}
	r, err := f.admin.UnlockBy(ctx, client.Proof{Recovery: f.sealer(testCode)}, 0)
	if err != nil || !strings.Contains(strings.Join(r.GetWarnings(), "\n"), "the ledger of this machine cannot be read") {
		t.Fatalf("by the code: %q, %v", r.GetWarnings(), err)
	}
	made, err := f.admin.Recover(ctx, f.sealer(testCode), client.NewSlot{Kind: "passphrase", Opener: f.sealer("new"), Cost: "low"})
	if err != nil || len(made.GetWarnings()) != 1 || !strings.Contains(made.GetWarnings()[0], f.paths.Ledger+".old") {
		t.Errorf("Recover: %q, %v", made.GetWarnings(), err)
	}
	if _, err := os.Stat(f.paths.Ledger + ".old"); err != nil {
		t.Error(err)
	}
	if s, err := f.signer.Status(ctx); err != nil || strings.Contains(strings.Join(s.GetWarnings(), "\n"), "cannot be read") {
		t.Errorf("status still warns: %q, %v", s.GetWarnings(), err)
	}
	e := f.entries()[len(f.entries())-1]
	if e.Event != "key.recover" || e.Detail != "passphrase ledger=new proof=recovery" {
		t.Errorf("the log says %s %q", e.Event, e.Detail)
	}
	f.restart()
	if _, err := f.admin.Unlock(ctx, f.sealer("new"), 0); err != nil {
		t.Errorf("by the new passphrase: %v", err)
	}
}

// TestKeySlotsWithoutAuditLog: what cannot be recorded is not done.
func TestKeySlotsWithoutAuditLog(t *testing.T) {
	f := start(t)
	ctx := t.Context()
	f.unlock()
	f.addSlot("recovery", testCode)
	before, _ := f.kinds()
	for _, e := range f.entries() {
		if strings.HasPrefix(e.Event, "key.") && (e.Event != "key.add" || e.Kind != "recovery" || e.Detail != "recovery proof=passphrase") {
			t.Errorf("entry %+v", e)
		}
	}
	if err := f.agent.audit.Close(); err != nil {
		t.Fatal(err)
	}
	_, add := f.admin.AddKeySlot(ctx, f.passphrase(testPassphrase), client.NewSlot{Kind: "key-file", Opener: f.sealer(testKeyFile)})
	_, remove := f.admin.RemoveKeySlot(ctx, f.passphrase(testPassphrase), f.slotID("recovery"))
	_, change := f.admin.ChangePassphrase(ctx, f.passphrase(testPassphrase), f.sealer("new"), "")
	_, recover := f.admin.Recover(ctx, f.sealer(testCode), client.NewSlot{Kind: "passphrase", Opener: f.sealer("new"), Cost: "low"})
	for name, err := range map[string]error{"add": add, "remove": remove, "change": change, "recover": recover} {
		if err == nil {
			t.Errorf("%s went on without a log", name)
		}
	}
	if after, _ := f.kinds(); after != before {
		t.Errorf("slots: got %s, want %s", after, before)
	}
}
