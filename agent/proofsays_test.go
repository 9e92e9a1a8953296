//go:build !race

// Its vaults are those of the proof matrix, which runs without the race detector.

package agent

import (
	"strings"
	"testing"

	"google.golang.org/grpc/status"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// Whoever gives less than a vault takes is told what it takes; a yes or a code alone does
// where only the keyring opens it, and a yes only while there is no app and no policy that
// wants one.
func TestProofSaysWhatIsMissing(t *testing.T) {
	const passphrase, ring, file = vault.SlotPassphrase, vault.SlotKeyring, vault.SlotKeyFile
	nothing, yes := proofForm{name: "nothing"}, proofForm{name: "a yes", yes: true}
	code := proofForm{name: "a code", code: [2]string{"totp", "now"}}
	type tried struct {
		form proofForm
		want pb.Code // of the refusal, which says so
		says string  // or what proved it, as the log has it
	}
	const (
		needsPassphrase = "needs the passphrase again"
		needsFile       = "needs the key file again"
		needsRecovery   = "needs the recovery code"
		needsCode       = "needs a code of the authenticator app"
		needsApp        = "no authenticator app is set up"
		needsYes        = "has to be confirmed"
	)
	kinds := func(k ...vault.SlotKind) []vault.SlotKind { return k }
	for _, c := range []struct {
		set   proofSet
		tries []tried
	}{
		{proofSet{kinds: kinds(passphrase)}, []tried{{nothing, pb.CodeProof, needsPassphrase}, {yes, pb.CodeProof, needsPassphrase}}},
		{proofSet{kinds: kinds(passphrase), app: true}, []tried{{nothing, pb.CodeProof, needsPassphrase}, {code, pb.CodeProof, needsPassphrase}}},
		{proofSet{kinds: kinds(ring, passphrase)}, []tried{{yes, pb.CodeProof, needsPassphrase}}},
		{proofSet{kinds: kinds(file)}, []tried{
			{nothing, pb.CodeKey, needsFile}, {yes, pb.CodeKey, needsFile},
			{proofForm{name: "a key file", key: [2]string{fieldKeyFile, testKeyFile}}, pb.CodeOK, "key-file"},
			{proofForm{name: "a passphrase", passphrase: [2]string{fieldPassphrase, testPassphrase}}, pb.CodeKey, needsFile},
		}},
		{proofSet{kinds: kinds(file), app: true}, []tried{{nothing, pb.CodeKey, needsFile}, {code, pb.CodeKey, needsFile}}},
		{proofSet{kinds: kinds(ring, file)}, []tried{{yes, pb.CodeKey, needsFile}}},
		{proofSet{kinds: kinds(ring)}, []tried{{nothing, pb.CodeConfirm, needsYes}, {yes, pb.CodeOK, "confirmed"}}},
		{proofSet{kinds: kinds(ring), app: true}, []tried{{yes, pb.CodeTOTP, needsCode}, {code, pb.CodeOK, "totp"}}},
		{proofSet{kinds: kinds(ring), stepUp: true}, []tried{{yes, pb.CodeTOTP, needsApp}, {code, pb.CodeTOTP, needsApp}}},
		{proofSet{}, []tried{
			{nothing, pb.CodeKey, needsRecovery}, {yes, pb.CodeKey, needsRecovery},
			{proofForm{name: "the recovery code", key: [2]string{fieldRecovery, testCode}}, pb.CodeOK, "recovery"},
		}},
	} {
		w := startProofs(t, c.set)
		w.method = pb.Admin_EditProfile_FullMethodName
		w.verb = proofVerbs()[w.method]
		if c.set.stepUp {
			w.f.stepUp()
		}
		for _, try := range c.tries {
			w.log()
			err := w.verb.call(w, w.give(try.form))
			if try.want == pb.CodeOK {
				if by := w.proved(); err != nil || by != try.says {
					t.Errorf("%v, %s: got %v, proved by %q, want %q", c.set, try.form.name, err, by, try.says)
				}
			} else if said := status.Convert(err).Message() + ": " + whyOf(err); codeOf(err) != string(try.want) || !strings.Contains(said, try.says) {
				t.Errorf("%v, %s: got %s (%s), want %s (%s)", c.set, try.form.name, codeOf(err), said, try.want, try.says)
			}
		}
	}
}

// TestProofIsOfWhatTheVaultSays: where the vault cannot be read, nobody knows whether another
// agent has set up an app or adopted a policy since, and a yes is not taken for enough.
func TestProofIsOfWhatTheVaultSays(t *testing.T) {
	w := startProofs(t, proofSet{kinds: []vault.SlotKind{vault.SlotKeyring}})
	a, method := w.f.agent, pb.Admin_EditProfile_FullMethodName
	prove := func() (string, error) {
		return a.prove(w.ctx, a.session, &pb.Proof{Confirmed: true}, method, "m2m", "a try", (*session).stepUp)
	}
	w.f.whileDamaged(func() {
		if by, err := prove(); err == nil {
			t.Errorf("a vault that cannot be read: proved by %q", by)
		}
	})
	if by, err := prove(); by != "confirmed" || err != nil {
		t.Errorf("got %q, %v", by, err)
	}
}
