package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
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
