package command

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nsagent/nsagent/internal/atomicfile"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Who waits for the turn at a bundle is told how long that may be and what else there is; after
// that time it is refused with the same, which holds for who wants quiet, too.
func TestTurnToServeIsBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for quiet, said := range map[bool]string{
		false: "nsagent: note: waiting for another nsagent exec of this bundle to end, for 5 minutes at most; to serve many:  nsagent agent start --bundle FILE\n",
		true:  "",
	} {
		synctest.Test(t, func(t *testing.T) {
			var stderr bytes.Buffer
			e := &env{stderr: &stderr, quiet: quiet}
			p := socketpath.Paths{StateDir: dir}
			first, err := e.turnToServe(t.Context(), p, "g_one")
			if err != nil {
				t.Fatal(err)
			}
			defer first.Unlock()
			begun := time.Now()
			_, err = e.turnToServe(t.Context(), p, "g_one")
			f := failure(err)
			if f.Code != pb.CodeRunning || f.Why != "another nsagent exec works with it, and did not end within 5 minutes" || f.Next != "serve many programs by one agent:  nsagent agent start --bundle FILE" {
				t.Errorf("got %+v", f)
			}
			if took := time.Since(begun).Round(time.Second); took != turnTime {
				t.Errorf("it took %v", took)
			}
			if stderr.String() != said {
				t.Errorf("quiet %v: said %q", quiet, stderr.String())
			}
			other, err := e.turnToServe(t.Context(), p, "g_two")
			if err != nil {
				t.Fatal(err)
			}
			other.Unlock()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := e.turnToServe(ctx, p, "g_one"); err != context.DeadlineExceeded { //nolint:errorlint // as it is
				t.Errorf("of a caller who does not wait: got %v", err)
			}
		})
	}
	if _, err := atomicfile.Lock(t.Context(), filepath.Join(dir, "bundles", "g_one", "exec")); err != nil {
		t.Errorf("the lock is not that of the grant: %v", err)
	}
}
