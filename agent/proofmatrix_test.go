//go:build !race

// Its 3,000 calls are those of other tests, which run with the race detector.

package agent

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/approval"
	"github.com/nsagent/nsagent/internal/grantkey"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// proofForm is one way to give a proof, right or wrong.
type proofForm struct {
	name string
	// passphrase, key and code are field and content; no field: it is not given. The content
	// of a code is "now", "used" or "wrong".
	passphrase, key, code [2]string
	yes                   bool
	// otherCall: sealed for another call.
	otherCall bool
}

func proofForms() []proofForm {
	pass := [2]string{"passphrase", testPassphrase}
	wrong := [2]string{"passphrase", "wrong"}
	file, recovery := [2]string{"key_file", testKeyFile}, [2]string{"recovery", testCode}
	now, used, bad := [2]string{"totp", "now"}, [2]string{"totp", "used"}, [2]string{"totp", "wrong"}
	return []proofForm{
		{name: "nothing"},
		{name: "a yes", yes: true},
		{name: "passphrase", passphrase: pass},
		{name: "passphrase and code", passphrase: pass, code: now},
		{name: "passphrase and used code", passphrase: pass, code: used},
		{name: "passphrase and wrong code", passphrase: pass, code: bad},
		{name: "passphrase and yes", passphrase: pass, yes: true},
		{name: "wrong passphrase, yes and code", passphrase: wrong, code: now, yes: true},
		{name: "empty passphrase and code", passphrase: [2]string{"passphrase", ""}, code: now},
		{name: "code", code: now},
		{name: "used code and yes", code: used, yes: true},
		{name: "wrong code and yes", code: bad, yes: true},
		{name: "key file", key: file},
		{name: "key file and code", key: file, code: now},
		{name: "wrong key file, yes and code", key: [2]string{"key_file", testCode + testCode}, code: now, yes: true},
		{name: "recovery code", key: recovery},
		{name: "wrong recovery code, yes and code", key: [2]string{"recovery", "X123456789abcdef"}, code: now, yes: true},
		{name: "passphrase in the place of a key", key: pass, code: now, yes: true},
		{name: "made-up passphrase in the place of a key", key: wrong, code: now, yes: true},
		{name: "code in the place of a key", key: now, yes: true},
		{name: "unknown field in the place of a key", key: [2]string{"x", testKeyFile}, code: now, yes: true},
		{name: "empty recovery code", key: [2]string{"recovery", ""}, code: now, yes: true},
		{name: "key file in the place of the passphrase", passphrase: file, code: now},
		{name: "recovery code in the place of the passphrase", passphrase: recovery, code: now},
		{name: "passphrase named as code", passphrase: pass, code: pass},
		{name: "all of it for another call", passphrase: pass, code: now, otherCall: true},
		{name: "key file for another call", key: file, code: now, otherCall: true},
		{name: "recovery code for another call", key: recovery, otherCall: true},
	}
}

// proofSet is what opens a vault, each with a recovery code beside it.
type proofSet struct {
	kinds       []vault.SlotKind
	app, stepUp bool
}

func (s proofSet) has(kind vault.SlotKind) bool { return slices.Contains(s.kinds, kind) }

func proofSets() []proofSet {
	const passphrase, ring, file = vault.SlotPassphrase, vault.SlotKeyring, vault.SlotKeyFile
	var out []proofSet
	for _, kind := range []vault.SlotKind{passphrase, ring, file} {
		for _, s := range []proofSet{{}, {app: true}, {app: true, stepUp: true}} {
			s.kinds = []vault.SlotKind{kind}
			out = append(out, s)
		}
	}
	return append(out,
		proofSet{kinds: []vault.SlotKind{vault.SlotKeyringPassphrase}, app: true, stepUp: true},
		proofSet{kinds: []vault.SlotKind{ring, passphrase}},
		proofSet{kinds: []vault.SlotKind{ring, file}, app: true, stepUp: true})
}

func (s proofSet) String() string {
	return fmt.Sprintf("%v app=%t step-up=%t", s.kinds, s.app, s.stepUp)
}

// proves returns what a form is in a vault, as the log names it; "" if nothing.
func (s proofSet) proves(g proofForm) string {
	passphrase := s.has(vault.SlotPassphrase) || s.has(vault.SlotKeyringPassphrase)
	first := ""
	switch {
	case g.otherCall:
		return ""
	case g.key == [2]string{"recovery", testCode}:
		return "recovery"
	case g.key == [2]string{"key_file", testKeyFile} && s.has(vault.SlotKeyFile):
		first = "key-file"
	case g.key != [2]string{}:
		return ""
	case passphrase && g.passphrase == [2]string{"passphrase", testPassphrase}:
		first = "passphrase"
	case passphrase || s.has(vault.SlotKeyFile):
		return ""
	}
	switch code := s.app && g.code == [2]string{"totp", "now"}; {
	case first == "" && !s.app && g.yes:
		return "confirmed"
	case first != "" && !s.stepUp:
		return first
	case !code:
		return ""
	}
	return strings.TrimPrefix(first+"+totp", "+")
}

// proofVerb is a call that takes a fresh proof.
type proofVerb struct {
	profile string // that its boxes are sealed for
	// call makes a call that goes ahead if the proof is one.
	call func(w *proofWorld, p *pb.Proof) error
	// proves is proofSet.proves where the call goes by other rules; nil: it does not.
	proves func(s proofSet, g proofForm) string
}

// proofVerbs are the calls that take a fresh proof, by method.
func proofVerbs() map[string]proofVerb {
	return map[string]proofVerb{
		pb.Admin_EditProfile_FullMethodName: {profile: "acme", call: func(w *proofWorld, p *pb.Proof) error {
			_, err := w.rpc.EditProfile(w.ctx, &pb.EditProfileRequest{Name: "acme", Profile: &pb.Profile{Access: "write"}, Fields: []string{"access"}, Proof: p})
			if err == nil {
				_, err = w.rpc.EditProfile(w.ctx, &pb.EditProfileRequest{Name: "acme", Profile: &pb.Profile{Access: "read"}, Fields: []string{"access"}})
			}
			return err
		}},
		pb.Admin_RenameProfile_FullMethodName: {profile: "acme", call: func(w *proofWorld, p *pb.Proof) error {
			_, err := w.rpc.RenameProfile(w.ctx, &pb.RenameProfileRequest{Name: "acme", NewName: "other", Proof: p})
			if err == nil {
				w.underNoPolicy() // the way back takes no proof
				_, err = w.rpc.RenameProfile(w.ctx, &pb.RenameProfileRequest{Name: "other", NewName: "acme"})
				w.underAPolicy()
			}
			return err
		}},
		pb.Admin_UploadCertificate_FullMethodName: {profile: "m2m", call: func(w *proofWorld, p *pb.Proof) error {
			_, err := w.rpc.UploadCertificate(w.ctx, &pb.UploadCertificateRequest{Name: "m2m", Entity: "5", Role: "3", Proof: p})
			return err
		}},
		pb.Admin_AddKeySlot_FullMethodName: {call: func(w *proofWorld, p *pb.Proof) error {
			_, err := w.rpc.AddKeySlot(w.ctx, &pb.AddKeySlotRequest{Proof: p, Kind: "recovery", Opener: w.box("new_recovery", "another16bytes!!")})
			return err
		}},
		pb.Admin_RemoveKeySlot_FullMethodName: {call: func(w *proofWorld, p *pb.Proof) error {
			_, err := w.rpc.RemoveKeySlot(w.ctx, &pb.RemoveKeySlotRequest{Proof: p, Id: w.spare()})
			return err
		}},
		pb.Admin_AddTOTP_FullMethodName: {
			call: func(w *proofWorld, p *pb.Proof) error {
				_, err := w.rpc.AddTOTP(w.ctx, &pb.AddTOTPRequest{Proof: p, Secret: w.box("new_totp_secret", w.p.key), Code: w.box("new_totp", w.p.code(0))})
				return err
			},
			proves: func(s proofSet, g proofForm) string {
				if s.app {
					return ""
				}
				return s.proves(g)
			},
		},
		pb.Admin_ChangePassphrase_FullMethodName: {
			call: func(w *proofWorld, p *pb.Proof) error {
				_, err := w.rpc.ChangePassphrase(w.ctx, &pb.ChangePassphraseRequest{Passphrase: p.GetPassphrase(), Totp: p.GetTotp(), NewPassphrase: w.box("new_passphrase", testPassphrase), Cost: "low"})
				return err
			},
			proves: func(s proofSet, g proofForm) string {
				g.key = [2]string{} // it has no field for one
				if by := s.proves(g); strings.HasPrefix(by, "passphrase") {
					return by
				}
				return ""
			},
		},
		pb.Admin_Recover_FullMethodName: {
			call: func(w *proofWorld, p *pb.Proof) error {
				_, err := w.rpc.Recover(w.ctx, &pb.RecoverRequest{Recovery: p.GetKey(), Kind: "keyring"})
				return err
			},
			proves: func(s proofSet, g proofForm) string {
				if s.proves(g) != "recovery" {
					return ""
				}
				return "recovery"
			},
		},
		pb.Admin_NewGrant_FullMethodName: {call: func(w *proofWorld, p *pb.Proof) error {
			_, err := w.rpc.NewGrant(w.ctx, &pb.NewGrantRequest{Proof: p, Profiles: []string{"acme"}, TtlSeconds: 60, Next: make([]byte, ed25519.PublicKeySize), Shares: w.box(fieldShares, strings.Repeat("s", grantkey.ShareSize))})
			return err
		}},
		pb.Admin_AdoptPolicy_FullMethodName: {call: func(w *proofWorld, p *pb.Proof) error {
			_, err := w.rpc.AdoptPolicy(w.ctx, &pb.AdoptPolicyRequest{Proof: p, Replaces: w.f.agent.session.policy().sum})
			return err
		}},
		pb.Admin_ApproveRequest_FullMethodName: {call: func(w *proofWorld, p *pb.Proof) error {
			waiting, _, err := w.f.agent.approvals.Ask(approval.Question{Profile: "acme"}, approval.Caller{}, time.Hour)
			if err != nil {
				w.f.t.Fatal(err)
			}
			defer waiting.Cancel()
			_, err = w.rpc.ApproveRequest(w.ctx, &pb.ApproveRequestRequest{Proof: p, Id: waiting.Request().ID, For: "once"})
			return err
		}},
	}
}

// unprovedVerbs are the calls that take none, by method, with the reason.
func unprovedVerbs() map[string]string {
	const (
		narrows = "it narrows, or ends something"
		looks   = "it changes nothing"
		fresh   = "it brings a secret of its own, which opens nothing that is there"
		within  = "a profile may do afterwards what it might before"
	)
	return map[string]string{
		"AddProfile": fresh, "Upload": fresh, "BeginLogin": within, "FinishLogin": within,
		"CheckVault": looks, "ListCertificates": looks, "ListGrants": looks, "ListIntegrations": looks, "ListKeySlots": looks, "ListRequests": looks, "SealKey": looks, "ShowGrant": looks, "ShowPolicy": looks, "ShowProfile": looks, "TestProfile": looks,
		"DenyRequest": narrows, "DropCertificate": narrows, "Lock": narrows, "RemoveProfile": narrows, "RevokeCertificate": narrows, "RevokeGrant": narrows, "Stop": narrows,
		"MarkRefreshed": within, "MigrateProfile": within, "NewCertificate": within, "RotateCertificate": within, "RotateIntegration": within, "RotateProfile": within,
		"Unlock": "it takes what opens the vault itself, which is no fresh proof",
	}
}

// Each call of the service is one that takes a proof or one that needs none: whoever adds
// one says which, and why.
func TestEveryAdminCallIsClassified(t *testing.T) {
	proved, unproved := proofVerbs(), unprovedVerbs()
	methods := pb.File_nsagent_v1_nsagent_proto.Services().ByName("Admin").Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		_, takes := proved[fmt.Sprintf("/nsagent.v1.Admin/%s", m.Name())]
		_, none := unproved[string(m.Name())]
		if takes == none {
			t.Errorf("%s: takes a proof %t, and none %t", m.Name(), takes, none)
		}
		if f := m.Input().Fields().ByName("proof"); f != nil && !takes {
			t.Errorf("%s has a field for a proof and is not among those that take one", m.Name())
		}
	}
	if len(proved)+len(unproved) != methods.Len() {
		t.Errorf("%d and %d are classified of %d", len(proved), len(unproved), methods.Len())
	}
}

// Every call that takes a proof, with each way to give one, in each kind of vault: what
// proves goes ahead under its own name, once, and what does not changes nothing.
func TestProofMatrix(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // thousands of entries are made durable
	}
	for _, set := range proofSets() {
		t.Run(set.String(), func(t *testing.T) {
			w := startProofs(t, set)
			for method, verb := range proofVerbs() {
				for _, form := range proofForms() {
					w.try(t, method, verb, form)
				}
			}
		})
	}
}
