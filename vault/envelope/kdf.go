package envelope

import (
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/nsagent/nsagent/internal/secret"
)

// KDF holds the cost of Argon2id (RFC 9106), version 0x13. The zero value stands
// for a slot without passphrase.
type KDF struct {
	MemoryKiB uint32 // 19,456 (19 MiB) to 2,097,152 (2 GiB)
	Time      uint32 // passes, 2 to 16
	Threads   uint8  // lanes, 1 to 16
}

// Costs to choose from.
var (
	// KDFDefault takes about 0.9 s on two cores.
	KDFDefault = KDF{MemoryKiB: 256 << 10, Time: 3, Threads: 4}
	// KDFLow is the floor: OWASP's least, for tests and small machines.
	KDFLow = KDF{MemoryKiB: 19 << 10, Time: 2, Threads: 1}
)

const (
	minMemoryKiB, maxMemoryKiB = 19 << 10, 2 << 20
	minTime, maxTime           = 2, 16
	minThreads, maxThreads     = 1, 16
)

// Check returns an error wrapping ErrKDF unless k lies between floor and ceiling.
// Below the floor a stolen file is guessed too fast, and a writer of the file could
// bring it there; above the ceiling that writer could exhaust the machine.
func (k KDF) Check() error {
	for _, f := range []struct {
		name       string
		v, min, mx uint32
	}{
		{"memory in KiB", k.MemoryKiB, minMemoryKiB, maxMemoryKiB},
		{"passes", k.Time, minTime, maxTime},
		{"threads", uint32(k.Threads), minThreads, maxThreads},
	} {
		if f.v < f.min || f.v > f.mx {
			return fmt.Errorf("%w: %s %d, from %d to %d allowed", ErrKDF, f.name, f.v, f.min, f.mx)
		}
	}
	return nil
}

// stretch computes Argon2id of passphrase into dst, after checking the cost.
//
// The matrix of the KDF is garbage afterwards, 256 MiB at the default: whoever
// calls this asks the arena to release memory. Argon2's lanes run on goroutines of
// their own, which secret.Do does not reach; what they leave on their stacks is
// state of the matrix, never the passphrase, which only the caller's goroutine
// hashes.
func (k KDF) stretch(dst, passphrase, salt []byte) error {
	if err := k.Check(); err != nil {
		return err
	}
	secret.Do(func() {
		out := argon2.IDKey(passphrase, salt, k.Time, k.MemoryKiB, k.Threads, uint32(len(dst)))
		copy(dst, out)
		secret.Wipe(out)
	})
	return nil
}
