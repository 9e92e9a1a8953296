package command

import (
	"errors"
	"testing"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Where a bundle is not written and its grant cannot be revoked either, that is what to do.
func TestGrantWithoutBundle(t *testing.T) {
	f := failure(withoutBundle("g_abc", bundleNotWritten("no space left on device"), errors.New("the agent has gone")))
	if f.Code != pb.CodeUsage || f.Message != "the bundle cannot be written" || f.Why != "no space left on device; its grant goes on, as it was not revoked: the agent has gone" || f.Next != "end it:  nsagent grant revoke g_abc" {
		t.Errorf("got %+v", f)
	}
}
