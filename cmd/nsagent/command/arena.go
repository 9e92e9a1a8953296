package command

import (
	"os"
	"strings"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/harden"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// cliArena is the locked memory of one command, in bytes: enough for a profile and a key,
// small enough for a limit of 64 KiB.
const cliArena = 40 << 10

// newArena returns the locked memory of one command.
func newArena() (*secret.Arena, error) { return newArenaOf(cliArena) }

// arenaFor returns locked memory for a profile that comes from a file, which is as
// large as that needs, or from stdin, which is as large as the limit allows.
func arenaFor(from string) (*secret.Arena, error) {
	if from == "" {
		return newArena()
	}
	if from != "-" {
		if fi, err := os.Stat(from); err == nil && fi.Mode().IsRegular() {
			// The text, and a value nearly as long; while the text is read, twice the text.
			n := int(min(fi.Size(), maxProfile))
			if n <= maxSmall {
				return newArena()
			}
			return newArenaOf(3*n + 64<<10)
		}
	}
	return newArenaOf(0)
}

// newArenaOf returns so much locked memory; 0 means what the limit allows. From then on
// nobody else of the user can read the process: a secret may come.
func newArenaOf(size int) (*secret.Arena, error) {
	if err := harden.Unreadable(); err != nil {
		return nil, err
	}
	a, err := secret.NewArena(secret.ArenaConfig{Mode: secret.ModeAuto, Size: size})
	if err != nil {
		why, next, _ := strings.Cut(plain(err), "; ")
		return nil, &client.Error{Code: pb.CodeMemory, Message: "there is too little lockable memory", Why: why, Next: next}
	}
	return a, nil
}

// sealer returns how b gets sealed to the agent.
func sealer(b secret.Bytes) client.Sealer {
	return func(to client.SealTo) ([]byte, error) {
		return secret.SealTo(to.PublicKey, sealContext(to), b)
	}
}

func sealContext(to client.SealTo) secret.SealContext {
	return secret.SealContext{VaultID: to.VaultID, Instance: to.Instance, Method: to.Method, Profile: to.Profile, Field: to.Field}
}
