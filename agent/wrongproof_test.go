package agent

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// Who gives a wrong passphrase as a proof is told that, and to do the command again: the
// vault is open, so that an unlock would help nobody. So is who has to wait.
func TestWrongProofSaysWhatToDo(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	_, _, err := f.newGrant(f.passphrase("wrong"), "acme")
	want := client.Error{Code: pb.CodePassphrase, Message: "the passphrase is wrong", Why: "a new grant needs the right one; nothing was changed", Next: "do the command again, with the right one"}
	if got := (*client.Error)(nil); !errors.As(err, &got) || got.Code != want.Code || got.Message != want.Message || got.Why != want.Why || got.Next != want.Next {
		t.Errorf("got %+v, want %+v", err, want)
	}
	for end := time.Now().Add(time.Minute); !errors.Is(err, client.ErrBackoff) && time.Now().Before(end); {
		_, _, err = f.newGrant(f.passphrase("wrong"), "acme")
	}
	if got := (*client.Error)(nil); !errors.As(err, &got) || got.Message != "a new grant is not taken for now" || got.Next != "wait, then do the command again" {
		t.Errorf("got %+v", err)
	}
}

// Each way to be wrong has its own words, and what is no wrong proof stays what it is.
func TestWrongProofNamesWhatWasWrong(t *testing.T) {
	f := start(t)
	code, err := f.arena.Take([]byte("a recovery code, opened"))
	if err != nil {
		t.Fatal(err)
	}
	defer code.Destroy()
	byCode := vault.Proof{Recovery: code}
	passphrase := refuse(vault.ErrPassphrase, pb.CodePassphrase, "the vault did not open", "", "")
	for name, c := range map[string]struct {
		err   error
		proof vault.Proof
		code  pb.Code
		says  string
	}{
		"too soon":             {refuse(ErrBackoff, pb.CodeBackoff, "wait", "two seconds", ""), vault.Proof{}, pb.CodeBackoff, "a change is not taken for now"},
		"a passphrase":         {passphrase, vault.Proof{}, pb.CodePassphrase, "the passphrase is wrong"},
		"it, or the keyring":   {vault.ErrPassphrase, vault.Proof{}, pb.CodePassphrase, "the passphrase is wrong, or the keyring holds the share of another vault"},
		"a recovery code":      {vault.ErrKey, byCode, pb.CodeKey, "the recovery code is not that of this vault"},
		"a key file":           {vault.ErrKey, vault.Proof{}, pb.CodeKey, "the key file is not one of this vault"},
		"a lock, by a code":    {vault.ErrLocked, byCode, pb.CodeLocked, refusalOf(vault.ErrLocked).Message},
		"a lock":               {vault.ErrLocked, vault.Proof{}, pb.CodeLocked, refusalOf(vault.ErrLocked).Message},
		"a refusal of another": {refuse(vault.ErrLocked, pb.CodeLocked, "closed", "", ""), vault.Proof{}, pb.CodeLocked, "closed"},
	} {
		got := refusalOf(wrongProof(fmt.Errorf("proving: %w", c.err), c.proof, "a change"))
		if got.Code != c.code || got.Message != c.says || !errors.Is(wrongProof(c.err, c.proof, "a change"), c.err) {
			t.Errorf("%s: got %+v, want %s, %q", name, got, c.code, c.says)
		}
	}
}
