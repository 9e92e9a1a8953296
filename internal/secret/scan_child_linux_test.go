package secret

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

const (
	macs       = 20_000
	goroutines = 4
	deliveries = 20
	signatures = 50
)

// keyLengths are of the secrets that the MAC children sign with; 129 is that of
// a NetSuite signing key.
func keyLengths() []int { return []int{129, 20, 64, 198} }

// macChild takes keys, drops all but their midstates, and signs.
func macChild() error {
	a, err := NewArena(ArenaConfig{Mode: Mode(os.Getenv("MODE"))})
	if err != nil {
		return err
	}
	var keys []*HMACKey
	for range keyLengths() {
		raw, err := receive(a)
		if err != nil {
			return err
		}
		k, err := a.NewHMACKey(raw)
		if err != nil {
			return err
		}
		raw.Destroy()
		keys = append(keys, k)
	}
	return signLoad(func(i int, msg []byte) error {
		var mac [32]byte
		return keys[i%len(keys)].HMACSHA256(&mac, msg)
	})
}

// naiveChild does the same as programs commonly do: keys in strings, crypto/hmac.
func naiveChild() error {
	var keys []string
	for range keyLengths() {
		raw, err := receivePlain()
		if err != nil {
			return err
		}
		keys = append(keys, string(raw))
	}
	return signLoad(func(i int, msg []byte) error {
		h := hmac.New(sha256.New, []byte(keys[i%len(keys)]))
		h.Write(msg)
		_ = h.Sum(nil)
		return nil
	})
}

// signLoad makes 20,000 MACs in 4 goroutines and says "rest"; at the next byte of
// the parent it starts again, says "load", and goes on until the parent is gone.
func signLoad(sign func(i int, msg []byte) error) error {
	var stop atomic.Bool
	run := func(n int) error {
		var wg sync.WaitGroup
		var failed atomic.Pointer[error]
		for g := range goroutines {
			wg.Go(func() {
				msg := make([]byte, 700)
				for i := 0; (n == 0 || i < n/goroutines) && !stop.Load(); i++ {
					if err := sign(i+g, msg[:i%len(msg)]); err != nil {
						failed.Store(&err)
						return
					}
				}
			})
		}
		wg.Wait()
		if err := failed.Load(); err != nil {
			return *err
		}
		return nil
	}
	if err := run(macs); err != nil {
		return err
	}
	fmt.Println("rest")
	if _, err := receivePlain(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- run(0) }()
	fmt.Println("load")
	_, _ = io.Copy(io.Discard, os.Stdin)
	stop.Store(true)
	return <-done
}

// hpkeChild opens sealed deliveries and keeps them.
func hpkeChild() error {
	a, err := NewArena(ArenaConfig{Mode: Mode(os.Getenv("MODE"))})
	if err != nil {
		return err
	}
	var kept []Bytes
	for range deliveries {
		r, err := a.NewReceiver()
		if err != nil {
			return err
		}
		fmt.Println(hex.EncodeToString(r.PublicKey()))
		sealed, err := receivePlain()
		if err != nil {
			return err
		}
		b, err := r.Open(sealed, testContext())
		if err != nil {
			return err
		}
		kept = append(kept, b)
	}
	fmt.Println("now")
	if _, err := receivePlain(); err != nil {
		return err
	}
	a.ReleaseMemoryNow()
	fmt.Println("released", len(kept))
	_, _ = io.Copy(io.Discard, os.Stdin)
	return a.Close()
}

// signChild makes signatures with one private key.
func signChild() error {
	a, err := NewArena(ArenaConfig{Mode: Mode(os.Getenv("MODE"))})
	if err != nil {
		return err
	}
	der, err := receive(a)
	if err != nil {
		return err
	}
	k, err := a.NewPrivateKey(der)
	if err != nil {
		return err
	}
	var opts crypto.SignerOpts = crypto.SHA256
	if _, isRSA := k.Public().(*rsa.PublicKey); isRSA {
		opts = &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: rsa.PSSSaltLengthEqualsHash}
	}
	for range signatures {
		if _, err := k.Sign(nil, digestOf(crypto.SHA256), opts); err != nil {
			return err
		}
	}
	fmt.Println("now")
	if _, err := receivePlain(); err != nil {
		return err
	}
	a.ReleaseMemoryNow()
	fmt.Println("released")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return a.Close()
}

// generateChild makes a key, signs with it, and then says which one it is, straight from
// the arena.
func generateChild() error {
	a, err := NewArena(ArenaConfig{Mode: Mode(os.Getenv("MODE"))})
	if err != nil {
		return err
	}
	der, err := a.GenerateKey(KeyKind(os.Getenv("KIND")))
	if err != nil {
		return err
	}
	k, err := a.NewPrivateKey(der)
	if err != nil {
		return err
	}
	var opts crypto.SignerOpts = crypto.SHA256
	if _, isRSA := k.Public().(*rsa.PublicKey); isRSA {
		opts = &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: rsa.PSSSaltLengthEqualsHash}
	}
	if _, err := k.Sign(nil, digestOf(crypto.SHA256), opts); err != nil {
		return err
	}
	a.ReleaseMemoryNow()
	err = k.UseDER(func(p []byte) error {
		fmt.Println(len(p))
		_, err := os.Stdout.Write(p) // a system call that reads the arena
		return err
	})
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return a.Close()
}

// naiveSignChild does as programs commonly do: parse the key once and keep it.
func naiveSignChild() error {
	der, err := receivePlain()
	if err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return err
	}
	clear(der)
	fmt.Println("parsed")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_, err = key.(crypto.Signer).Sign(rand.Reader, digestOf(crypto.SHA256), crypto.SHA256)
	return err
}
