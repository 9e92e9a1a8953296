package agent

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/nsagent/nsagent/internal/atomicfile"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// refreshStripes is how many refreshes of public clients one vault has at once, in all
// processes that work on it. Profiles share the locks by a hash of their names, so that no
// file says which profiles there are.
const refreshStripes = 8

// lockRefresh waits until no other process refreshes a profile of this name, or logs in
// with it. The lock ends with the process that holds it.
func lockRefresh(ctx context.Context, vaultPath, name string) (*atomicfile.Guard, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	g, err := atomicfile.Lock(ctx, fmt.Sprintf("%s.refresh%d", vaultPath, h.Sum32()%refreshStripes))
	if errors.Is(err, atomicfile.ErrBusy) {
		return nil, refuse(ErrBusy, pb.CodeLimited, fmt.Sprintf("no access token for profile %q yet", name), "one is being got for another profile, or by another agent on this vault", "try again")
	}
	if err != nil {
		return nil, fmt.Errorf("waiting for other processes to refresh: %w", err)
	}
	return g, nil
}
