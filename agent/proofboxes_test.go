package agent

import (
	"strings"
	"testing"

	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// box seals text for a field of a call, under a key of its own.
func (s sealing) box(method, profile, field, text string) *pb.Sealed {
	s.f.t.Helper()
	return s.seal(s.keys(1), 0, method, profile, field, text)
}

// refusedFor checks that err is a refusal of that code, which says so.
func refusedFor(t *testing.T, name string, err error, code pb.Code, says string) {
	t.Helper()
	if message := status.Convert(err).Message(); codeOf(err) != string(code) || !strings.Contains(message, says) {
		t.Errorf("%s: got %s (%s), want %s (%s)", name, codeOf(err), message, code, says)
	}
}

// What is sealed proves something as what it is named, and in the call that it was sealed
// for. Anything else is no guess either, which would count, and costs the right code nothing.
func TestProofIsWhatItIsNamed(t *testing.T) {
	f, p := startWithPhone(t)
	f.enrol(p)
	s := f.sealing()
	const edit, other = pb.Admin_EditProfile_FullMethodName, pb.Admin_AdoptPolicy_FullMethodName
	box := func(method, field, text string) *pb.Sealed { return s.box(method, "acme", field, text) }
	passphrase := func(text string) *pb.Sealed { return box(edit, fieldPassphrase, text) }
	try := func(name string, proof *pb.Proof, code pb.Code, says string) {
		t.Helper()
		q := &pb.EditProfileRequest{Name: "acme", Profile: &pb.Profile{Access: "write"}, Fields: []string{"access"}, Proof: proof}
		_, err := s.admin.EditProfile(t.Context(), q)
		refusedFor(t, name, err, code, says)
	}
	try("a passphrase under another name", &pb.Proof{Passphrase: box(edit, fieldNewPassphrase, testPassphrase)}, pb.CodeRequest, "proves nothing here")
	try("a passphrase in the place of a key", &pb.Proof{Key: passphrase(testPassphrase)}, pb.CodeRequest, "proves nothing here")
	try("a passphrase for another call", &pb.Proof{Passphrase: box(other, fieldPassphrase, testPassphrase)}, pb.CodeRequest, "cannot be opened")
	f.stepUp()
	for range freeTries + 1 {
		try("a code for another call", &pb.Proof{Passphrase: passphrase(testPassphrase), Totp: box(other, fieldCode, p.code(0))}, pb.CodeRequest, "cannot be opened")
		try("a code under another name", &pb.Proof{Passphrase: passphrase(testPassphrase), Totp: box(edit, fieldNewCode, p.code(0))}, pb.CodeRequest, "is no code")
		try("a wrong passphrase, and no code", &pb.Proof{Passphrase: passphrase("wrong")}, pb.CodeTOTP, "needs a code")
	}
	if n := f.wrongTries(); n != 0 {
		t.Errorf("%d passphrases were tried", n)
	}
	if err := f.widen(f.both(p.code(0))); err != nil {
		t.Errorf("the right ones after all that: %v", err)
	}
}

// An unlock that gives nothing is one by the keyring, and no malformed proof.
func TestUnlockByNothing(t *testing.T) {
	f := startApart(t)
	if _, err := f.admin.UnlockBy(t.Context(), client.Proof{}, 0); errorCode(err) != string(pb.CodePassphrase) {
		t.Errorf("got %v", err)
	}
}

// The secret of an app and its first code come under their own names, sealed for this call.
func TestAddTOTPTakesWhatIsNamedSo(t *testing.T) {
	f, p := startWithPhone(t)
	s := f.sealing()
	const add, other = pb.Admin_AddTOTP_FullMethodName, pb.Admin_AddKeySlot_FullMethodName
	for name, c := range map[string]struct {
		secretFor, secretField, codeFor, codeField, says string
	}{
		"a secret under another name": {add, fieldNewKeyFile, add, fieldNewCode, "needs"},
		"a code under another name":   {add, fieldTOTPSecret, add, fieldCode, "needs"},
		"a secret for another call":   {other, fieldTOTPSecret, add, fieldNewCode, "the sealed " + fieldTOTPSecret + " cannot be opened"},
		"a code for another call":     {add, fieldTOTPSecret, other, fieldNewCode, "the sealed " + fieldNewCode + " cannot be opened"},
	} {
		_, err := s.admin.AddTOTP(t.Context(), &pb.AddTOTPRequest{
			Proof:  &pb.Proof{Passphrase: s.box(add, "", fieldPassphrase, testPassphrase)},
			Secret: s.box(c.secretFor, "", c.secretField, p.key), Code: s.box(c.codeFor, "", c.codeField, p.code(0)),
		})
		refusedFor(t, name, err, pb.CodeRequest, c.says)
	}
	f.enrol(p)
}
