package realagent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build builds the product as it is shipped, without the race detector, into dir, and
// returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "nsagent")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s", "-o", path, "github.com/nsagent/nsagent/cmd/nsagent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the product: %w\n%s", err, out)
	}
	return path, nil
}
