package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
)

// plainKeys are Keys in ordinary memory. What they seal is only marked with the vault it
// was sealed under.
type plainKeys struct {
	vault string

	mu            sync.Mutex
	current, next ed25519.PrivateKey
	gone          bool
	fail          error
}

var errOtherVault = fmt.Errorf("%w: sealed under another vault", ErrCheckpoint)

func newKeys() *plainKeys { return &plainKeys{vault: "vault"} }

func (k *plainKeys) Restore(sealed []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if sealed == nil {
		_, k.current, _ = ed25519.GenerateKey(rand.Reader)
		return nil
	}
	seed, ok := bytes.CutPrefix(sealed, []byte(k.vault))
	if !ok || len(seed) != ed25519.SeedSize {
		return errOtherVault
	}
	k.current = ed25519.NewKeyFromSeed(seed)
	return nil
}

func (k *plainKeys) Public() (ed25519.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gone {
		return nil, errors.New("keys are destroyed")
	}
	return k.current.Public().(ed25519.PublicKey), k.fail
}

func (k *plainKeys) Next() (ed25519.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	public, next, err := ed25519.GenerateKey(rand.Reader)
	k.next = next
	return public, errors.Join(err, k.fail)
}

func (k *plainKeys) Sign(msg []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gone {
		return nil, errors.New("keys are destroyed")
	}
	signature := ed25519.Sign(k.current, msg)
	k.current, k.next = k.next, nil
	return signature, k.fail
}

func (k *plainKeys) Seal() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]byte(k.vault), k.current.Seed()...), k.fail
}

func (k *plainKeys) Destroy() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone = true
}
